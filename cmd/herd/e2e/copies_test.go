package e2e

import (
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/reactor"
)

// A full copy is cut in the middle several times, after its first lines or later.
func TestTornCopy(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Hamilton", "Alford", "Welsh")
	n := sized(20_000, 200_000)
	c.update("Hamilton", 0, n, 1520023934)
	c.UntilEqual(n)
	c.Kill("Welsh")
	size, cuts := n*80, sized(1, 3)
	c.net.tear("Alford", "Welsh", 1000) // before anything is acknowledged
	c.Start("Welsh")
	for i, after := range []int{1000, size / 10, size / 4} {
		c.net.tear("Alford", "Welsh", after)
		before := c.net.dialed("Alford", "Welsh")
		processtest.Within(t, 2*processtest.Patience, "the copy is cut again", func() bool {
			return c.net.dialed("Alford", "Welsh") > before+cuts || c.now("Welsh").Records == uint64(n)
		})
		c.update("Hamilton", 0, n/20, 1520023935+i)
	}
	begun := time.Now()
	c.net.heal()
	c.net.reset("Alford", "Welsh")
	c.mustAgree(begun, n)
	l := c.link("Alford", "Welsh")
	figure(t, true, "a full copy that is cut repeatedly ends equal",
		"%d connections, %d resumes, %d lines for %d records",
		c.net.dialed("Alford", "Welsh"), l.Resumes, l.ATSent, n)
	if l.Resumes < 2 {
		t.Errorf("%d resumes: nothing was cut", l.Resumes)
	}
}

// lag returns an upper bound of the wait of 99 % of the calls posted to a server's loop since an earlier status.
func (c *cluster) lag(name string, since [32]uint64) time.Duration {
	c.T.Helper()
	h := reactor.Histogram{Counts: c.now(name).Loop.Lags}
	for i := range h.Counts {
		h.Counts[i] -= since[i]
	}
	return h.Quantile(0.99)
}

// A server with a million records restarts without records.
func TestMillion(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, names...)
	n := sized(20_000, 1_000_000)
	c.update("Alford", 0, n, 1520023934)
	same := func() bool {
		first, last := c.now("Alford"), c.now("Ball")
		return last.Records == uint64(n) && last.Digest == first.Digest
	}
	processtest.Within(t, 5*processtest.Patience, "all servers know all clients", same)
	c.Kill("Ball")
	c.update("Hamilton", 0, n/100, 1520023935)

	var lags [4][32]uint64
	others := []string{"Alford", "Hamilton", "Holiday", "Welsh"}
	for i, name := range others {
		lags[i] = c.now(name).Loop.Lags
	}
	c.Start("Ball")
	processtest.Eventually(t, "a link is up", func() bool {
		holiday, welsh := c.link("Holiday", "Ball").State, c.link("Welsh", "Ball").State
		return holiday == "copying" || holiday == "live" || welsh == "copying" || welsh == "live"
	})
	begun := time.Now()
	processtest.Within(t, 5*processtest.Patience, "Ball has everything", func() bool {
		for _, name := range others {
			c.now(name) // each is a posted call, and so measures the loop's lag
		}
		return same()
	})
	took := time.Since(begun)
	slowest := time.Duration(0)
	for i, name := range others {
		slowest = max(slowest, c.lag(name, lags[i]))
	}
	figure(t, took <= 10*time.Second, "1,000,000 records to a server that restarts empty: 10 s",
		"%d records in %.1f s",
		n, took.Seconds())
	figure(t, slowest <= 20*time.Millisecond, "loop lag on the others meanwhile, p99 20 ms",
		"below %.1f ms",
		slowest.Seconds()*1000)
	c.UntilLive()
}

// A server with a million records has three links, and one of its neighbors is stopped.
func TestMemoryOfAMillion(t *testing.T) {
	scenario(t)
	others := []string{"Ball", "Hamilton", "Welsh"}
	star := map[string][]string{"Alford": others}
	for _, name := range others {
		star[name] = []string{"Alford"}
	}
	c := newClusterOf(t, quiet, star, append(others, "Alford")...)
	c.startAll()
	n := sized(20_000, 1_000_000)
	second := 1520023934
	everything := func() {
		c.update("Alford", 0, n, second)
		second++
		tail := c.now("Alford").Tail
		processtest.Within(t, 5*processtest.Patience, "the others have it", func() bool {
			return c.link("Alford", "Hamilton").Acknowledged >= tail &&
				c.link("Alford", "Welsh").Acknowledged >= tail
		})
	}
	everything()
	everything()
	before := c.memory("Alford")
	c.suspend("Ball")
	most := before
	for range sized(2, 3) {
		everything()
		most = max(most, c.memory("Alford"))
	}
	if c.link("Alford", "Ball").Acknowledged >= c.now("Alford").Tail {
		t.Error("the stopped neighbor acknowledged")
	}
	figure(t, most < before+before/8+32*mib,
		"memory with 1,000,000 records and three links, one of them stopped: flat",
		"%d MiB, %d MiB at most while it is stopped, %d records", before/mib, most/mib, n)
	begun := time.Now()
	c.signal("Ball", syscall.SIGCONT)
	c.mustAgree(begun, n)
}
