package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
)

// bystander is a client that sends requests all the time, to measure how others affect it.
type bystander struct {
	stop  chan struct{}
	waits chan []time.Duration
	n     *atomic.Int64
}

// served returns the number of replies.
func (b *bystander) served() int { return int(b.n.Load()) }

func (c *cluster) bystander(name string) *bystander {
	conn := c.dial(name)
	b := &bystander{make(chan struct{}), make(chan []time.Duration, 1), &atomic.Int64{}}
	go func() {
		var waits []time.Duration
		defer func() { b.waits <- waits }()
		in := bufio.NewReader(conn)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-b.stop:
				return
			case <-tick.C:
			}
			begun := time.Now()
			_ = conn.SetDeadline(begun.Add(processtest.Patience))
			fmt.Fprintf(conn, "WHATSAT nobody 1 1\n")
			for range 2 {
				if _, err := in.ReadString('\n'); err != nil {
					c.T.Errorf("a bystander: %v", err)
					return
				}
			}
			waits = append(waits, time.Since(begun))
			b.n.Add(1)
		}
	}()
	return b
}

// done stops the bystander and returns its p99 and longest wait.
func (b *bystander) done() (p99, longest time.Duration) {
	close(b.stop)
	waits := <-b.waits
	if len(waits) == 0 {
		return 0, 0
	}
	slices.Sort(waits)
	return waits[len(waits)*99/100], waits[len(waits)-1]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func TestUnfinishedLines(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	before := c.memory("Alford")
	b := c.bystander("Alford")
	for range 100 {
		if _, err := c.dial("Alford").Write(bytes.Repeat([]byte("x"), 16000)); err != nil {
			t.Fatal(err)
		}
	}
	p99, _ := b.done()
	grown := c.memory("Alford") - before
	figure(t, grown < 32<<20, "100 lines that do not end: memory bounded",
		"%.0f MiB more; a bystander waits %.1f ms at p99", float64(grown)/mib, ms(p99))
}

// The end of the test checks that no descriptor is leaked.
func TestConnectAndClose(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	b := c.bystander("Alford")
	n := sized(500, 10_000)
	begun := time.Now()
	for i := range n {
		conn, err := net.Dial("tcp", c.Server("Alford").Listen)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 { // the others send nothing and close cleanly
		case 1:
			fmt.Fprint(conn, "IAMAT half")
		case 2:
			fmt.Fprint(conn, "nonsense\n") // whose reply is not read
		case 3:
			_ = conn.(*net.TCPConn).SetLinger(0) // RST
		}
		conn.Close()
	}
	p99, _ := b.done()
	processtest.Eventually(t, "all are gone", func() bool { return c.now("Alford").Connections <= 1 })
	figure(t, true, "connect and close 10,000 times: no descriptor left",
		"%d in %.1f s; a bystander waits %.1f ms at p99", n, time.Since(begun).Seconds(), ms(p99))
}

func TestResetInMidLine(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	for i := range 200 {
		conn := c.dial("Alford").(*net.TCPConn)
		_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
		// What was sent together with a line that was answered has been read, too.
		fmt.Fprintf(conn, "nonsense\nIAMAT torn%d +34.068930-118.445127 15200239", i)
		if _, err := io.ReadFull(conn, make([]byte, len("? nonsense\n\n"))); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetLinger(0)
		conn.Close()
	}
	processtest.Eventually(t, "all are gone", func() bool { return c.now("Alford").Connections <= 1 })
	records := c.now("Alford").Records
	if records > 0 {
		t.Errorf("%d incomplete lines were executed", records)
	}
	figure(t, records == 0, "RST within a line: nothing executed", "%d of 200 executed", records)
}

// A client that sends and never reads is paused, and then disconnected.
func TestNeverReads(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	before, most := c.memory("Alford"), c.peak("Alford")
	b := c.bystander("Alford")
	conn := c.dial("Alford")
	_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
	lines := []byte(strings.Repeat("help\n", 10_000))
	sent := 0
	for {
		n, err := conn.Write(lines)
		if sent += n; err != nil {
			break
		}
	}
	p99, _ := b.done()
	counters := c.now("Alford").Counters
	// The limits of unread output and of held input are reached at about the same time: any of them counts.
	cut := counters.InputLimits + counters.OutputLimits + counters.StallLimits
	if cut != 1 || counters.Held == 0 {
		t.Errorf("disconnected %d times, held %d times", cut, counters.Held)
	}
	grown := most() - before
	figure(t, grown < 64*mib, "a client that never reads: disconnected, counted, memory bounded",
		"after %.1f MiB sent, %.0f MiB more at most; a bystander waits %.1f ms at p99", float64(sent)/mib, float64(grown)/mib, ms(p99))
}

// A client that sends everything, half-closes, and only then reads gets every reply.
func TestHalfClosed(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	before, most := c.memory("Alford"), c.peak("Alford")
	conn := c.dial("Alford").(*net.TCPConn)
	_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
	n := sized(60_000, 120_000)
	var lines bytes.Buffer
	for i := range n {
		fmt.Fprintf(&lines, "IAMAT client%06d +34.068930-118.445127 1520023934.5\n", i)
	}
	size := lines.Len()
	sent := make(chan error, 1)
	go func() { // more than kernel buffers hold, on some systems
		_, err := conn.Write(lines.Bytes())
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	processtest.Eventually(t, "lines are held", func() bool { return c.now("Alford").Counters.Held > 0 })
	replies := 0
	in := bufio.NewScanner(conn)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			replies++
		}
	}
	if err := errors.Join(<-sent, in.Err()); err != nil {
		t.Error(err)
	}
	if replies != n {
		t.Errorf("%d replies to %d lines", replies, n)
	}
	grown := most() - before
	figure(t, replies == n, "a client that sends, half-closes and then reads: every reply",
		"%d replies to %.1f MB; %.0f MiB more at most", replies, float64(size)/1e6, float64(grown)/mib)
}

