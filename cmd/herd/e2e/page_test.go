package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/e2e/processtest"
)

// What pages with a map cost a server with many clients: its processor time beyond that of a follower of the feed, which is
// that of a /watch of one client, in pairs; and its memory.
func TestPages(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	clients, rate := sized(2000, 100_000), sized(1000, 10_000)
	span, pairs := sized(time.Second, 6*time.Second), sized(1, 9)
	second := 1_520_023_934
	c.update("Alford", 0, clients, second)
	conn := c.dial("Alford")
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	next := 0
	// updates sends updates for a span, and returns the share of a core that the server used.
	updates := func(span time.Duration) float64 {
		const tick = 10 * time.Millisecond
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		begun, before := time.Now(), c.processor("Alford")
		sent := 0
		for now := begun; now.Sub(begun) < span; now = <-ticker.C {
			var lines strings.Builder
			for ; sent < int(now.Sub(begun).Seconds()*float64(rate)); sent++ {
				if next++; next%clients == 0 {
					second++
				}
				fmt.Fprintf(&lines, "IAMAT client%07d +34.068930-118.445127 %d.5\n", next%clients, second)
			}
			if _, err := io.WriteString(conn, lines.String()); err != nil {
				t.Fatal(err)
			}
		}
		return (c.processor("Alford") - before).Seconds() / time.Since(begun).Seconds()
	}
	stop := c.watchOne("Alford", "client0000000")
	updates(span)
	stop()
	before := c.memory("Alford")
	for _, n := range []int{1, sized(2, 50), sized(3, 200)} {
		var stops []func()
		var taken []*atomic.Int64
		for range n {
			stop, dots := c.openPage("Alford", clients)
			stops, taken = append(stops, stop), append(taken, dots)
		}
		share := updates(span)
		grown := c.memory("Alford") - before
		processtest.Eventually(t, "each page has changes", func() bool {
			return !slices.ContainsFunc(taken, func(dots *atomic.Int64) bool { return dots.Load() == 0 })
		})
		for _, stop := range stops {
			stop()
		}
		figure(t, grown <= sized(100, n)*4*mib+16*mib, "pages: 4 MiB each, beside the array that they share",
			"%d pages: %.1f MiB more, %.2f each; %.1f %% of a core", n, float64(grown)/mib, float64(grown)/mib/float64(n), 100*share)
	}

	var watched, looked, more []float64
	for range pairs {
		stop := c.watchOne("Alford", "client0000000")
		watched = append(watched, updates(span))
		stop()
		stop, _ = c.openPage("Alford", clients)
		looked = append(looked, updates(span))
		stop()
		more = append(more, 100*(looked[len(looked)-1]-watched[len(watched)-1]))
	}
	slices.Sort(more)
	slices.Sort(watched)
	figure(t, more[len(more)/2] <= 3, "a page beside the feed's follower: 3 % of a core",
		"%d clients, %d updates/s: %.1f %% more at the median of %d pairs (%.1f to %.1f), of %.1f %%",
		clients, rate, more[len(more)/2], pairs, more[0], more[len(more)-1], 100*watched[len(watched)/2])
}

// processor is the user and system time of a server's process, see proc(5).
func (c *cluster) processor(name string) time.Duration {
	c.T.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Running[name].Cmd.Process.Pid))
	if err != nil {
		c.T.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// watchOne reads /watch of a client.
func (c *cluster) watchOne(name, id string) (stop func()) {
	c.T.Helper()
	r, err := http.Get("http://" + c.Server(name).Console + "/watch?id=" + id)
	if err != nil {
		c.T.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r.Body) }()
	return func() { r.Body.Close() }
}

// openPage opens a page with a map, and returns when it has all dots. Then dots counts those that have changed.
func (c *cluster) openPage(name string, clients int) (stop func(), dots *atomic.Int64) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), 5*processtest.Patience)
	page, _, err := websocket.Dial(ctx, "ws://"+c.Server(name).Console+"/ws", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	page.SetReadLimit(1 << 20)
	if err := page.Write(ctx, websocket.MessageText, []byte(`{"type":"dots","on":true}`)); err != nil {
		c.T.Fatal(err)
	}
	dots = new(atomic.Int64)
	for all := 0; ; {
		kind, text, err := page.Read(ctx)
		if err != nil {
			c.T.Fatal(err)
		}
		if kind == websocket.MessageBinary {
			all += (len(text) - 8) / 16
			continue
		}
		var head struct{ Type string }
		if json.Unmarshal(text, &head) == nil && head.Type == "dots-done" {
			if all < clients {
				c.T.Errorf("%d dots of %d clients", all, clients)
			}
			break
		}
	}
	cancel()
	go func() {
		for {
			kind, text, err := page.Read(c.T.Context())
			if err != nil {
				return
			}
			if kind == websocket.MessageBinary {
				dots.Add(int64(len(text)-8) / 16)
			}
		}
	}()
	return func() { _ = page.CloseNow() }, dots
}
