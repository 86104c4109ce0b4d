package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/reactor"
)

func hitMaxLine(t *testing.T) *Server {
	w := alone(t, nil)
	c := w.dial("Alford")
	if got := c.ask(1, strings.Repeat("x", 16384)+"\n"); strings.HasPrefix(got, ">") {
		t.Errorf("a line of 16384 bytes: %.100q", got)
	}
	if got := c.ask(1, strings.Repeat("x", 16385)); got != "> LINE: longer than 16384 bytes\n\n" {
		t.Errorf("one more: %.100q", got)
	}
	w.until("closed", c.Closed)
	return w.servers["Alford"]
}

func hitMaxClientID(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.MaxClientID = 10 })
	got := w.dial("Alford").ask(2, "IAMAT 0123456789 +1-1 5\nIAMAT 0123456789x +1-1 5\n")
	if !strings.HasPrefix(got, "AT ") || !strings.Contains(got, "> IAMAT CLIENT: longer than 10 bytes\n") {
		t.Errorf("answered %q", got)
	}
	return w.servers["Alford"]
}

func hitMaxConnections(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.MaxConnections = 10 })
	srv := w.servers["Alford"]
	var all []client
	for range 10 + minOverflow + maxTurnedAway + 20 {
		c := w.dial("Alford")
		c.Stall() // who is turned away stays for a moment
		all = append(all, c)
	}
	w.until("all have come", func() bool { return srv.counters.Accepted == uint64(len(all)) })
	w.net.RunFor(100 * time.Millisecond)
	if srv.admitted[asClient] != 10 || srv.admitted[asOverflow] != minOverflow || srv.turnedAway != maxTurnedAway ||
		srv.counters.ServerFull != maxTurnedAway+20 {
		t.Errorf("%v admitted, %d being turned away, %d counted", srv.admitted, srv.turnedAway, srv.counters.ServerFull)
	}
	w.net.RunFor(link.HandshakeTimeout + time.Second)
	if n := srv.counters.ServerFull; n != uint64(len(all)-10) {
		t.Errorf("%d of %d are refused in the end", n, len(all)-10)
	}
	return srv
}

func hitMaxClients(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.MaxClients = 100 })
	w.updatesRefused("Alford", 200, 100)
	return w.servers["Alford"]
}

// updatesRefused sends updates of n new clients, of which so many must be refused.
func (w *world) updatesRefused(server string, n, refused int) {
	w.t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "IAMAT c%d +1-1 5\n", i)
	}
	got := w.dial(server).ask(n, lines.String())
	if k := strings.Count(got, "> IAMAT CLIENTS: "); k != refused {
		w.t.Errorf("%d of %d were refused, want %d", k, n, refused)
	}
}

func hitMaxFuture(t *testing.T) *Server {
	w := alone(t, nil)
	now := w.servers["Alford"].reactor.Now()
	ask := func(ahead time.Duration) string {
		return w.dial("Alford").ask(1, fmt.Sprintf("IAMAT k +1-1 %d\n", now.Add(ahead).Unix()))
	}
	if got := ask(59 * time.Minute); !strings.HasPrefix(got, "AT ") {
		t.Errorf("answered %q", got)
	}
	if got := ask(61 * time.Minute); !strings.Contains(got, "is more than 1h0m0s ahead") {
		t.Errorf("answered %q", got)
	}
	return w.servers["Alford"]
}

func hitIdleTimeout(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.IdleTimeout = time.Second })
	w.dial("Alford")
	w.until("closed", w.counted("idle_timeouts"))
	return w.servers["Alford"]
}

func hitPartialLineTimeout(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.PartialLineTimeout = time.Second })
	w.dial("Alford").SendString("IAM")
	w.until("closed", w.counted("partial_timeouts"))
	return w.servers["Alford"]
}

// hitOutputHard has many long replies come at once for one who does not read.
func hitOutputHard(t *testing.T) *Server {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.OutputHard, cfg.Limits.PlacesInFlight = 512<<10, 64
	w := newWorld(t, cfg)
	w.places = longPlaces{}
	srv := w.start("Alford")
	w.reactors["Alford"].SetWork(time.Second)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.Stall()
	c.SendString(strings.Repeat("WHATSAT k 1 1\n", 64))
	w.until("cut", w.counted("output_limits"))
	if d := w.net.Elapsed(); d > softTime/2 {
		t.Errorf("cut after %v", d)
	}
	return srv
}

func hitOutputSoft(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.OutputSoft = 64 << 10 })
	c := w.dial("Alford")
	c.Stall()
	c.SendString(strings.Repeat(strings.Repeat("x", 1000)+"\n", 400))
	w.until("cut", w.counted("output_limits"))
	if d := w.net.Elapsed(); d < softTime || d > softTime+3*time.Second {
		t.Errorf("cut after %v", d)
	}
	return w.servers["Alford"]
}

