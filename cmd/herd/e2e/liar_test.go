package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// startWithPeer starts Hamilton and Alford of a herd Hamilton - Alford - Welsh, in which Welsh is a peer of the test.
func startWithPeer(t *testing.T, extra string) *cluster {
	t.Helper()
	c := newCluster(t, extra, "Hamilton", "Alford", "Welsh")
	c.Start("Hamilton")
	c.Start("Alford")
	processtest.Eventually(t, "Hamilton and Alford are live", func() bool {
		return c.link("Alford", "Hamilton").State == "live" && c.link("Hamilton", "Alford").State == "live"
	})
	c.watch()
	return c
}

// startWelsh starts the real Welsh in place of the peer.
func (c *cluster) startWelsh(n int) {
	c.T.Helper()
	begun := time.Now()
	c.Start("Welsh")
	c.mustAgree(begun, n)
	for _, name := range []string{"Hamilton", "Alford", "Welsh"} {
		c.update(name, 0, 1, 1600000000)
	}
	c.UntilEqual(n)
}

// floods are ways to flood a server as its neighbor, for some time or until the server closes the connection.
var floods = []struct {
	name  string
	reads bool
	text  func(i int) string
	ends  bool // the server drops it
}{
	{"updates of a few clients", true, func(i int) string {
		var b strings.Builder
		for k := range 200 {
			fmt.Fprintf(&b, "AT Welsh +0.1 client%07d +1-1 %d Welsh\r\n", k, 1520000000+i)
		}
		fmt.Fprintf(&b, "MARK %d %d - 1 0000000000000000\r\n", i+1, i+1)
		return b.String()
	}, false},
	{"known records, unread answers", false, func(i int) string {
		return strings.Repeat("AT Welsh +0.1 client0000000 +1-1 1500000000 Welsh\r\n"+
			"MARK 1 1 - 1 0000000000000000\r\n", 100)
	}, false},
	{"PING, unread", false, func(int) string {
		return strings.Repeat("PING 18446744073709551615\r\n", 500)
	}, true},
	{"nonsense", true, func(int) string { return strings.Repeat("nonsense\r\n", 50) }, true},
	{"records of an origin that is no name", true, func(i int) string {
		return fmt.Sprintf("AT 9Kiwi +0.1 bad%d +1-1 1500000000 Welsh\r\n", i)
	}, true},
	{"records with wrong fields", true, func(i int) string {
		return fmt.Sprintf("AT Welsh +0.1 bad%d +91-1 nan Welsh\r\n", i)
	}, true},
	{"another sender", true, func(i int) string {
		return fmt.Sprintf("AT Welsh +0.1 bad%d +1-1 1500000000 Hamilton\r\n", i)
	}, true},
	{"one endless line", true, func(int) string { return strings.Repeat("x", 1000) }, true},
	{"MARK backwards", true, func(i int) string {
		return fmt.Sprintf("MARK %d 999999 - 1 0000000000000000\r\n", 999999-i)
	}, true},
	{"MARK past its tail", true, func(int) string { return "MARK 9 8 - 1 0000000000000000\r\n" }, true},
	{"ACK on the wrong side", true, func(i int) string { return fmt.Sprintf("ACK %d\r\n", i) }, true},
}

// flood sends text as fast as possible for d or until the server closes the connection, and reports which.
func (p *peer) flood(d time.Duration, reads bool, text func(i int) string) (dropped bool) {
	if reads {
		go func() { _, _ = io.Copy(io.Discard, p.r) }()
	}
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		_ = p.SetWriteDeadline(end)
		if _, err := io.WriteString(p, text(i)); err != nil {
			return time.Now().Before(end)
		}
	}
	return false
}

// A neighbor floods a server in each of these ways.
func TestFlood(t *testing.T) {
	scenario(t)
	c := startWithPeer(t, quiet)
	const n = 1000
	c.update("Hamilton", 0, n, 1520023934)
	before, bad, slowest := c.memory("Alford"), c.link("Alford", "Welsh").BadLines, time.Duration(0)
	most := before
	bystander := c.dial("Alford")
	buf := make([]byte, 4096)
	for k, flood := range floods {
		p := c.join(t, "Welsh", "Alford", fmt.Sprintf("%016x", k+1))
		done := make(chan bool, 1)
		length := sized(time.Second, 10*time.Second)
		if flood.ends {
			length = processtest.Patience
		}
		go func() { done <- p.flood(length, flood.reads, flood.text) }()
		for waiting := true; waiting; {
			select {
			case dropped := <-done:
				waiting = false
				if dropped != flood.ends {
					t.Errorf("%s: dropped %v, want %v", flood.name, dropped, flood.ends)
				}
			case <-time.After(5 * time.Millisecond):
			}
			begun := time.Now()
			_ = bystander.SetDeadline(begun.Add(processtest.Patience))
			fmt.Fprintf(bystander, "WHATSAT nobody 1 1\n")
			if _, err := io.ReadAtLeast(bystander, buf, 1); err != nil {
				t.Fatalf("%s: a bystander: %v", flood.name, err)
			}
			slowest = max(slowest, time.Since(begun))
			most = max(most, c.memory("Alford"))
		}
		p.Close()
	}
	figure(t, slowest < 500*time.Millisecond, "a neighbor that floods: others are served",
		"%d ways, a bystander waits %.0f ms at most",
		len(floods), slowest.Seconds()*1000)
	figure(t, true, "bounded memory",
		"%d MiB, %d MiB while %d ways to flood", before/mib, most/mib, len(floods))
	if most > before+96*mib {
		t.Errorf("memory grew from %d to %d MiB", before/mib, most/mib)
	}
	if got := c.link("Alford", "Welsh").BadLines - bad; got < 600 {
		t.Errorf("%d bad lines counted, want 101 for each of six floods", got)
	}
	if s := c.now("Alford"); s.Records != n {
		t.Errorf("%d records, want %d: a wrong one was accepted", s.Records, n)
	}
	c.startWelsh(n)
}

