package herd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serverherd/herd/access"
	"serverherd/herd/config"
)

// dialFrom is dial from another host.
func (w *world) dialFrom(host string) client {
	return client{w.net.DialFrom(host, w.servers["Alford"].self.Address), w}
}

// welcome shows a token.
func (c client) welcome(name string) client {
	c.w.t.Helper()
	if got := c.ask(1, "TOKEN "+secretOf(name)+"\n"); got != "> Welcome "+name+"\n\n" {
		c.w.t.Fatalf("%s: %q", name, got)
	}
	return c
}

// replies checks that lines have one reply each, and returns how many of them are updates, places and LIMIT.
func (c client) replies(lines ...string) (updates, places, limited int) {
	c.w.t.Helper()
	got := strings.SplitAfter(c.ask(len(lines), strings.Join(lines, "")), "\n\n")
	if len(got) != len(lines)+1 {
		c.w.t.Errorf("%d replies to %d lines", len(got)-1, len(lines))
	}
	for _, reply := range got {
		switch {
		case strings.HasPrefix(reply, "> LIMIT: more than "):
			limited++
		case strings.Contains(reply, "{"):
			places++
		case strings.HasPrefix(reply, "AT "):
			updates++
		}
	}
	return updates, places, limited
}

func times(n int, line string) (all []string) {
	for range n {
		all = append(all, line)
	}
	return all
}

func hitLinesPerAddress(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.LinesPerAddress = 10 })
	srv := w.servers["Alford"]
	logs := srv.observe()
	noisy, second, other := w.dial("Alford"), w.dial("Alford"), w.dialFrom("other")
	if updates, _, limited := noisy.replies(times(100, "IAMAT k +1-1 5\n")...); updates < 10 || updates > 12 || limited != 100-updates {
		t.Errorf("%d updates, %d refused", updates, limited)
	}
	if updates, _, limited := second.replies("IAMAT k +1-1 5\n"); updates != 0 || limited != 1 {
		t.Errorf("another connection of the address: %d updates, %d refused", updates, limited)
	}
	if updates, _, _ := other.replies(times(10, "IAMAT k +1-1 5\n")...); updates != 10 {
		t.Errorf("another address: %d updates of 10", updates)
	}
	// A new connection starts where the last one was, and the limit passes while the client goes on.
	noisy.Close()
	second.Close()
	w.net.RunFor(50 * time.Millisecond)
	again := w.dial("Alford")
	if updates, _, _ := again.replies(times(10, "IAMAT k +1-1 5\n")...); updates > 2 {
		t.Errorf("after a reconnect: %d updates of 10", updates)
	}
	updates := 0
	for range 100 { // every 50 ms for 5 s
		u, _, _ := again.replies("IAMAT k +1-1 5\n")
		updates += u
		w.net.RunFor(50 * time.Millisecond)
	}
	if updates < 48 || updates > 70 {
		t.Errorf("%d updates in 5 s at more than twice the limit", updates)
	}
	if n := logs.FilterMessage("limit exceeded").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	w.net.RunFor(2 * time.Second)
	other.Close()
	w.net.RunFor(2 * time.Second)
	if len(srv.quotas.addresses) > len(srv.sessions) {
		t.Errorf("%d addresses are remembered", len(srv.quotas.addresses))
	}
	return srv
}

func hitLinesPerToken(t *testing.T) *Server {
	w := guarded(t, func(c *config.Config) { c.Limits.LinesPerToken = 10 }, fleet, writer)
	noisy, second, other := w.shown("fleet"), w.dialFrom("other").welcome("fleet"), w.shown("writer")
	if updates, _, limited := noisy.replies(times(100, "IAMAT fleet/1 +1-1 5\n")...); updates < 10 || updates > 12 || limited != 100-updates {
		t.Errorf("%d updates, %d refused", updates, limited)
	}
	if got := second.ask(1, "IAMAT fleet/1 +1-1 5\n"); got != "> LIMIT: more than 10 lines a second of this token\n\n" {
		t.Errorf("another connection with the token: %q", got)
	}
	if updates, _, _ := other.replies(times(10, "IAMAT k +1-1 5\n")...); updates != 10 {
		t.Errorf("another token, same address: %d updates of 10", updates)
	}
	return w.servers["Alford"]
}