// A server that has no free descriptors continues to serve its connections, and accepts new ones when it has some.
func TestOutOfDescriptors(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	b := c.bystander("Alford")
	processtest.Eventually(t, "the bystander is served", func() bool { return b.served() > 0 })
	pid := c.Running["Alford"].Cmd.Process.Pid
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(c.descriptors("Alford") + 5)
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	const n = 40
	var served atomic.Int64
	var all sync.WaitGroup
	for range n {
		conn := c.dial("Alford")
		_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
		all.Go(func() {
			fmt.Fprintf(conn, "nonsense\n")
			if _, err := io.ReadFull(conn, make([]byte, len("? nonsense\n\n"))); err == nil {
				served.Add(1)
			}
		})
	}
	processtest.Eventually(t, "some are served", func() bool { return served.Load() > 0 })
	withFew := served.Load()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	raised := time.Now()
	all.Wait()
	took := time.Since(raised)
	// A connection that is accepted with the last descriptor may be closed for lack of another one, and then the next one
	// is accepted, while there are few.
	if closed := n - served.Load(); closed > n/2 {
		t.Errorf("%d of %d were closed", closed, n)
	}
	for range 5 {
		late := c.dial("Alford")
		_ = late.SetDeadline(time.Now().Add(processtest.Patience))
		fmt.Fprintf(late, "nonsense\n")
		if _, err := io.ReadFull(late, make([]byte, len("? nonsense\n\n"))); err != nil {
			t.Errorf("after there were descriptors again: %v", err)
		}
	}
	p99, _ := b.done()
	figure(t, took < time.Second, "EMFILE: others are served, accepting resumes within 1 s",
		"%d of %d served with few descriptors, the last %.0f ms after there were more, %d closed; a bystander waits "+
			"%.1f ms at p99", withFew, n, ms(took), n-served.Load(), ms(p99))
}

