package faults

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/processtest"
	"serverherd/places/google/googletest"
)

// startGoogled starts a server whose places come from the scripted service.
func startGoogled(t *testing.T, s *googletest.Server) *cluster {
	t.Helper()
	return startCluster(t, fmt.Sprintf("%s[places]\nprovider = \"google\"\nbase_url = %q\nrate = 10000\n"+
		"daily_budget = 1000000\ntimeout = \"30s\"\n", unlogged, s.URL), "Alford")
}

// replies reads n replies, each of which ends in an empty line, and counts those with a list of
// places.
func replies(in *bufio.Reader, n int) (found int, err error) {
	for n > 0 {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return found, err
		}
		switch {
		case len(line) == 1:
			n--
		case strings.HasPrefix(string(line), `  "results": [`):
			found++
		}
	}
	return found, nil
}

// Questions that take their time do not keep other clients.
func TestSlowPlaces(t *testing.T) {
	scenario(t)
	google := googletest.Start(t)
	c := startGoogled(t, google)
	const clients, each = 16, 64
	c.update("Alford", 0, 2*clients, 1)
	for k := range 2 * clients { // places of their own, so that no question is another's
		c.Ask("Alford", fmt.Sprintf("IAMAT client%07d +%d.5-118.445127 2\n", k, k))
	}
	idle := c.bystander("Alford")
	processtest.Eventually(t, "a bystander has been served for a while", func() bool { return idle.served() >= sized(20, 1000) })
	alone, _ := idle.done()
	google.Set(googletest.Slow(googletest.NewAPI, 200*time.Millisecond))
	lags := c.now("Alford").Loop.Lags
	b := c.bystander("Alford")
	begun := time.Now()
	var all sync.WaitGroup
	rounds := sized(1, 10)
	for k := range clients {
		conn := c.dial("Alford")
		all.Go(func() {
			in := bufio.NewReaderSize(conn, 64<<10)
			for round := range rounds {
				var lines strings.Builder
				for i := range each {
					fmt.Fprintf(&lines, "WHATSAT client%07d %d 20\n", k+i/50*clients, 1+(i+round)%50)
				}
				_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
				if _, err := io.WriteString(conn, lines.String()); err != nil {
					t.Error(err)
					return
				}
				if n, err := replies(in, each); err != nil || n != each {
					t.Errorf("%d of %d questions answered, %v", n, each, err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	google.Disconnect()
	p99, longest := b.done()
	lag := c.lag("Alford", lags)
	s := c.now("Alford")
	figure(t, p99 < alone+20*time.Millisecond, "questions of 200 ms, 64 at once: other clients as on an idle server",
		"%d questions in %.1f s (%d asked, %d shared); a bystander's p99 %.1f ms, %.1f at most, beside %.1f ms idle; lag below %.1f ms",
		clients*each*rounds, took.Seconds(), s.Places.Network.Attempts, s.Counters.LookupsShared, ms(p99), ms(longest),
		ms(alone), ms(lag))
	if n := s.Places.Network.Attempts; n != uint64(google.Asked()) {
		t.Errorf("%d attempts counted, and %d came", n, google.Asked())
	}
}

// The same question of many at once is one.
func TestTheSameQuestion(t *testing.T) {
	scenario(t)
	google := googletest.Start(t)
	c := startGoogled(t, google)
	c.update("Alford", 0, 1, 1)
	release := make(chan struct{})
	google.Set(func(w http.ResponseWriter, r *http.Request) {
		<-release
		_, _ = io.WriteString(w, googletest.New)
	})
	askers := sized(200, 1000)
	var all sync.WaitGroup
	for range askers {
		conn := c.dial("Alford")
		if _, err := io.WriteString(conn, "WHATSAT client0000000 10 20\n"); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
			if n, err := replies(bufio.NewReader(conn), 1); n != 1 || err != nil {
				t.Errorf("not answered: %v", err)
			}
		})
	}
	processtest.Eventually(t, "all have asked", func() bool { return c.now("Alford").Lookups.Open == askers })
	close(release)
	all.Wait()
	google.Disconnect()
	figure(t, google.Asked() == 1, "1,000 identical questions at once: one request, 1,000 replies",
		"%d questions, %d request", askers, google.Asked())
	if google.Asked() != 1 {
		t.Errorf("%d requests", google.Asked())
	}
}

// The embedded data, asked as fast as one server can.
func TestPlacesAtFullSpeed(t *testing.T) {
	scenario(t)
	c := startCluster(t, unlogged, "Alford")
	const clients, depth = 50, 16
	c.update("Alford", 0, 1, 1)
	lags := c.now("Alford").Loop.Lags
	b := c.bystander("Alford")
	length := sized(time.Second, 10*time.Second)
	end := time.Now().Add(length)
	counts := make([]int, clients)
	var all sync.WaitGroup
	for k := range clients {
		conn := c.dial("Alford")
		var lines strings.Builder
		for i := range depth { // no two of them the same, so that no answer is shared
			fmt.Fprintf(&lines, "WHATSAT client0000000 %d 20\n", 1+(k*depth+i)%50)
		}
		all.Go(func() {
			in := bufio.NewReaderSize(conn, 64<<10)
			for time.Now().Before(end) {
				if _, err := io.WriteString(conn, lines.String()); err != nil {
					t.Error(err)
					return
				}
				if _, err := replies(in, depth); err != nil {
					t.Error(err)
					return
				}
				counts[k] += depth
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	p99, longest := b.done()
	figure(t, p99 < 50*time.Millisecond, "embedded places, 50 connections, pipeline 16: a bystander's p99 50 ms",
		"%.0f WHATSATs of up to 20 places a second; lag below %.1f ms; the bystander waits %.1f ms at p99, %.1f at most",
		float64(total)/length.Seconds(), ms(c.lag("Alford", lags)), ms(p99), ms(longest))
}