func hitUpdatesPerClient(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.UpdatesPerClient = 2 })
	c := w.dial("Alford")
	if updates, _, limited := c.replies(times(20, "IAMAT k +1-1 5\n")...); updates != 2 || limited != 18 {
		t.Errorf("%d updates, %d refused", updates, limited)
	}
	if got := w.dialFrom("other").ask(1, "IAMAT k +1-1 5\n"); got != "> LIMIT: more than 2 updates a second of this client\n\n" {
		t.Errorf("from another address: %q", got)
	}
	if _, places, limited := c.replies("WHATSAT k 1 1\n", "IAMAT\n", "help\n"); places != 1 || limited != 0 {
		t.Errorf("what is no update: %d places, %d refused", places, limited)
	}
	if updates, _, _ := c.replies("IAMAT moa +1-1 5\n", "IAMAT moa +1-1 6\n"); updates != 2 {
		t.Errorf("another client, same connection: %d updates of 2", updates)
	}
	w.net.RunFor(time.Second)
	if updates, _, _ := c.replies("IAMAT k +1-1 5\n", "IAMAT k +1-1 6\n"); updates != 2 {
		t.Errorf("a second later: %d updates of 2", updates)
	}
	return w.servers["Alford"]
}

// untilMidnight lets time pass until the next day begins, UTC.
func (w *world) untilMidnight() {
	w.net.RunFor(24*time.Hour - time.Duration(w.net.Now().UnixNano()%int64(24*time.Hour)))
}

func hitWhatsatsPerAddress(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.WhatsatsPerAddress = 3; c.Limits.PartialLineTimeout = time.Hour })
	w.untilMidnight()
	c := w.dial("Alford")
	c.ask(1, "IAMAT k +1-1 5\n")
	if _, places, limited := c.replies("WHATSAT k 1 1\n", "WHATSAT nobody 1 1\n", "WHATSAT\n", "WHATSAT k 1 2\n", "WHATSAT k 1 3\n"); places != 2 || limited != 1 {
		t.Errorf("%d with places, %d refused", places, limited)
	}
	c.Close()
	w.net.RunFor(time.Hour)
	again := w.dial("Alford")
	if got := again.ask(1, "WHATSAT k 1 1\n"); got != "> LIMIT: more than 3 WHATSATs a day of this address\n\n" {
		t.Errorf("on a new connection: %q", got)
	}
	if updates, _, _ := again.replies("IAMAT k +1-1 6\n"); updates != 1 {
		t.Error("updates are refused, too")
	}
	if _, places, _ := w.dialFrom("other").replies(times(3, "WHATSAT k 1 1\n")...); places != 3 {
		t.Errorf("another address: %d of 3", places)
	}
	w.untilMidnight()
	if _, places, _ := again.replies("WHATSAT k 1 1\n"); places != 1 {
		t.Error("on the next day it is refused")
	}
	if n := len(w.servers["Alford"].quotas.addresses); n != 2 {
		t.Errorf("%d addresses", n)
	}
	return w.servers["Alford"]
}

func hitWhatsatsPerToken(t *testing.T) *Server {
	w := guarded(t, func(c *config.Config) { c.Limits.WhatsatsPerToken = 3 }, fleet, reader)
	w.untilMidnight()
	c := w.shown("fleet")
	c.ask(1, "IAMAT fleet/1 +1-1 5\n")
	if _, places, limited := c.replies(times(5, "WHATSAT fleet/1 1 1\n")...); places != 3 || limited != 2 {
		t.Errorf("%d with places, %d refused", places, limited)
	}
	if got := w.dialFrom("other").welcome("fleet").ask(1, "WHATSAT fleet/1 1 1\n"); got != "> LIMIT: more than 3 WHATSATs a day of this token\n\n" {
		t.Errorf("from another address: %q", got)
	}
	if _, places, _ := w.shown("reader").replies(times(3, "WHATSAT fleet/1 1 1\n")...); places != 3 {
		t.Errorf("another token: %d of 3", places)
	}
	w.servers["Alford"].SetTokens(tokensOf(t, reader, fleet))
	if _, _, limited := c.replies("WHATSAT fleet/1 1 1\n"); limited != 1 {
		t.Error("a reload of the same tokens resets the limit")
	}
	w.untilMidnight()
	if _, places, _ := c.replies("WHATSAT fleet/1 1 1\n"); places != 1 {
		t.Error("on the next day it is refused")
	}
	return w.servers["Alford"]
}

func hitConnectionsPerAddress(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.ConnectionsPerAddress = 3 })
	srv := w.servers["Alford"]
	logs := srv.observe()
	var all []client
	for range 3 {
		c := w.dial("Alford")
		c.ask(1, "help\n")
		all = append(all, c)
	}
	for range 400 {
		c := w.dial("Alford")
		c.SendString("IAMAT k +1-1 5\n")
		w.net.RunFor(10 * time.Millisecond)
		if got := c.Take(); got != "> LIMIT: more than 3 connections of this address\n\n" || !c.Closed() {
			t.Fatalf("a fourth connection got %q, closed %v", got, c.Closed())
		}
		c.Close()
	}
	if got := w.dialFrom("other").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("another address: %q", got)
	}
	if got := all[0].ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("one of the three: %q", got)
	}
	all[0].Close()
	w.net.RunFor(100 * time.Millisecond)
	if got := w.dial("Alford").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("after one has left: %q", got)
	}
	if n := logs.FilterMessage("limit exceeded").Len(); n != 1 || srv.counters.ServerFull != 0 {
		t.Errorf("logged %d times, %d counted as server_full", n, srv.counters.ServerFull)
	}
	return srv
}

