package e2e

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// saturate loads a server with a separate process and returns the replies per second.
func (c *cluster) saturate(name string, clients, pipeline int, d time.Duration) string {
	c.T.Helper()
	out, errOut, code := c.Command("", "load", "--at", c.Server(name).Listen, "-c", fmt.Sprint(clients), "--pipeline", fmt.Sprint(pipeline),
		"-d", d.String(), "--warmup", "0s")
	rate := regexp.MustCompile(`\d+ replies/s`).FindString(out)
	if code != 0 || rate == "" {
		c.T.Errorf("herd load: exit code %d\n%s%s", code, out, errOut)
	}
	return rate
}

// Saturating clients do not starve others.
func TestSaturation(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	lags := c.now("Alford").Loop.Lags
	b := c.bystander("Alford")
	const clients = 64
	end := time.Now().Add(sized(2*time.Second, 10*time.Second))
	var replies atomic.Int64
	var all sync.WaitGroup
	for k := range clients {
		conn := c.dial("Alford")
		var lines strings.Builder
		for i := range 64 {
			fmt.Fprintf(&lines, "IAMAT client%d.%d +1-1 1\n", k, i)
		}
		all.Go(func() {
			in := bufio.NewReader(conn)
			for time.Now().Before(end) {
				if _, err := conn.Write([]byte(lines.String())); err != nil {
					t.Error(err)
					return
				}
				for range 128 {
					if _, err := in.ReadSlice('\n'); err != nil {
						t.Error(err)
						return
					}
				}
				replies.Add(64)
			}
		})
	}
	go func() { // each is a posted call, and so measures the loop's lag
		for time.Now().Before(end) {
			c.Status("Alford")
		}
	}()
	all.Wait()
	p99, longest := b.done()
	lag := c.lag("Alford", lags)
	figure(t, lag <= 20*time.Millisecond && p99 <= 50*time.Millisecond,
		"64 saturating clients: loop lag p99 20 ms, a bystander's p99 50 ms",
		"lag below %.1f ms; the bystander waits %.1f ms at p99, %.1f at most; %d replies", ms(lag), ms(p99),
		ms(longest), replies.Load())
}

// A client that sends little is served soon, however many clients saturate the server.
func TestManySaturating(t *testing.T) {
	scenario(t)
	clients := sized(50, 500)
	for _, pipeline := range []int{64, 1000} {
		c := startCluster(t, quiet, "Alford")
		b := c.bystander("Alford")
		rate := c.saturate("Alford", clients, pipeline, sized(time.Second, 10*time.Second))
		p99, longest := b.done()
		figure(t, p99 <= 50*time.Millisecond, "500 clients with 64 or 1,000 lines in flight each: a bystander's p99 50 ms",
			"%d x %d: %.1f ms at p99, %.1f at most; %s", clients, pipeline, ms(p99), ms(longest), rate)
	}
}

// Saturating clients do not delay a link, either: input from a neighbor is served in each turn.
func TestLinkBesideSaturation(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford", "Hamilton")
	n := sized(5_000, 50_000)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { c.saturate("Alford", sized(50, 500), 1000, sized(3*time.Second, 15*time.Second)) })
	processtest.Eventually(t, "the load", func() bool { return c.now("Alford").Counters.Stored > 10_000 })
	begun := time.Now()
	c.update("Hamilton", 0, n, 1520023934)
	processtest.Eventually(t, "all updates", func() bool { return c.link("Alford", "Hamilton").ATReceived >= uint64(n) })
	took := time.Since(begun)
	figure(t, took < 10*time.Second, "50,000 updates beside 500 saturating clients of the neighbor: 10 s",
		"%d arrived in %.1f s", n, took.Seconds())
}

func TestSlowReaders(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	before, most := c.memory("Alford"), c.peak("Alford")
	b := c.bystander("Alford")
	n := sized(50, 500)
	lines := []byte(strings.Repeat("help\n", 80_000)) // 10 MB of replies, more than kernel buffers hold
	var all sync.WaitGroup
	for range n {
		conn := c.dial("Alford")
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		all.Go(func() { _, _ = conn.Write(lines) })
	}
	all.Wait()
	processtest.Eventually(t, "some are held", func() bool { return c.now("Alford").Counters.Held > 0 })
	p99, _ := b.done()
	executed := uint64(0)
	processtest.Eventually(t, "all are held", func() bool {
		before := executed
		executed = c.now("Alford").Counters.LinesReceived
		return executed == before
	})
	grown := most() - before
	// Each may have 256 KiB of pending output, in a buffer of up to twice that, and 24 KiB of held lines.
	bound := n*mib + 64*mib
	figure(t, grown < bound && p99 <= 50*time.Millisecond, "500 slow readers: memory bounded, a bystander's p99 50 ms",
		"%d of them: %.0f MiB more at most; a bystander waits %.1f ms at p99", n, float64(grown)/mib, ms(p99))
}