func hitPlacesInFlight(t *testing.T) *Server {
	w := alone(t, nil)
	srv := w.servers["Alford"]
	w.reactors["Alford"].SetWork(time.Minute)
	questions := differing(w, 18*maxOpen)
	for i := range 18 {
		w.dial("Alford").SendString(strings.Join(questions[i*maxOpen:][:maxOpen], ""))
	}
	w.until("busy", w.counted("lookups_busy"))
	w.net.RunFor(time.Second)
	if l := srv.Status().Lookups; l.Open != 5+maxWaiting || l.InFlight != 5 || l.Waiting != maxWaiting ||
		srv.counters.LookupsWaited != maxWaiting+srv.counters.LookupsDisplaced {
		t.Errorf("%+v, %d waited, %d of them displaced", l, srv.counters.LookupsWaited, srv.counters.LookupsDisplaced)
	}
	return srv
}

func hitPlacesTimeout(t *testing.T) *Server {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(time.Minute)
	w.dial("Alford").SendString(strings.Join(differing(w, 10), ""))
	w.until("expired", w.counted("lookups_expired"))
	if n := w.servers["Alford"].lookups.inFlight; n != 4 {
		t.Errorf("%d are under way", n)
	}
	return w.servers["Alford"]
}

// hitSharedLookup has two ask the same, and both go.
func hitSharedLookup(t *testing.T) *Server {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(time.Minute)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.SendString("WHATSAT k 1 1\nWHATSAT k 1 2\n")
	w.until("shared", w.counted("lookups_shared"))
	c.Reset()
	w.until("called off", w.counted("lookups_cancelled"))
	return w.servers["Alford"]
}

// hitOpenLookups and the next two have a client's lines held, each for another reason.
func hitOpenLookups(t *testing.T) *Server {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(time.Minute)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.SendString(strings.Repeat("WHATSAT k 1 1\n", maxOpen+1))
	w.until("held", w.counted("held"))
	if n := w.servers["Alford"].counters.WHATSAT; n != maxOpen {
		t.Errorf("held after %d", n)
	}
	return w.servers["Alford"]
}

func hitHeldBacklog(t *testing.T) *Server {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.Stall()
	c.SendString(strings.Repeat(strings.Repeat("x", 1000)+"\n", 2000))
	w.until("held", w.counted("held"))
	srv := w.servers["Alford"]
	if n := srv.sessions[0].t.Backlog(); n < maxBacklog || n > maxBacklog+2000 {
		t.Errorf("held when %d bytes were unread", n)
	}
	c.Unstall()
	w.until("answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == 2000 })
	return srv
}

func hitHeldReplies(t *testing.T) *Server {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(10 * time.Second)
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.SendString("WHATSAT k 1 1\n" + strings.Repeat(strings.Repeat("x", 1000)+"\n", 1200))
	w.until("held", w.counted("held"))
	srv := w.servers["Alford"]
	// What waits is one text that has grown, by a quarter each time.
	if n := srv.sessions[0].replies.memory; n < maxHeldReplies || n > maxHeldReplies*3/2 {
		t.Errorf("held when %d bytes waited for an earlier reply", n)
	}
	w.until("answered", func() bool { return strings.Count(string(c.Received()), "\n\n") == 1201 })
	return srv
}

func hitHeldInput(t *testing.T) *Server {
	w := alone(t, nil)
	w.reactors["Alford"].SetWork(2 * reactor.HeldInputTimeout) // a reply that holds lines back that long
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	c.SendString(strings.Repeat("WHATSAT k 1 1\n", maxOpen) + strings.Repeat("help\n", 600<<10))
	w.until("held", w.counted("held"))
	begun := w.net.Elapsed()
	w.until("cut", w.counted("input_limits"))
	srv := w.servers["Alford"]
	if took := w.net.Elapsed() - begun; took < reactor.HeldInputTimeout-time.Second {
		t.Errorf("closed after %v", took)
	}
	if n := w.reactors["Alford"].Stats().BytesIn; n > 2*reactor.MaxHeldInput {
		t.Errorf("%d bytes were read", n)
	}
	return srv
}

// hitLinger is a client that ends its side and reads nothing of what it is owed.
func hitLinger(t *testing.T) *Server {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.Stall()
	c.SendString(strings.Repeat(strings.Repeat("x", 1000)+"\n", 400))
	c.CloseWrite()
	w.until("given up", w.counted("linger_limits"))
	return w.servers["Alford"]
}
