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

// network is the TCP between the servers of a herd, in the test's hands. In front of each server is
// a listener whose address herd.toml names; a connection's first line says whose it is.
//
// What happens to a packet depends on its direction, from one server to another, whoever dialled. A
// dark direction swallows everything, the end of a connection included, until it is lit again; what
// a connection that is still there has under way comes then, as TCP would send it again. Any
// goroutine.
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
	rate  int           // bytes a second; 0: as fast as they come
	delay time.Duration // of everything
	tear  int           // each connection is reset after so many bytes this way; 0: it is not
	dials int           // connections begun
	bytes int           // carried
}

// wire is one connection between two servers.
type wire struct {
	dialler, acceptor string
	ends              [2]*net.TCPConn // the dialler's, the acceptor's
}

func newNetwork(t *testing.T) *network {
	n := &network{
		changed: make(chan struct{}), ways: map[[2]string]*way{}, wires: map[*wire]bool{},
	}
	t.Cleanup(n.close)
	return n
}

// front listens in front of the server called name, which itself listens at address, and returns
// where.
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

// way returns the direction from one server to another. Call it with mu held.
func (n *network) way(from, to string) *way {
	w := n.ways[[2]string{from, to}]
	if w == nil {
		w = &way{}
		n.ways[[2]string{from, to}] = w
	}
	return w
}

// change does something to a direction.
func (n *network) change(from, to string, what func(*way)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what(n.way(from, to))
	n.announce()
}

// announce wakes whoever waits for light. Call it with mu held.
func (n *network) announce() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// lose swallows everything that goes from one server to another.
func (n *network) lose(from, to string) { n.change(from, to, func(w *way) { w.dark = true }) }

// cut swallows everything between two servers.
func (n *network) cut(a, b string) {
	n.lose(a, b)
	n.lose(b, a)
}

// heal ends every loss, slowness and tearing.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.ways {
		w.dark, w.rate, w.delay, w.tear = false, 0, 0, 0
	}
	n.announce()
}

// slow lets so many bytes a second pass.
func (n *network) slow(from, to string, rate int) {
	n.change(from, to, func(w *way) { w.rate = rate })
}

// late delays everything.
func (n *network) late(from, to string, by time.Duration) {
	n.change(from, to, func(w *way) { w.delay = by })
}

// tear resets each connection that begins from now on after so many bytes in this direction.
func (n *network) tear(from, to string, bytes int) {
	n.change(from, to, func(w *way) { w.tear = bytes })
}

// reset resets all connections between two servers.
func (n *network) reset(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.wires {
		if w.dialler == a && w.acceptor == b || w.dialler == b && w.acceptor == a {
			w.reset()
		}
	}
}

// carried is how many bytes have gone from one server to another.
func (n *network) carried(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.way(from, to).bytes
}

// dialled is how many connections one server has begun to another.
func (n *network) dialled(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.way(from, to).dials
}

// close ends everything.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.announce()
	for w := range n.wires {
		w.reset()
	}
}

// reset ends both halves as a RST would: what has arrived may still be read, nothing follows.
func (w *wire) reset() {
	for _, c := range w.ends {
		_ = c.SetLinger(0)
		c.Close()
	}
}

// dialledBy is the server that begins a connection with a line; "" if none does.
func dialledBy(line string) string {
	switch fields := strings.Fields(line); {
	case len(fields) >= 5 && fields[0] == "HELLO":
		return fields[3]
	case len(fields) == 7 && fields[0] == "AT": // to a plain neighbor, or from one
		return fields[6]
	}
	return ""
}

// carry is the life of one connection.
func (n *network) carry(c *net.TCPConn, name, address string) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(processtest.Patience))
	r := bufio.NewReader(c)
	first, err := r.ReadString('\n')
	from := dialledBy(first)
	if err != nil || from == "" {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	w := &wire{dialler: from, acceptor: name}
	n.change(w.dialler, name, func(w *way) { w.dials++ })
	if !n.lit(w.dialler, name) || !n.lit(name, w.dialler) {
		return
	}
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = c.SetLinger(0) // nobody is there
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

// lit waits until a direction is not dark, and reports whether the network still is.
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

// chunk is what was read at once, and what came after it.
type chunk struct {
	bytes []byte
	due   time.Time
	end   error
}

// pump carries one direction of a wire: from end i to the other.
func (n *network) pump(w *wire, r io.Reader, i int) {
	from, to := w.dialler, w.acceptor
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

// read hands over what comes, and the end.
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
