package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// mover is a client that sends updates of ever new clients to one server, a few lines at a time, and counts the
// acknowledged ones. One goroutine.
type mover struct {
	name  string
	pause time.Duration // between two batches of lines
	acked int           // the clients with lower numbers are acknowledged
}

// batchSize is the number of lines that a mover has in flight.
const batchSize = 16

// move runs until the server closes the connection or stop is set between two batches. It returns an error for anything but
// the reply to the next line, nil for an end between replies.
func (m *mover) move(conn net.Conn, stop func() bool) error {
	r := bufio.NewReader(conn)
	for ; !stop(); time.Sleep(m.pause) {
		var lines strings.Builder
		for i := range batchSize {
			fmt.Fprintf(&lines, "IAMAT %s-%d +34.068930-118.445127 1520023934\n", m.name, m.acked+i)
		}
		if _, err := io.WriteString(conn, lines.String()); err != nil {
			return nil // what was not read need not be answered
		}
		for range batchSize {
			reply, err := r.ReadString('\n')
			if err == io.EOF && reply == "" || errors.Is(err, syscall.ECONNRESET) {
				return nil
			}
			end, err := r.ReadString('\n')
			want := fmt.Sprintf(" %s-%d +", m.name, m.acked)
			if err != nil || end != "\n" || !strings.Contains(reply, want) {
				return fmt.Errorf("%w: %q, want the reply to line %d", err, reply, m.acked)
			}
			m.acked++
		}
	}
	return nil
}

// terminate sends SIGTERM, waits for the exit, and returns how long that took.
func (c *cluster) terminate(name string) (code int, took time.Duration) {
	c.T.Helper()
	begun := time.Now()
	code = c.Stop(name)
	return code, time.Since(begun)
}

