package e2e

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// network is the TCP network between the servers of a herd, controlled by the test. It listens in front of each server, at
// the address in herd.toml; the first line of a connection tells which server dialed.
//
// The faults of a packet depend on its direction, from one server to another, whoever dialed. A dark direction drops
// everything, including ends of connections, until it is lit again. Then packets of connections that still exist arrive,
// as TCP would retransmit them. Any goroutine.
type network struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when a path has changed
	ways    map[[2]string]*way
	wires   map[*wire]bool
	closed  bool
}

// way is one direction between two servers. Guarded by network.mu.
type way struct {
	dark  bool
	rate  int           // bytes per second; 0: no limit
	delay time.Duration // of everything
	tear  int           // reset connections after so many bytes in this direction; 0: never
	dials int           // number of connections opened
	bytes int           // transferred
}

// wire is one connection between two servers.
type wire struct {
	dialer, acceptor string
	ends             [2]*net.TCPConn // the dialer's, the acceptor's
}

func newNetwork(t *testing.T) *network {
	n := &network{
		changed: make(chan struct{}), ways: map[[2]string]*way{}, wires: map[*wire]bool{},
	}
	t.Cleanup(n.close)
	return n
}

// front listens in front of the named server, which itself listens at address, and returns its own address.
func (n *network) front(t *testing.T, name, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.carry(c.(*net.TCPConn), name, address)
		}
	}()
	return l.Addr().String()
}

// way returns the direction from one server to another. mu must be held.
func (n *network) way(from, to string) *way {
	w := n.ways[[2]string{from, to}]
	if w == nil {
		w = &way{}
		n.ways[[2]string{from, to}] = w
	}
	return w
}

// change calls a function that changes a direction.
func (n *network) change(from, to string, what func(*way)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what(n.way(from, to))
	n.announce()
}

// announce wakes all goroutines that wait for a change. mu must be held.
func (n *network) announce() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// lose drops everything that is sent from one server to another.
func (n *network) lose(from, to string) { n.change(from, to, func(w *way) { w.dark = true }) }

// cut drops everything between two servers.
func (n *network) cut(a, b string) {
	n.lose(a, b)
	n.lose(b, a)
}

// heal ends all faults.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.ways {
		w.dark, w.rate, w.delay, w.tear = false, 0, 0, 0
	}
	n.announce()
}

// slow limits the rate in bytes per second.
func (n *network) slow(from, to string, rate int) {
	n.change(from, to, func(w *way) { w.rate = rate })
}

// late delays everything.
func (n *network) late(from, to string, by time.Duration) {
	n.change(from, to, func(w *way) { w.delay = by })
}

// tear resets each connection that begins from now on after the given number of bytes in this direction.
func (n *network) tear(from, to string, bytes int) {
	n.change(from, to, func(w *way) { w.tear = bytes })
}

// reset resets all connections between two servers.
func (n *network) reset(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.wires {
		if w.dialer == a && w.acceptor == b || w.dialer == b && w.acceptor == a {
			w.reset()
		}
	}
}

// transferred returns the number of bytes transferred from one server to another.
func (n *network) carried(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.way(from, to).bytes
}

// dialed returns the number of connections that one server has opened to another.
func (n *network) dialed(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.way(from, to).dials
}

// close closes all listeners and connections.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.announce()
	for w := range n.wires {
		w.reset()
	}
}

// reset ends both halves with an RST: what has arrived may still be read, nothing follows.
func (w *wire) reset() {
	for _, c := range w.ends {
		_ = c.SetLinger(0)
		c.Close()
	}
}

// dialedBy returns the server that opens a connection with a line; "" if none does.
func dialedBy(line string) string {
	switch fields := strings.Fields(line); {
	case len(fields) >= 5 && fields[0] == "HELLO":
		return fields[3]
	case len(fields) == 7 && fields[0] == "AT": // to or from a legacy neighbor
		return fields[6]
	}
	return ""
}

