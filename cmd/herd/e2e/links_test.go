package e2e

import (
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// A server is killed and restarted without records.
func TestKilled(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	n := sized(2000, 10000)
	c.update("Holiday", 0, n/10, 1520023934)
	c.UntilEqual(n / 10)
	c.Kill("Ball")
	c.update("Alford", 0, n, 1520023935)
	begun := time.Now()
	c.Start("Ball")
	c.update("Hamilton", n, n+1, 1520023935) // the first new update
	c.mustAgree(begun, n+1)
}

// A process is stopped by SIGSTOP: its connections stay open but silent.
func TestStopped(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	const n = 5000
	c.update("Alford", 0, n, 1520023934)
	c.UntilEqual(n)
	before := max(c.memory("Holiday"), c.memory("Welsh"))

	begun := time.Now()
	c.suspend("Ball")
	second := 1520023935
	processtest.Eventually(t, "its neighbors drop it", func() bool {
		c.update("Alford", 0, n/10, second)
		second++
		return c.dropped("Holiday", "Ball") && c.dropped("Welsh", "Ball")
	})
	d := time.Since(begun)
	figure(t, d <= 8*time.Second, "a stopped neighbor is dropped within 8 s", "%.1f s", d.Seconds())
	for time.Since(begun) < sized(0, 30*time.Second) {
		c.update("Alford", 0, n, second)
		second++
	}
	after := max(c.memory("Holiday"), c.memory("Welsh"))
	figure(t, after < before+32*mib, "its neighbors' memory flat",
		"%+.1f MiB", float64(after-before)/mib)

	begun = time.Now()
	c.signal("Ball", syscall.SIGCONT)
	c.update("Holiday", n, n+1, second)
	c.mustAgree(begun, n+1)
}

// The ring is split into two parts, both of which continue to work.
func TestSplit(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	const n = 1000
	c.update("Ball", 0, n, 1520023934)
	c.UntilEqual(n)

	begun := time.Now()
	c.net.cut("Alford", "Welsh")
	c.net.cut("Hamilton", "Holiday")
	second := 1520023935
	both := func() {
		// Some clients send updates in one part, some in the other, some in both with the same time.
		c.update("Hamilton", 0, 2*n/3, second)
		c.update("Ball", n/3, n, second)
		second++
	}
	processtest.Eventually(t, "both sides drop their links", func() bool {
		both()
		return c.dropped("Alford", "Welsh") && c.dropped("Welsh", "Alford") &&
			c.dropped("Hamilton", "Holiday") && c.dropped("Holiday", "Hamilton")
	})
	for time.Since(begun) < sized(0, 60*time.Second) {
		both()
	}
	c.update("Alford", n, 2*n, second)
	c.update("Welsh", 2*n, 3*n, second)

	begun = time.Now()
	c.net.heal()
	c.mustAgree(begun, 3*n)
}

// Everything that one server sends is lost; what is sent to it arrives.
func TestOneWayLoss(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	begun := time.Now()
	c.net.lose("Alford", "Welsh")
	processtest.Eventually(t, "both sides drop the links", func() bool {
		return c.dropped("Alford", "Welsh") && c.dropped("Welsh", "Alford")
	})
	d := time.Since(begun)
	figure(t, d <= 8*time.Second, "both sides drop within 8 s", "%.1f s", d.Seconds())
	c.update("Alford", 0, 100, 1520023935)
	c.update("Welsh", 100, 200, 1520023935)
	c.UntilEqual(200) // the other direction
	begun = time.Now()
	c.net.heal()
	c.mustAgree(begun, 200)
}

// Connections are reset repeatedly while clients send updates.
func TestResets(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	n := sized(1000, 10000)
	c.net.late("Alford", "Welsh", 20*time.Millisecond)
	for i := range 10 {
		c.update(names[i%len(names)], i*n/10, (i+1)*n/10, 1520023934)
		c.net.reset("Alford", "Welsh")
		c.net.reset(names[i%len(names)], processtest.Ring[names[i%len(names)]][0])
	}
	c.net.heal()
	c.mustAgree(time.Now(), n)
}

// Four of five servers are down.
func TestAlone(t *testing.T) {
	scenario(t)
	c := newCluster(t, quiet, names...)
	c.Start("Alford")
	processtest.Eventually(t, "Alford is ready", func() bool {
		s := c.Status("Alford")
		return s != nil && s.Ready
	})
	begun, before := time.Now(), c.net.dialed("Alford", "Welsh")
	second := 1520023934
	for time.Since(begun) < sized(5*time.Second, 30*time.Second) {
		c.update("Alford", 0, 100, second)
		second++
	}
	dials := c.net.dialed("Alford", "Welsh") - before
	// 250 ms doubling to 5 s, half of it at least.
	if most := sized(8, 18); dials > most {
		t.Errorf("%d dials in %v, want at most %d", dials, time.Since(begun), most)
	}
	figure(t, true, "alone: serves clients, does not dial too often", "%d updates/s, %d dials in %.0f s",
		(second-1520023934)*100/int(time.Since(begun).Seconds()), dials, time.Since(begun).Seconds())
}

// The first neighbor in the list is down.
func TestTheOtherNeighborGetsEverything(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	first, second := processtest.Ring["Alford"][0], processtest.Ring["Alford"][1]
	c.Kill(first)
	n := sized(1000, 20000)
	c.update("Alford", 0, n, 1520023934)
	c.UntilEqual(n)
	if got := c.link("Alford", second).ATSent; got < uint64(n) {
		t.Errorf("%s got %d of %d updates from Alford", second, got, n)
	}
}

// A connection is reset within a line.
func TestTornLine(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford", "Welsh")
	c.update("Alford", 0, 100, 1520023934)
	c.UntilEqual(100)
	// The handshake takes 88 bytes, an AT line 77: each reset is at another position within a line.
	live, agreed := time.Duration(0), time.Duration(0)
	for i := range sized(3, 10) {
		c.net.tear("Alford", "Welsh", 200+i*61)
		c.net.reset("Alford", "Welsh")
		processtest.Eventually(t, "the link is reset", func() bool {
			c.update("Alford", 0, 50, 1520023935+i)
			return c.link("Alford", "Welsh").State == "down"
		})
		begun := time.Now()
		c.net.heal()
		l, a := c.equal(begun, 100)
		live, agreed = max(live, l), max(agreed, a)
	}
	c.agreed(live, agreed, 100)
	if l := c.link("Alford", "Welsh"); l.Copies != 1 || l.Resumes == 0 {
		t.Errorf("%d copies and %d resumes, want the first copy only", l.Copies, l.Resumes)
	}
	if bad := c.link("Welsh", "Alford").BadLines; bad > 0 {
		t.Errorf("%d bad lines counted for lines that were only incomplete", bad)
	}
}

// Two servers in sync are cut for a moment: the links resume, and records are not sent again.
func TestShortCut(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	n := sized(2000, 100_000)
	c.update("Alford", 0, n, 1520023934)
	c.UntilEqual(n)
	resumes := func() uint64 {
		return min(c.link("Alford", "Welsh").Resumes, c.link("Welsh", "Alford").Resumes)
	}
	before, bytes := resumes(), c.net.carried("Alford", "Welsh")+c.net.carried("Welsh", "Alford")
	c.net.reset("Alford", "Welsh")
	processtest.Eventually(t, "both links resume", func() bool { return resumes() > before })
	c.mustAgree(time.Now(), n)
	bytes = c.net.carried("Alford", "Welsh") + c.net.carried("Welsh", "Alford") - bytes
	figure(t, true, "a few KiB after a short cut", "%.1f KiB of %d records", float64(bytes)/1024, n)
	if bytes > 8<<10 {
		t.Errorf("%d bytes after a short cut", bytes)
	}
}