func hitConnectionsPerToken(t *testing.T) *Server {
	w := guarded(t, func(c *config.Config) { c.Limits.ConnectionsPerToken = 2 }, fleet, writer)
	first := w.shown("fleet")
	w.shown("fleet")
	c := w.dialFrom("other")
	if got := c.ask(1, "TOKEN "+secretOf("fleet")+"\n"); got != "> LIMIT: more than 2 connections of this token\n\n" {
		t.Errorf("a third connection got %q", got)
	}
	w.until("closed", c.Closed)
	w.shown("writer")
	first.Close()
	w.net.RunFor(100 * time.Millisecond)
	w.shown("fleet")
	return w.servers["Alford"]
}

// hitAddressesNoted has many addresses come, ask and go.
func hitAddressesNoted(t *testing.T) *Server {
	w := alone(t, func(c *config.Config) { c.Limits.WhatsatsPerAddress = 1 })
	srv := w.servers["Alford"]
	q := &srv.quotas
	for i := range maxIdleAddresses + 10 {
		u := q.ofAddress(fmt.Sprint("host", i))
		u.on(day(srv.reactor.Now()))
		u.whatsats++
		q.release(u)
	}
	if len(q.addresses) != maxIdleAddresses || q.idle.Len() != maxIdleAddresses {
		t.Errorf("%d addresses, %d idle", len(q.addresses), q.idle.Len())
	}
	if q.addresses["host9"] != nil || q.addresses["host10"] == nil {
		t.Error("another one than the oldest was forgotten")
	}
	w.untilMidnight()
	w.net.RunFor(maxIdleAddresses/idleLook*time.Second + 2*time.Second)
	if len(q.addresses) != 0 || q.idle.Len() != 0 {
		t.Errorf("%d addresses are remembered on the next day, %d idle", len(q.addresses), q.idle.Len())
	}
	w.dial("Alford").SendString("WHATSAT k 1 1\nWHATSAT k 1 1\n")
	w.until("refused", w.counted("limit_whatsats"))
	return srv
}

// Without a limit in herd.toml, an address beyond loopback may have half of max_connections. A neighbor on the machine of
// too many clients is linked all the same.
func TestConnectionsOfAnAddressByDefault(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxConnections, cfg.Limits.ConnectionsPerAddress = 8, 0
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	for range 4 {
		w.dialFrom("Welsh").ask(1, "help\n")
	}
	c := w.dialFrom("Welsh")
	if got := c.ask(1, "help\n"); got != "> LIMIT: more than 4 connections of this address\n\n" {
		t.Errorf("got %q", got)
	}
	silent := w.dialFrom("Welsh")
	w.until("closed", silent.Closed)
	if got := silent.Take(); got != "> LIMIT: more than 4 connections of this address\n\n" {
		t.Errorf("a silent one got %q", got)
	}
	w.start("Welsh")
	w.until("the neighbor's link is live", func() bool {
		return w.servers["Welsh"].neighbor([]byte("Alford")).link.state == linkLive
	})
	if u := srv.quotas.addresses["Welsh"]; u.connections != 4 || u.sessions < 5 {
		t.Errorf("%d connections of clients, %d in all", u.connections, u.sessions)
	}
	for range 4 {
		w.dialFrom("client").ask(1, "help\n")
	}
	if got := w.dialFrom("third").ask(1, "help\n"); got != "> SERVER FULL\n\n" {
		t.Errorf("beyond max_connections: %q", got)
	}
	if n := srv.quotas.connectionsOf(clientAddress("127.0.0.7:1")); n < 1<<30 {
		t.Errorf("loopback may have %d", n)
	}
}

// Lines of a legacy neighbor are not limited: it would not send them again.
func TestLegacyNeighborsAreNotLimited(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Peers.Handshake, cfg.Limits.LinesPerAddress = "optional", 5
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "AT Welsh +0.1 k%d +1-1 5 Welsh\n", i)
	}
	w.dialFrom("Welsh").SendString(lines.String())
	w.until("applied", func() bool { return srv.store.Len() == 100 })
	if updates, _, limited := w.dialFrom("Welsh").replies(times(10, "IAMAT k +1-1 5\n")...); updates != 5 || limited != 5 {
		t.Errorf("a client there: %d updates, %d refused", updates, limited)
	}
}

