package e2e

import (
	"fmt"
	"io"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// One of two links is slower than the rate of updates of a client.
func TestSlowLink(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Hamilton", "Alford", "Welsh")
	rate := sized(25_000, 12_500) // bytes a second
	c.net.slow("Alford", "Welsh", rate)
	c.checkConflation(rate)
}

// checkConflation sends updates of one client to Alford faster than its link to Welsh, with the given rate, can forward them.
func (c *cluster) checkConflation(rate int) {
	t, updates := c.T, 0
	t.Helper()
	client := c.dial("Alford")
	go func() { _, _ = io.Copy(io.Discard, client) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for ; time.Since(begun) < sized(4*time.Second, 30*time.Second); <-tick.C {
		for range sized(10, 1) {
			updates++
			fmt.Fprintf(client, "IAMAT kiwi +34.068930-118.445127 %d.%03d\n", 1520023934+updates/1000,
				updates%1000)
		}
	}
	// What the link could transfer, at 100 bytes and more per record and MARK, and a little more.
	most := uint64(time.Since(begun).Seconds()*float64(rate)+128<<10) / 100
	sent := c.link("Alford", "Welsh").ATSent
	if sent > most {
		t.Errorf("%d updates were sent, more than the %d that the link could take", sent, most)
	}
	begun = time.Now()
	// The last update is identified by the digest, which is Alford's.
	arrives := func(name string) (after time.Duration) {
		processtest.Within(t, 5*time.Minute, "the last update arrives at "+name, func() bool {
			last, s := c.now("Alford"), c.now(name)
			return last.Counters.IAMAT == uint64(updates) && s.Digest == last.Digest
		})
		return time.Since(begun)
	}
	after := arrives("Hamilton")
	figure(t, after < 2*time.Second, "the other link is not affected",
		"last update there after %.2f s", after.Seconds())
	after = arrives("Welsh")
	sent = c.link("Alford", "Welsh").ATSent
	figure(t, sent < uint64(updates), "conflated, and the last update arrives",
		"%d of %d updates sent at %d kbit/s, the last %.1f s after it was made", sent, updates,
		rate*8/1000, after.Seconds())
	if sent >= uint64(updates) {
		t.Errorf("all %d updates were sent: nothing was conflated", updates)
	}
	if n := c.link("Hamilton", "Alford").Copies + c.link("Welsh", "Alford").Copies; n > 2 {
		t.Errorf("a link was lost: %d copies", n)
	}
}