// carry handles one connection.
func (n *network) carry(c *net.TCPConn, name, address string) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(processtest.Patience))
	r := bufio.NewReader(c)
	begin, err := r.Peek(1)
	if err != nil {
		return
	}
	var first, from string
	if begin[0] == tlsRecord {
		from = serverBehind(c)
	} else {
		first, err = r.ReadString('\n')
		from = dialedBy(first)
	}
	if err != nil || from == "" {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	w := &wire{dialer: from, acceptor: name}
	n.change(w.dialer, name, func(w *way) { w.dials++ })
	if !n.lit(w.dialer, name) || !n.lit(name, w.dialer) {
		return
	}
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = c.SetLinger(0) // the server is down
		return
	}
	w.ends = [2]*net.TCPConn{c, to.(*net.TCPConn)}
	if !n.add(w) {
		w.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { n.pump(w, io.MultiReader(strings.NewReader(first), r), 0) })
	both.Go(func() { n.pump(w, to, 1) })
	both.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
	to.Close()
}

func (n *network) add(w *wire) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires[w] = true
	return !n.closed
}

// lit waits until a direction is not dark, and reports whether the network is still open.
func (n *network) lit(from, to string) bool {
	for {
		n.mu.Lock()
		dark, closed, changed := n.way(from, to).dark, n.closed, n.changed
		n.mu.Unlock()
		if !dark || closed {
			return !closed
		}
		<-changed
	}
}

// chunk is the result of one read.
type chunk struct {
	bytes []byte
	due   time.Time
	end   error
}

// pump transfers one direction of a wire: from end i to the other.
func (n *network) pump(w *wire, r io.Reader, i int) {
	from, to := w.dialer, w.acceptor
	if i == 1 {
		from, to = to, from
	}
	n.mu.Lock()
	tear := n.way(from, to).tear
	n.mu.Unlock()
	chunks := make(chan chunk, 4)
	done := make(chan struct{})
	defer close(done)
	go func() { n.read(r, from, to, chunks, done) }()
	carried := 0
	for c := range chunks {
		time.Sleep(time.Until(c.due))
		if !n.lit(from, to) {
			return
		}
		if tear > 0 && carried+len(c.bytes) >= tear {
			_, _ = w.ends[1-i].Write(c.bytes[:tear-carried])
			w.reset()
			return
		}
		carried += len(c.bytes)
		if !n.write(w.ends[1-i], c.bytes, from, to) {
			w.ends[i].Close()
			return
		}
		switch {
		case c.end == nil:
		case errors.Is(c.end, io.EOF):
			_ = w.ends[1-i].CloseWrite()
		default:
			w.reset()
		}
	}
}

// read passes on what is read, including the end.
func (n *network) read(r io.Reader, from, to string, chunks chan<- chunk, done <-chan struct{}) {
	defer close(chunks)
	for {
		buf := make([]byte, 16<<10)
		k, err := r.Read(buf)
		n.mu.Lock()
		delay := n.way(from, to).delay
		n.mu.Unlock()
		select {
		case chunks <- chunk{buf[:k], time.Now().Add(delay), err}:
		case <-done:
			return
		}
		if err != nil {
			return
		}
	}
}

// write writes at the way's rate, in pieces of at most 20 ms.
func (n *network) write(c *net.TCPConn, p []byte, from, to string) bool {
	for len(p) > 0 {
		n.mu.Lock()
		rate := n.way(from, to).rate
		n.mu.Unlock()
		k := len(p)
		if rate > 0 {
			k = min(k, max(1, rate/50))
			time.Sleep(time.Duration(k) * time.Second / time.Duration(rate))
		}
		k, err := c.Write(p[:k])
		n.mu.Lock()
		n.way(from, to).bytes += k
		n.mu.Unlock()
		if err != nil {
			return false
		}
		p = p[k:]
	}
	return true
}
