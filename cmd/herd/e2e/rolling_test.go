package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// visitor is a mover that reconnects when its server is restarted.
type visitor struct {
	mover
	restarting atomic.Bool // its server is being restarted
	gone       atomic.Bool // its server was stopped for good
	unexpected atomic.Int64
}

func (v *visitor) run(dial func() (net.Conn, error), stop func() bool) error {
	for !stop() {
		conn, err := dial()
		if err == nil {
			err = v.move(conn, stop)
			conn.Close()
			if err != nil {
				return err
			}
		}
		if !stop() && !v.restarting.Load() {
			v.unexpected.Add(1)
		}
	}
	return nil
}

// visits are visitors of servers that are restarted one after the other.
type visits struct {
	c        *cluster
	visitors map[string]*visitor // by server
	stopped  atomic.Bool
	all      sync.WaitGroup
	slowest  time.Duration // longest stop of a server
}

// visit begins to load servers.
func (c *cluster) visit(names ...string) *visits {
	s := &visits{c: c, visitors: map[string]*visitor{}}
	for _, name := range names {
		s.add(name)
	}
	return s
}

func (s *visits) add(name string) {
	v := &visitor{mover: mover{name: name, pause: sized(250*time.Millisecond, 5*time.Millisecond)}}
	s.visitors[name] = v
	dial := func() (net.Conn, error) { return s.c.client(name) }
	s.all.Go(func() {
		if err := v.run(dial, func() bool { return s.stopped.Load() || v.gone.Load() }); err != nil {
			s.c.T.Error(err)
		}
	})
}

// loaded waits until there is load everywhere.
func (s *visits) loaded() {
	s.c.T.Helper()
	for name := range s.c.Running {
		processtest.Eventually(s.c.T, "load at "+name, func() bool {
			return s.c.now(name).Counters.Stored > uint64(sized(50, 2000))
		})
	}
}

// stop stops a server in good order.
func (s *visits) stop(name string) {
	s.c.T.Helper()
	s.visitors[name].restarting.Store(true)
	code, took := s.c.terminate(name)
	if s.slowest = max(s.slowest, took); code != 0 {
		s.c.T.Errorf("%s: exit code %d", name, code)
	}
}

// start starts a server and waits until the next one may be stopped.
func (s *visits) start(name string) {
	s.c.T.Helper()
	s.c.Start(name)
	processtest.Eventually(s.c.T, name+" is ready", func() bool {
		st := s.c.Status(name)
		return st != nil && st.Ready
	})
	if v := s.visitors[name]; v != nil {
		v.restarting.Store(false)
	}
}

// restart restarts a server under load.
func (s *visits) restart(name string) {
	s.c.T.Helper()
	s.loaded()
	s.stop(name)
	s.start(name)
}

// end ends the load, waits until all servers are equal, and returns how many updates were acknowledged and how many of them
// are missing on some server.
func (s *visits) end() (acked, missing int) {
	c := s.c
	c.T.Helper()
	s.stopped.Store(true)
	s.all.Wait()
	c.UntilLive()
	var running []string
	for name := range c.Running {
		running = append(running, name)
	}
	slices.Sort(running)
	processtest.Eventually(c.T, "all are equal", func() bool {
		first := c.now(running[0])
		for _, name := range running[1:] {
			if st := c.now(name); st.Digest != first.Digest || st.Records != first.Records {
				return false
			}
		}
		return true
	})
	for name, v := range s.visitors {
		acked += v.acked
		if n := v.unexpected.Load(); n > 0 {
			c.T.Errorf("a client of %s lost its connection %d times while other servers restarted", name, n)
		}
		other := running[0]
		if other == name {
			other = running[1]
		}
		missing += c.missing(other, v.mover)
	}
	if missing > 0 {
		c.T.Errorf("%d acknowledged updates are missing", missing)
	}
	return acked, missing
}

// All five servers are restarted, one after the other, under load.
func TestRollingRestart(t *testing.T) {
	scenario(t)
	c := startCluster(t, unlogged, names...)
	s := c.visit(names...)
	for _, name := range names {
		s.restart(name)
	}
	acked, missing := s.end()
	figure(t, missing == 0,
		"a rolling restart of all five under load: no error elsewhere, nothing missing",
		"%d of %d updates missing, each server stopped within %.2f s", missing, acked, s.slowest.Seconds())
}

// A sixth server joins by a rolling restart with a new herd.toml, and leaves by another one, under load.
func TestRollingChangeOfTheServers(t *testing.T) { rollingChange(t, false) }

// The same with journals. At the end all five servers are stopped, so that the sixth server's records can come only from
// the journals of the others.
func TestRollingChangeWithJournals(t *testing.T) { rollingChange(t, true) }

func rollingChange(t *testing.T, journals bool) {
	scenario(t)
	extra, what := unlogged, "a sixth server joins and leaves by rolling restarts under load"
	if journals {
		extra = journaled
		what += ", with journals, and all stop"
	}
	const sixth = "Irvine"
	edges := map[string][]string{sixth: {"Alford", "Ball"}}
	for name, all := range processtest.Ring {
		edges[name] = slices.Clone(all)
	}
	for _, name := range edges[sixth] {
		edges[name] = append(edges[name], sixth)
	}
	six := append(slices.Clone(names), sixth)
	c := newClusterOf(t, extra, edges, six...)
	all := c.Servers
	var five []config.Server
	for _, s := range all[:len(names)] {
		s.Neighbors = processtest.Ring[s.Name]
		five = append(five, s)
	}
	c.Write(five...)
	for _, name := range names {
		c.Start(name)
	}
	c.UntilLive()
	s := c.visit(names...)

	c.Write(all...)
	s.restart("Alford")
	s.start(sixth)
	s.add(sixth)
	for _, name := range names[1:] {
		s.restart(name)
	}
	foreign := uint64(0)
	look := func() {
		t.Helper()
		for name := range c.Running {
			st := c.now(name)
			foreign += st.Counters.Foreign
			for _, l := range st.Links {
				if l.BadLines > 0 {
					t.Errorf("%s: %d bad lines from %s", name, l.BadLines, l.Neighbor)
				}
			}
		}
	}
	s.loaded()
	look()

	s.stop(sixth)
	s.visitors[sixth].gone.Store(true)
	c.Write(five...)
	for _, name := range names {
		s.restart(name)
	}
	look()
	if journals {
		s.loaded()
		for _, name := range names {
			s.stop(name)
		}
		for _, name := range names {
			c.Start(name)
		}
		c.UntilLive()
		for _, name := range names {
			s.visitors[name].restarting.Store(false)
		}
		foreign = 0
		look()
	}
	acked, missing := s.end()
	if foreign == 0 {
		t.Error("no foreign records: the test is void")
	}
	figure(t, missing == 0, what+": no error elsewhere, nothing missing",
		"%d of %d updates missing, %d of them of the sixth server, each server stopped within %.2f s",
		missing, acked, s.visitors[sixth].acked, s.slowest.Seconds())
}

// missing returns how many of a mover's clients a server does not know.
func (c *cluster) missing(name string, m mover) (n int) {
	c.T.Helper()
	conn := c.dial(name)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
	go func() {
		w := bufio.NewWriter(conn)
		for i := range m.acked {
			fmt.Fprintf(w, "WHATSAT %s-%d 1 0\n", m.name, i)
		}
		_ = w.Flush()
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	reply, err := io.ReadAll(conn)
	if err != nil {
		c.T.Fatal(err)
	}
	return m.acked - bytes.Count(append([]byte{10}, reply...), []byte("\nAT "))
}