func TestStopIdle(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	c.update("Ball", 0, 1000, 1520023934)
	c.UntilEqual(1000)
	code, took := c.terminate("Alford")
	figure(t, took <= time.Second, "SIGTERM idle: exit 0 within 1 s",
		"exit %d after %.2f s", code, took.Seconds())
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// linesIn returns how many lines a server that has exited had read from each of its clients, by address.
func (c *cluster) linesIn(name string) map[string]int {
	c.T.Helper()
	read := map[string]int{}
	for line := range strings.Lines(logOf(c.Herd, name)) {
		var e struct {
			Msg, Peer string
			LinesIn   int `json:"lines_in"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == "connection lost" {
			read[e.Peer] = e.LinesIn
		}
	}
	return read
}

// A server is stopped under load: what it has read is answered, and what it has answered is known to the others.
func TestStopUnderLoad(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	movers := make([]mover, sized(8, 50))
	peers := make([]string, len(movers))
	var all sync.WaitGroup
	for i := range movers {
		conn := c.dial("Alford")
		movers[i].name, peers[i] = fmt.Sprintf("mover%d", i), conn.LocalAddr().String()
		all.Go(func() {
			if err := movers[i].move(conn, func() bool { return false }); err != nil {
				t.Error(err)
			}
		})
	}
	want := uint64(sized(2000, 50_000))
	processtest.Eventually(t, "the load runs", func() bool { return c.now("Alford").Records > want })
	code, took := c.terminate("Alford")
	all.Wait()
	read, acked := c.linesIn("Alford"), 0
	for i, m := range movers {
		acked += m.acked
		if read[peers[i]] != m.acked {
			t.Errorf("%s: %d lines read, %d replies", m.name, read[peers[i]], m.acked)
		}
	}
	figure(t, code == 0 && took <= 5*time.Second,
		"SIGTERM under load: all that was read answered, exit 0 within the drain time of 5 s",
		"exit %d after %.2f s, %d updates of %d clients", code, took.Seconds(), acked, len(movers))
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	c.UntilEqual(acked) // all servers know each of them
}

// All five servers are stopped at the same moment, under load, several times. None of them waits for another one until its
// drain time is over, and what was acknowledged is on the disks.
func TestStopAllAtOnce(t *testing.T) {
	scenario(t)
	c := newCluster(t, placeless+journaled, names...)
	movers := make([]mover, 2*len(names))
	for i := range movers {
		movers[i].name = fmt.Sprintf("mover%d", i)
	}
	slowest, rounds := time.Duration(0), sized(2, 20)
	for range rounds {
		for _, name := range names {
			c.Start(name)
		}
		c.UntilLive()
		before := c.now(names[0]).Counters.Applied
		var all sync.WaitGroup
		for i := range movers {
			conn := c.dial(names[i%len(names)])
			all.Go(func() {
				defer conn.Close()
				if err := movers[i].move(conn, func() bool { return false }); err != nil {
					t.Error(err)
				}
			})
		}
		processtest.Eventually(t, "the load runs", func() bool {
			return c.now(names[0]).Counters.Applied > before+uint64(sized(100, 2000))
		})
		stopped := map[string]*processtest.Process{}
		begun := time.Now()
		for _, name := range names {
			c.signal(name, syscall.SIGTERM)
			stopped[name] = c.Running[name]
		}
		for _, name := range names {
			c.Wait(stopped[name])
			if code := stopped[name].Cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("%s: exit code %d", name, code)
			}
			c.Kill(name) // it has exited
		}
		slowest = max(slowest, time.Since(begun))
		all.Wait()
	}
	acked := 0
	for _, m := range movers {
		acked += m.acked
	}
	for _, name := range names {
		c.Start(name)
	}
	c.UntilEqual(acked)
	figure(t, slowest <= 2*time.Second,
		"SIGTERM to all five at once under load: each exits with 0 within 2 s, nothing is missing afterwards",
		"%d times: the last out after %.2f s at most, none of %d updates missing", rounds, slowest.Seconds(), acked)
}

// The only neighbor was killed and restarted, without records, when the server is stopped.
func TestStopBesideANewProcess(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford", "Welsh")
	n := sized(2000, 50_000)
	c.update("Alford", 0, n, 1520023934)
	c.UntilEqual(n)
	c.Kill("Welsh")
	processtest.Eventually(t, "the link is down", func() bool { return c.link("Alford", "Welsh").State == "down" })
	c.suspend("Alford") // so that it sees both at the same moment
	c.Start("Welsh")
	c.now("Welsh")
	begun := time.Now()
	p := c.Running["Alford"]
	c.signal("Alford", syscall.SIGTERM)
	c.signal("Alford", syscall.SIGCONT)
	c.Wait(p)
	took, code := time.Since(begun), p.Cmd.ProcessState.ExitCode()
	c.Kill("Alford") // it has exited
	got := c.now("Welsh").Records
	figure(t, code == 0 && got == uint64(n), "a stop hands everything over to a neighbor that has just started",
		"%d of %d records, exit %d after %.2f s", got, n, code, took.Seconds())
	if code != 0 || got != uint64(n) {
		t.Errorf("exit code %d, %d of %d records", code, got, n)
	}
}

// Neither a client that reads nothing nor one that sends without end delays the stop of a server.
func TestStopIsNotHeld(t *testing.T) {
	scenario(t)
	const drain = 3 * time.Second
	c := startCluster(t, unlogged+processtest.Embedded+"[limits]\ndrain = \"3s\"\noutput_hard = 1000000000\n", names...)
	lazy := c.dial("Alford")
	_ = lazy.(*net.TCPConn).SetReadBuffer(4 << 10)
	go func() {
		fmt.Fprint(lazy, "IAMAT kiwi +34.068930-118.445127 5\n"+strings.Repeat("WHATSAT kiwi 50 20\n", 4000))
	}()
	endless := c.dial("Alford")
	go func() {
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(endless, "IAMAT endless +34.068930-118.445127 %d\n", i); err != nil {
				return
			}
		}
	}()
	var replies atomic.Int64
	go func() {
		r := bufio.NewReader(endless)
		for {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			replies.Add(1)
		}
	}()
	processtest.Eventually(t, "both clients are active", func() bool {
		return replies.Load() > 1000 && c.now("Alford").Counters.WHATSAT > 100
	})
	begun := time.Now()
	c.signal("Alford", syscall.SIGTERM)
	p := c.Running["Alford"]
	processtest.Eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", c.Server("Alford").Listen)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	refused := time.Since(begun)
	select {
	case <-p.Done:
		t.Errorf("it exited after %v without waiting: the test is void", refused)
	default:
	}
	c.Wait(p)
	took := time.Since(begun)
	delete(c.Running, "Alford")
	code := p.Cmd.ProcessState.ExitCode()
	figure(t, code == 0 && took <= drain+500*time.Millisecond && refused < time.Second,
		"a slow reader and an endless sender: exit 0 after the drain time of 3 s, no new connections meanwhile",
		"exit %d after %.2f s, refused after %.2f s", code, took.Seconds(), refused.Seconds())
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The standard output and standard error of a server are closed.
func TestClosedOutput(t *testing.T) {
	scenario(t)
	c := newCluster(t, placeless, "Alford")
	p := exec.Command("/bin/sh", "-c", `exec "$0" "$@" >&- 2>&-`, processtest.Binary, "serve", "Alford",
		"--config", c.Config())
	p.Dir = c.Dir
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	processtest.Eventually(t, "Alford answers", func() bool { return c.Status("Alford") != nil })
	for i := range 10 {
		c.update("Alford", 0, 100, 1520023934+i)
	}
	if s := c.Status("Alford"); s == nil || s.Records != 100 {
		t.Errorf("unexpected status of Alford: %+v", s)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	ended = true
	if err := p.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if log := logOf(c.Herd, "Alford"); !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("its log has no entry about the stop: %.300s", log)
	}
	figure(t, true, "stdout and stderr closed: the server keeps running", "1,000 updates, exit 0")
}
