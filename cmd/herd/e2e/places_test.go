package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
	"serverherd/places/google/googletest"
)

// startGoogled starts a server whose places come from the scripted service.
func startGoogled(t *testing.T, s *googletest.Server) *cluster {
	t.Helper()
	return startCluster(t, googleConfig(s, 20*time.Second), "Alford")
}

// googleConfig returns the part of herd.toml for that.
func googleConfig(s *googletest.Server, timeout time.Duration) string {
	return fmt.Sprintf("%s[places]\nprovider = \"google\"\nbase_url = %q\nrate = 10000\n"+
		"daily_budget = 1000000\ntimeout = %q\n", unlogged, s.URL, timeout)
}

// replies reads n replies, each of which ends in an empty line, and counts those with a list of places.
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

// Slow lookups do not delay other clients.
func TestSlowPlaces(t *testing.T) {
	scenario(t)
	google := googletest.Start(t)
	c := startGoogled(t, google)
	const clients = 16
	each := sized(16, 64) // a lookup fails after 20 s, and a busy machine is slow
	c.update("Alford", 0, 2*clients, 1)
	for k := range 2 * clients { // different positions, so that no lookup is shared
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
	figure(t, p99 < alone+20*time.Millisecond, "lookups of 200 ms, 64 at once: other clients as on an idle server",
		"%d questions in %.1f s (%d asked, %d shared); a bystander's p99 %.1f ms, %.1f at most, beside %.1f ms idle; lag below %.1f ms",
		clients*each*rounds, took.Seconds(), s.Places.Network.Attempts, s.Counters.LookupsShared, ms(p99), ms(longest),
		ms(alone), ms(lag))
	if n := s.Places.Network.Attempts; n != uint64(google.Asked()) {
		t.Errorf("%d attempts counted, and %d came", n, google.Asked())
	}
}

// With a fallback, only a few lookups are delayed by a provider that is down: those that are not sent to it do not wait for
// its rate.
func TestDeadProviderWithAFallback(t *testing.T) {
	scenario(t)
	google := googletest.Start(t)
	google.Set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	const timeout = 20 * time.Second
	extra := strings.Replace(googleConfig(google, timeout), "rate = 10000", "rate = 5\nfallback = \"embedded\"", 1)
	c := startCluster(t, extra, "Alford")
	const clients, each = 10, 50
	for k := range clients { // different positions, so that no lookup is shared
		c.Ask("Alford", fmt.Sprintf("IAMAT client%07d +%d.5-118.445127 2\n", k, k))
	}
	begun := time.Now()
	var all sync.WaitGroup
	for k := range clients {
		conn := c.dial("Alford")
		var lines strings.Builder
		for i := range each {
			fmt.Fprintf(&lines, "WHATSAT client%07d %d 20\n", k, 1+i)
		}
		all.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
			if _, err := io.WriteString(conn, lines.String()); err != nil {
				t.Error(err)
				return
			}
			if n, err := replies(bufio.NewReaderSize(conn, 64<<10), each); err != nil {
				t.Errorf("%d of %d answered, %v", n, each, err)
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	google.Disconnect()
	s := c.now("Alford")
	figure(t, took < timeout, "a provider that is down, at most 5 attempts a second, a fallback: no client waits",
		"%d questions in %.1f s, %d attempts, %d expired", clients*each, took.Seconds(), s.Places.Network.Attempts,
		s.Counters.LookupsExpired)
	if f := s.Places.Network.Fallbacks; f != clients*each || s.Counters.LookupsFailed > 0 || s.Counters.LookupsExpired > 0 {
		t.Errorf("%d of %d answered by the fallback, %d expired, %d failed", f, clients*each, s.Counters.LookupsExpired,
			s.Counters.LookupsFailed)
	}
}

// twoAddresses gives this machine two addresses that are not loopback.
const twoAddresses = "ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo"

// One host that keeps a slow provider busy does not block other addresses, and its own connections take turns.
func TestSlowPlacesOfOneHost(t *testing.T) {
	if !*realSize {
		t.Skip("in real size only: make e2e")
	}
	const attack = "a provider that takes 4 of 5 s, 20 connections of one address with 64 questions each: "
	if !inside(t, attack+"others are answered in time", twoAddresses) {
		return
	}
	google := googletest.Start(t)
	alford := config.Server{
		Name: "Alford", Address: "192.0.2.1:7000", Listen: "0.0.0.0:7000", Console: "127.0.0.1:7001",
	}
	c := &cluster{Herd: processtest.New(t, googleConfig(google, 5*time.Second), alford), net: newNetwork(t)}
	c.Flags, c.Env = []string{"--pprof"}, []string{config.SecretVariable + "=a secret of one server, which nobody else has"}
	c.startAll()
	const clients, each = 20, 64
	for k := range 4 * clients { // different positions, so that no lookup is shared
		c.Ask("Alford", fmt.Sprintf("IAMAT client%07d +%d.5-118.445127 2\n", k, k))
	}
	google.Set(googletest.Slow(googletest.NewAPI, 4*time.Second))
	stop := make(chan struct{})
	var all sync.WaitGroup
	for k := range clients {
		conn := c.dial("Alford")
		var lines strings.Builder
		for i := range each {
			fmt.Fprintf(&lines, "WHATSAT client%07d %d 20\n", k+i/50*clients, 1+i%50)
		}
		all.Go(func() {
			in := bufio.NewReaderSize(conn, 64<<10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
				if _, err := io.WriteString(conn, lines.String()); err != nil {
					t.Error(err)
					return
				}
				if _, err := replies(in, each); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	processtest.Eventually(t, "all lookup slots are in use", func() bool { return c.now("Alford").Counters.LookupsBusy > 0 })
	for i, from := range []string{"192.0.2.2", "127.0.0.1"} {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		to := "192.0.2.1:7000"
		if i > 0 {
			to = "127.0.0.1:7000"
		}
		honest, err := dialer.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		const asked = 10
		answered, longest := 0, time.Duration(0)
		in := bufio.NewReaderSize(honest, 64<<10)
		for k := range asked {
			begun := time.Now()
			_ = honest.SetDeadline(begun.Add(5 * processtest.Patience))
			fmt.Fprintf(honest, "WHATSAT client%07d %d 20\n", (2+i)*clients+k, 1+k)
			first, err := in.ReadString('\n')
			if err == nil && strings.HasPrefix(first, "AT ") {
				answered++
			} else {
				t.Logf("%s: %s %v", from, first, err)
			}
			if _, err := replies(in, 1); err != nil {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(begun))
		}
		honest.Close()
		s := c.now("Alford")
		measured := fmt.Sprintf("%d of %d answered, the longest wait %.1f s; so far %d of all asked, %d refused as busy, %d too late",
			answered, asked, longest.Seconds(), s.Places.Network.Attempts, s.Counters.LookupsBusy, s.Counters.LookupsExpired)
		if i == 0 {
			figure(t, answered == asked && longest < 5*time.Second, attack+"another address is answered in time", "%s", measured)
		} else { // there may be no turn until a lookup of 4 s ends
			figure(t, answered >= asked/2, attack+"another connection of that host takes turns", "%s", measured)
		}
	}
	close(stop)
	all.Wait()
	google.Disconnect()
}

// The same lookup of many clients is sent once.
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
	figure(t, google.Asked() == 1, "1,000 identical lookups at once: one request, 1,000 replies",
		"%d questions, %d request", askers, google.Asked())
	if google.Asked() != 1 {
		t.Errorf("%d requests", google.Asked())
	}
}

// Measures lookups in the embedded data at the maximum rate of one server.
func TestPlacesAtFullSpeed(t *testing.T) {
	scenario(t)
	c := startCluster(t, unlogged+processtest.Embedded, "Alford")
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
		for i := range depth { // all different, so that no answer is shared
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