// A limit has the same effect in the other dialect, whose replies give no reason.
func TestLimitsOfCS131(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Herd.Dialect = "cs131"; c.Limits.LinesPerAddress = 2 })
	c := w.dialFrom("telnet") // whose commands are no lines
	c.SendString("\xff\xfb\x1fIAMAT k +1-1 5\n\xff\xfb\x1fIAMAT k +1-1 5\n\xff\xfb\x1fIAMAT k +1-1 6\n")
	w.net.RunFor(100 * time.Millisecond)
	if got := strings.Split(c.Take(), "\n"); len(got) != 4 || !strings.HasPrefix(got[1], "AT ") || !strings.HasPrefix(got[2], "? ") {
		t.Errorf("with telnet commands: %q", got)
	}
	c = w.dial("Alford")
	c.SendString("IAMAT k +1-1 5\nTOKEN secret\nIAMAT k +1-1 6\n\xff\xfb\x1fTOKEN secret\n")
	w.net.RunFor(100 * time.Millisecond)
	lines := strings.Split(c.Take(), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "AT ") || lines[1] != "? TOKEN [redacted]" || lines[2] != "? IAMAT k +1-1 6" ||
		lines[3] != "? \xff\xfb\x1fTOKEN [redacted]" {
		t.Errorf("got %q", lines)
	}
}

// However events come, no more than the limit and what may come at once are allowed, and an even pace always is.
func TestPace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		most := 1 + r.IntN(1000)
		var p, even pace
		now, allowed := time.Duration(0), 0
		for range 2000 {
			now += time.Duration(r.Int64N(int64(2 * time.Second / time.Duration(most))))
			if p.allows(now, most) {
				p.count(now, most)
				allowed++
			}
		}
		if limit := float64(most) + float64(most)*now.Seconds()*1.0001 + 1; float64(allowed) > limit {
			t.Fatalf("%d allowed in %v at %d a second", allowed, now, most)
		}
		for i := range 100 {
			at := time.Duration(float64(i) * float64(time.Second) / float64(most))
			if !even.allows(at, most) {
				t.Fatalf("event %d at %v is refused at %d a second", i, at, most)
			}
			even.count(at, most)
		}
	}
}

// The paces of client ids are bounded, and a busy one is not forgotten.
func TestClientPacesAreBounded(t *testing.T) {
	c := clientPaces{most: 1000}
	busy := 0
	for i := range 100_000 { // 500 ids a second, for 200 s
		now := time.Duration(i) * 2 * time.Millisecond
		if c.allow([]byte("busy"), now, 2) {
			busy++
		}
		c.allow(fmt.Append(nil, "id", i), now, 2)
		if len(c.paces) != len(c.queue) || len(c.queue) > 600 {
			t.Fatalf("%d ids, %d in the queue", len(c.paces), len(c.queue))
		}
	}
	if busy != 401 {
		t.Errorf("%d of 401 updates of the busy one", busy)
	}
	for i := range 100_000 { // all at once
		c.allow(fmt.Append(nil, "id", i), time.Hour, 2)
	}
	if len(c.paces) > c.most || len(c.queue) != len(c.paces) {
		t.Errorf("%d ids, %d in the queue", len(c.paces), len(c.queue))
	}
	for range 10 {
		c.forget(idleLook, 2*time.Hour)
	}
	if len(c.paces)+len(c.queue) != 0 {
		t.Errorf("%d ids are remembered for ever", len(c.paces))
	}
}

// Quotas of tokens that are gone are forgotten.
func TestQuotasOfTokens(t *testing.T) {
	w := guarded(t, func(c *config.Config) { c.Limits.ConnectionsPerToken = 1 }, fleet, reader)
	srv := w.servers["Alford"]
	c := w.shown("fleet")
	w.shown("reader")
	srv.SetTokens(tokensOf(t, reader))
	w.until("closed", c.Closed)
	w.net.RunFor(time.Second)
	if n := len(srv.quotas.tokens); n != 1 {
		t.Errorf("%d quotas", n)
	}
	srv.SetTokens(tokensOf(t, reader, fleet, access.Token{Name: "new", Rights: access.Read}))
	w.shown("fleet")
}

func BenchmarkSessionIAMATWithLimits(b *testing.B) {
	w := alone(b, func(c *config.Config) {
		c.Limits.LinesPerAddress, c.Limits.UpdatesPerClient = 10_000_000, 1_000_000
		c.Limits.MaxClients = 1_000_000
	})
	s := w.servers["Alford"].BuildProtocol("client").(*session)
	s.ConnectionMade(sink{})
	line := []byte("IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1519000000.1\n")
	b.ReportAllocs()
	for b.Loop() {
		s.DataReceived(line)
	}
}
