package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/config"
)

// cluster is a herd of real processes whose links go through a network that the test controls.
type cluster struct {
	*processtest.Herd
	net *network
	// connect opens a client's connection to a server, not through the network; nil: without TLS.
	connect func(server string) (net.Conn, error)
}

// newCluster writes the herd.toml of the paper's ring or a part of it, with extra at the beginning. No server is started.
func newCluster(t *testing.T, extra string, names ...string) *cluster {
	t.Helper()
	return newClusterOf(t, extra, processtest.Ring, names...)
}

// newClusterOf is newCluster with other edges.
func newClusterOf(t *testing.T, extra string, edges map[string][]string, names ...string) *cluster {
	t.Helper()
	n := newNetwork(t)
	host := processtest.Host() // so that no other test gets the port of a server that is down
	var servers []config.Server
	for _, name := range names {
		var free [2]string
		for i := range free {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			free[i] = l.Addr().String()
		}
		s := config.Server{Name: name, Listen: free[0], Console: free[1]}
		s.Address = n.front(t, name, s.Listen)
		for _, other := range edges[name] {
			for _, k := range names {
				if k == other {
					s.Neighbors = append(s.Neighbors, other)
				}
			}
		}
		servers = append(servers, s)
	}
	c := &cluster{Herd: processtest.New(t, extra, servers...), net: n}
	c.Flags = []string{"--pprof", "--engine", *engine}
	return c
}

// startCluster starts a herd and waits until all links are live.
func startCluster(t *testing.T, extra string, names ...string) *cluster {
	t.Helper()
	c := newCluster(t, extra, names...)
	c.startAll()
	return c
}

// startAll starts every server and waits until all links are live.
func (c *cluster) startAll() {
	c.T.Helper()
	for _, s := range c.Servers {
		c.Start(s.Name)
	}
	c.UntilLive()
	c.watch()
}

// watch checks at the end of the test, when its clients are gone, that no running server has more descriptors and
// goroutines than servers have now.
func (c *cluster) watch() {
	c.T.Helper()
	before := c.usage()
	c.T.Cleanup(func() {
		if c.T.Failed() {
			return
		}
		processtest.Eventually(c.T, "descriptors and goroutines are back", func() bool {
			after := c.usage()
			return after.descriptors <= before.descriptors+8 && after.goroutines <= before.goroutines+8
		})
	})
}

// usage is the maximum over a herd's processes.
type usage struct{ memory, descriptors, goroutines int }

func (c *cluster) usage() (u usage) {
	for name := range c.Running {
		u.memory = max(u.memory, c.memory(name))
		u.descriptors = max(u.descriptors, c.descriptors(name))
		u.goroutines = max(u.goroutines, c.goroutines(name))
	}
	return u
}

// Beginnings of herd.toml. With the race detector a server needs a second to load the embedded places; with placeless it
// refuses every WHATSAT about a client that it knows.
const (
	placeless = "[places]\nprovider = \"google-legacy\"\nbase_url = \"http://127.0.0.1:1\"\n"
	unlogged  = "[log]\nlines = false\n"
	quiet     = unlogged + placeless
)

// equal waits until all links between the running servers are live and then until they have the same n records. It returns
// how long the first took since the given moment, and how long the second took after that.
func (c *cluster) equal(since time.Time, n int) (live, agreed time.Duration) {
	c.T.Helper()
	c.UntilLive()
	live = time.Since(since)
	c.UntilEqual(n)
	return live, time.Since(since) - live
}

// mustAgree is equal with its figures: what is guaranteed after a fault has ended.
func (c *cluster) mustAgree(since time.Time, n int) {
	c.T.Helper()
	live, agreed := c.equal(since, n)
	c.agreed(live, agreed, n)
}

func (c *cluster) agreed(live, agreed time.Duration, n int) {
	c.T.Helper()
	figure(c.T, live <= 9*time.Second && agreed <= 2*time.Second,
		"links live within 9 s, equal 2 s later", "%.1f s, %.1f s later, %d records", live.Seconds(),
		agreed.Seconds(), n)
}

// now returns the status of a running server, as soon as it answers.
func (c *cluster) now(name string) (s *herd.Status) {
	c.T.Helper()
	processtest.Eventually(c.T, name+" answers", func() bool {
		s = c.Status(name)
		return s != nil
	})
	return s
}

// link returns a server's status of a link to a neighbor; the zero value if the server does not answer.
func (c *cluster) link(server, neighbor string) (l herd.LinkStatus) {
	if s := c.Status(server); s != nil {
		for _, l = range s.Links {
			if l.Neighbor == neighbor {
				return l
			}
		}
	}
	return herd.LinkStatus{}
}

// dropped reports whether a server has closed both of its links with a neighbor.
func (c *cluster) dropped(server, neighbor string) bool {
	l := c.link(server, neighbor)
	return l.State != "" && l.State != "live" && l.State != "copying" && !l.Receiving
}

// client opens a client's connection to a server, not through the network. Any goroutine.
func (c *cluster) client(name string) (net.Conn, error) {
	if c.connect != nil {
		return c.connect(name)
	}
	return net.Dial("tcp", c.Server(name).Listen)
}

// dial is client for the test's goroutine. The connection is closed at the end of the test.
func (c *cluster) dial(name string) net.Conn {
	c.T.Helper()
	conn, err := c.client(name)
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(func() { conn.Close() })
	return conn
}

// update sends updates of the clients numbered from to-1 to one server, with the time in seconds.
func (c *cluster) update(name string, from, to, second int) {
	c.T.Helper()
	conn := c.dial(name)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
	go func() {
		w := bufio.NewWriterSize(conn, 64<<10)
		for i := from; i < to; i++ {
			fmt.Fprintf(w, "IAMAT client%07d +34.068930-118.445127 %d\n", i, second)
		}
		_ = w.Flush()
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	replies := 0
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			c.T.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte("AT ")) {
			replies++
		}
	}
	if replies != to-from {
		c.T.Fatalf("%s sent %d replies to %d updates", name, replies, to-from)
	}
}

// signal sends a signal to a server's process.
func (c *cluster) signal(name string, s syscall.Signal) {
	c.T.Helper()
	if err := c.Running[name].Cmd.Process.Signal(s); err != nil {
		c.T.Fatal(err)
	}
}

// suspend stops a server's process until SIGCONT.
func (c *cluster) suspend(name string) {
	c.T.Helper()
	processtest.Suspend(c.T, c.Running[name].Cmd.Process.Pid)
}

// memory returns the resident set size of a server's process, in bytes.
func (c *cluster) memory(name string) int {
	c.T.Helper()
	return memory(c.T, c.Running[name].Cmd.Process.Pid)
}

func memory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("VmRSS:"))
	kb, err := strconv.Atoi(string(bytes.Fields(text)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// descriptors returns the number of open files of a server's process.
func (c *cluster) descriptors(name string) int {
	c.T.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.Running[name].Cmd.Process.Pid))
	if err != nil {
		c.T.Fatal(err)
	}
	return len(all)
}

// goroutines returns the number of goroutines of a server's process.
func (c *cluster) goroutines(name string) int {
	c.T.Helper()
	client, url := c.Console(name)
	r, err := client.Get(url + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		c.T.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	n := 0
	if _, err := fmt.Sscanf(string(text), "goroutine profile: total %d", &n); err != nil {
		c.T.Fatalf("%v in %.100q", err, text)
	}
	return n
}

const mib = 1 << 20

// names are the paper's five servers.
var names = processtest.Names