// A restarted server can use its port at once, although many connections were open, closed cleanly or not.
func TestRestartUnderManyConnections(t *testing.T) {
	scenario(t)
	for _, how := range []string{"stop", "kill -9"} {
		c := newCluster(t, quiet, "Alford")
		c.Start("Alford")
		c.now("Alford")
		n := sized(100, 1000)
		for range n {
			fmt.Fprintf(c.dial("Alford"), "nonsense\n")
		}
		processtest.Eventually(t, "all are served", func() bool {
			return c.now("Alford").Counters.Replies == uint64(n)
		})
		begun := time.Now()
		if how == "stop" {
			if code := c.Stop("Alford"); code != 0 {
				t.Errorf("exit code %d", code)
			}
		} else {
			c.Kill("Alford")
		}
		stopped := time.Since(begun)
		c.Start("Alford")
		c.now("Alford")
		took := time.Since(begun) - stopped
		if got := c.Ask("Alford", "nonsense\n"); got != "? nonsense\n\n" {
			t.Errorf("%s: afterwards a client is answered %q", how, got)
		}
		figure(t, true, "stop with 1,000 connections and start again at once: listening",
			"%s: %d connections, ended in %.2f s, answers %.2f s after the start", how, n,
			stopped.Seconds(), took.Seconds())
	}
}

// Of many simultaneous connects each is served or refused.
func TestManyConnects(t *testing.T) {
	const required = "10,000 simultaneous connects: each served or refused"
	scenario(t)
	n := sized(300, 10_000)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < uint64(n+200) {
		notRun(t, required, fmt.Sprintf("this process may open %d descriptors only", limit.Cur))
	}
	c := startCluster(t, quiet+fmt.Sprintf("[limits]\nmax_connections = %d\n", n*4/5), "Alford")
	var served, refused, other atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range n {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", c.Server("Alford").Listen, processtest.Patience)
			if err != nil {
				other.Add(1)
				return
			}
			c.T.Cleanup(func() { conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
			fmt.Fprintf(conn, "nonsense\n")
			reply, err := bufio.NewReader(conn).ReadString('\n')
			switch {
			case reply == "? nonsense\n":
				served.Add(1)
			case errors.Is(err, os.ErrDeadlineExceeded): // neither served nor refused
				other.Add(1)
			case reply == "> SERVER FULL\n", err != nil:
				refused.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	all.Wait()
	if got := served.Load(); got < int64(n*4/5) || other.Load() > 0 {
		t.Errorf("%d served, %d refused, %d neither", got, refused.Load(), other.Load())
	}
	figure(t, other.Load() == 0, required, "%d served, %d refused, in %.1f s", served.Load(), refused.Load(),
		time.Since(begun).Seconds())
}

func TestMoreClientsThanAllowed(t *testing.T) {
	scenario(t)
	most := sized(10_000, 1_000_000)
	c := startCluster(t, quiet+fmt.Sprintf("[limits]\nmax_clients = %d\n", most), "Alford")
	conn := c.dial("Alford")
	_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
	taken, refused := 0, 0
	in := bufio.NewScanner(conn)
	// One batch after the other: a client that leaves too much unread is disconnected.
	const batch = 1000
	for first := 0; first < 2*most; first += batch {
		var lines strings.Builder
		for i := range batch {
			fmt.Fprintf(&lines, "IAMAT client%d +1-1 1\n", first+i)
		}
		if _, err := io.WriteString(conn, lines.String()); err != nil {
			t.Fatal(err)
		}
		for ends := 0; ends < batch; { // an empty line ends a reply
			if !in.Scan() {
				t.Fatalf("after %d taken and %d refused: %v", taken, refused, in.Err())
			}
			switch line := in.Text(); {
			case line == "":
				ends++
			case strings.HasPrefix(line, "AT "):
				taken++
			case strings.HasPrefix(line, "> IAMAT CLIENTS: this server holds its maximum"):
				refused++
			}
		}
	}
	s := c.now("Alford")
	exact := taken == most && refused == most && s.Records == uint64(most) && s.Counters.ClientsRefused == uint64(most)
	if !exact {
		t.Errorf("%d taken, %d refused, %d records, %d counted", taken, refused, s.Records, s.Counters.ClientsRefused)
	}
	figure(t, exact, "2,000,000 new ids: exactly max_clients accepted", "%d taken, %d refused", taken, refused)
}