// A neighbor sends false statements on a link.
func TestLies(t *testing.T) {
	scenario(t)
	c := startWithPeer(t, quiet)
	const n = 1000
	c.update("Hamilton", 0, n, 1520023934)
	processtest.Eventually(t, "Alford has all", func() bool { return c.now("Alford").Records == n })
	epoch := c.now("Alford").Epoch
	for k, lie := range []struct {
		name, since string
		text        func(i int, seq string) string // to each MARK
		drops       bool
	}{
		{"has of this process what was never sent", epoch + " 18446744073709551615", nil, false},
		{"has of another process", "00000000000000dd 500", nil, false},
		{"acknowledges what was never sent", "- 0", func(i int, _ string) string {
			return strings.Repeat(fmt.Sprintf("ACK %d\r\n", 1<<40+i), 101)
		}, true},
		{"acknowledges again and again", "- 0", func(_ int, seq string) string {
			return strings.Repeat("ACK "+seq+"\r\n", 50_000)
		}, false},
		{"sends AT on the wrong side", "- 0", func(i int, _ string) string {
			return strings.Repeat(fmt.Sprintf("AT Welsh +0.1 bad%d +1-1 1500000000 Welsh\r\n", i), 101)
		}, true},
	} {
		copies := c.link("Alford", "Welsh").Copies
		var mu sync.Mutex
		got, ended := map[string]bool{}, false
		stop := c.impersonate("Welsh", fmt.Sprintf("%016x", 100+k), lie.since, func(p *peer) {
			defer func() { mu.Lock(); ended = true; mu.Unlock() }()
			for i := 0; ; i++ {
				line := p.readLine()
				p.said = ""
				f := strings.Fields(line)
				switch {
				case line == "":
					return
				case f[0] == "AT":
					mu.Lock()
					got[f[3]] = true
					mu.Unlock()
				case f[0] == "PING":
					p.say("PONG " + f[1])
				case f[0] == "MARK" && lie.text != nil:
					if _, err := io.WriteString(p, lie.text(i, f[1])); err != nil {
						return
					}
				case f[0] == "MARK":
					p.say("ACK " + f[1])
				}
			}
		})
		processtest.Eventually(t, lie.name+": everything arrives", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return (len(got) == n || lie.drops) && ended == lie.drops
		})
		if l := c.link("Alford", "Welsh"); l.Copies == copies {
			t.Errorf("%s: no full copy", lie.name)
		} else if lie.drops && l.BadLines < 101 {
			t.Errorf("%s: %d bad lines counted", lie.name, l.BadLines)
		}
		stop()
		c.net.reset("Alford", "Welsh")
		processtest.Eventually(t, "the peer is disconnected", func() bool {
			return c.link("Alford", "Welsh").State == "down"
		})
	}
	c.startWelsh(n)
}

// A neighbor claims to have all of our feed, and a different state.
func TestNoRepairStorm(t *testing.T) {
	scenario(t)
	c := startWithPeer(t, quiet)
	const n = 1000
	c.update("Hamilton", 0, n, 1520023934)
	processtest.Eventually(t, "Alford has all", func() bool { return c.now("Alford").Records == n })
	tail := c.now("Alford").Tail
	before := c.link("Alford", "Hamilton").ATSent
	lies, begun := 0, time.Now()
	for time.Since(begun) < sized(5*time.Second, 60*time.Second) {
		p := c.join(t, "Welsh", "Alford", "00000000000000aa")
		var answer [1]byte
		for range 20 {
			lies++
			if _, err := fmt.Fprintf(p, "MARK 2 2 %d 5 00000000000000ff\r\n", tail); err != nil {
				break
			}
			_ = p.SetReadDeadline(time.Now().Add(25 * time.Millisecond))
			if _, err := p.Read(answer[:]); err == io.EOF {
				break
			}
		}
		p.Close()
	}
	l := c.link("Alford", "Welsh")
	figure(t, true, "a neighbor that keeps reporting another state: no repair storm",
		"%d lies in %.0f s, %d repairs", lies,
		time.Since(begun).Seconds(), l.Repairs)
	if l.Repairs < 1 || l.Repairs > uint64(sized(2, 4)) { // after 10, 20, 40 s
		t.Errorf("%d repairs", l.Repairs)
	}
	if l.Agreement != "diverged" {
		t.Errorf("agreement is %q", l.Agreement)
	}
	if got := c.link("Alford", "Hamilton").ATSent; got > before {
		t.Errorf("the repairs sent %d lines on to Hamilton", got-before)
	}
	c.startWelsh(n)
	processtest.Eventually(t, "they are in sync", func() bool {
		return c.link("Alford", "Welsh").Agreement == "in sync"
	})
}
