package e2e

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// Measures how long an update takes over the idle ring to the farthest server, with every line logged. That server is a
// peer of the test, which sees the first AT line that reaches it.
func TestPropagation(t *testing.T) {
	scenario(t)
	c := newCluster(t, placeless, names...)
	arrived := make(chan string, 1024)
	stop := c.impersonate("Ball", "00000000000000aa", "- 0", func(p *peer) {
		for line := p.readLine(); line != ""; line = p.readLine() {
			p.said = ""
			switch f := strings.Fields(line); f[0] {
			case "AT":
				arrived <- f[3]
			case "MARK":
				p.say("ACK " + f[1])
			case "PING":
				p.say("PONG " + f[1])
			}
		}
	})
	defer stop()
	others := []string{"Alford", "Hamilton", "Holiday", "Welsh"}
	for _, name := range others {
		c.Start(name)
	}
	processtest.Eventually(t, "all links are live", func() bool {
		for _, name := range others {
			for _, l := range c.now(name).Links {
				if l.State != "live" {
					return false
				}
			}
		}
		return true
	})
	client := c.dial("Alford")
	go func() { _, _ = io.Copy(io.Discard, client) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	took := make([]time.Duration, sized(50, 2000))
	for i := range took {
		begun := time.Now()
		fmt.Fprintf(client, "IAMAT client%d +34.068930-118.445127 1520023934\n", i)
		for want := fmt.Sprint("client", i); ; {
			select {
			case got := <-arrived:
				if got != want { // from the other direction, of the update before
					continue
				}
			case <-time.After(processtest.Patience):
				t.Fatalf("update %d does not arrive", i)
			}
			break
		}
		took[i] = time.Since(begun)
		<-tick.C
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	figure(t, p99 <= 5*time.Millisecond, "an update over the idle ring, p99 5 ms",
		"p50 %.2f ms, p99 %.2f ms, %d updates",
		p50.Seconds()*1000, p99.Seconds()*1000, len(took))
}
