package herd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// pretended is TLS of memreactor for a server whose certificate has some names.
func pretended(names ...string) *TLS {
	own := memreactor.TLS{Names: names}
	return &TLS{
		Port: own,
		Link: func(_ string, f reactor.ClientFactory) reactor.ClientFactory {
			return memreactor.TLSFactory{ClientFactory: f, TLS: own}
		},
	}
}

// secured is a herd of one server that has TLS.
func secured(t testing.TB, clients string, change func(*config.Config)) *world {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
		config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}})
	cfg.Clients.TLS = clients
	if change != nil {
		change(cfg)
	}
	w := newWorld(t, cfg)
	w.tls = func(name string) *TLS { return pretended(name) }
	w.start("Alford")
	return w
}

// helloFrom is the beginning of TLS of a peer whose certificate has some names.
func helloFrom(version int, names string) string {
	return fmt.Sprintf("\x16\x03%d %s\n", version, names)
}

const (
	version12   = 0x0303
	serverHello = "\x16\x03772 Alford\n"
	linkHello   = "HELLO herd/1 ucla Ball Alford 00000000000000ff 000102030405060708090a0b0c0d0e0f\n"
)

// What a connection with or without TLS gets.
func TestTLSOfClientsAndLinks(t *testing.T) {
	const help = "Available commands:"
	for _, c := range []struct {
		name           string
		clients, links string
		sent, want     string // the beginning of what comes
		closed         bool
		counter        func(*Counters) uint64 // that is 1 then
	}{
		{"plain, optional", tlsOptional, tlsOptional, "help\n", help, false, nil},
		{"TLS, optional", tlsOptional, "off", helloFrom(version12, "") + "help\n", serverHello + help, false, nil},
		{"TLS, required", tlsRequired, "off", helloFrom(version13, "") + "help\n", serverHello + help, false, nil},
		{"plain, required", tlsRequired, "off", "TOKEN secret\nhelp\n", "> TLS: required: this server has no clients without it\n\n", true,
			func(c *Counters) uint64 { return c.TLSMissing }},
		{"TLS of a client where links have it", "off", tlsRequired, helloFrom(version13, "") + "IAMAT kiwi +1-1 5\nhelp\n", serverHello, true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"TLS in TLS", tlsOptional, "off", helloFrom(version13, "") + helloFrom(version13, ""), serverHello, true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"HTTP in TLS", tlsOptional, "off", helloFrom(version13, "") + "GET / HTTP/1.1\r\n", serverHello, true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"PROXY in TLS", tlsOptional, "off", helloFrom(version13, "") + "PROXY UNKNOWN\r\n", serverHello, true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"TLS behind telnet, which is answered", tlsOptional, "off", "\xff\xfd\x06" + helloFrom(version13, "") + "help\n", "\xff\xfc\x06", true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"TLS behind a byte order mark", tlsOptional, "off", "\ufeff" + helloFrom(version13, "") + "help\n", "", true,
			func(c *Counters) uint64 { return c.OtherProtocols }},
		{"telnet in TLS", tlsOptional, "off", helloFrom(version13, "") + "\xff\xfd\x06help\n", serverHello + "\xff\xfc\x06" + help, false, nil},
		{"no TLS behind its mark", tlsOptional, "off", "\x16\x03x\n", "", true, func(c *Counters) uint64 { return c.TLSFailed }},

		{"a plain link", tlsRequired, tlsOptional, linkHello, "CHALLENGE", false, nil},
		{"a plain link, required", "off", tlsRequired, linkHello, "REFUSE tls", true, func(c *Counters) uint64 { return c.HandshakesFailed }},
		{"a link", "off", tlsRequired, helloFrom(version13, "Ball") + linkHello, serverHello + "CHALLENGE", false, nil},
		{"a link, one of several names", "off", tlsRequired, helloFrom(version13, "x,Ball,y") + linkHello, serverHello + "CHALLENGE", false, nil},
		{"a link with TLS 1.2", "off", tlsRequired, helloFrom(version12, "Ball") + linkHello, serverHello + "REFUSE tls", true,
			func(c *Counters) uint64 { return c.HandshakesFailed }},
		{"a link without a certificate", "off", tlsOptional, helloFrom(version13, "") + linkHello, serverHello + "REFUSE tls", true,
			func(c *Counters) uint64 { return c.HandshakesFailed }},
		{"a link with another name", "off", tlsOptional, helloFrom(version13, "ball,Ball.example,Alford") + linkHello, serverHello + "REFUSE tls", true,
			func(c *Counters) uint64 { return c.HandshakesFailed }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, bytewise := range []bool{false, true} {
				w := secured(t, c.clients, func(cfg *config.Config) { cfg.TLS.Links = c.links })
				conn := w.dial("Alford")
				if bytewise {
					for i := range len(c.sent) {
						conn.SendString(c.sent[i : i+1])
						w.net.RunFor(10 * time.Millisecond)
					}
				} else {
					conn.SendString(c.sent)
				}
				w.net.RunFor(2 * time.Second)
				if got := conn.Take(); !strings.HasPrefix(got, c.want) || conn.Closed() != c.closed && !strings.Contains(c.want, "CHALLENGE") {
					t.Errorf("got %q, closed: %v; want %q", got, conn.Closed(), c.want)
				}
				if c.counter != nil && c.counter(&w.servers["Alford"].counters) != 1 {
					t.Errorf("not counted: %+v", w.servers["Alford"].counters)
				}
			}
		})
	}
}

// Without certificates, TLS is another protocol.
func TestTLSOff(t *testing.T) {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.SendString(helloFrom(version13, "") + "help\n")
	w.until("closed", c.Closed)
	if got := c.Take(); got != "" || w.servers["Alford"].counters.OtherProtocols != 1 {
		t.Errorf("got %q", got)
	}
}

// A server that has no certificates does not start if TLS is required.
func TestTLSWithoutCertificates(t *testing.T) {
	for _, change := range []func(*config.Config){
		func(c *config.Config) { c.TLS.Links = tlsOptional },
		func(c *config.Config) { c.Clients.TLS = tlsRequired },
	} {
		cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
		change(cfg)
		w := newWorld(t, cfg)
		if _, err := NewServer(w.options("Alford", w.net.NewReactor("Alford"), nil)); err == nil {
			t.Errorf("%+v %+v", cfg.TLS, cfg.Clients)
		}
	}
}

// Links go from off to optional to required, one server after another, while clients update. At the end each is over
// TLS, and nothing is lost.
func TestRollingChangeToTLS(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	updates := 0
	for _, mode := range []string{tlsOptional, tlsRequired} {
		for _, c := range ring {
			cfg := testConfig(ring...)
			cfg.TLS.Links = mode
			w.reactors[c.Name].Stop()
			w.until("stopped", w.reactors[c.Name].Stopped)
			delete(w.servers, c.Name)
			w.tls = func(name string) *TLS { return pretended(name) }
			w.startWith(c.Name, cfg)
			w.until(c.Name+": all links live, "+mode, w.live)
			for _, at := range ring {
				updates++
				w.iamat(at.Name, fmt.Sprint("kiwi", updates), stamp+updates)
			}
			w.until("equal", w.equal)
		}
	}
	for _, c := range ring {
		st := w.servers[c.Name].Status()
		if st.Records != uint64(updates) {
			t.Errorf("%s has %d records of %d", c.Name, st.Records, updates)
		}
		for _, l := range st.Links {
			if !l.TLS {
				t.Errorf("%s to %s is not over TLS", c.Name, l.Neighbor)
			}
		}
	}
}

// A server with links = "optional" and one without TLS connect, in either order.
func TestOptionalTLSAndNone(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	optional := testConfig(ring...)
	optional.TLS.Links = tlsOptional
	for i, c := range ring {
		w.tls = nil
		cfg := w.cfg
		if i%2 == 0 {
			cfg = optional
			w.tls = func(name string) *TLS { return pretended(name) }
		}
		w.startWith(c.Name, cfg)
	}
	w.until("all links live", w.live)
}

// A proxy says who its client is, before anything else, and nobody else may.
func TestProxies(t *testing.T) {
	const (
		header  = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
		another = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
		health  = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
		help    = "Available commands:"
	)
	other := func(c *Counters) uint64 { return c.OtherProtocols }
	missing := func(c *Counters) uint64 { return c.ProxyRefused }
	for _, c := range []struct {
		name, from, sent, want, address string
		closed                          bool
		counter                         func(*Counters) uint64
	}{
		{"a client behind the proxy", "10.1.2.3", header + "help\n", help, "192.0.2.7", false, nil},
		{"IPv6", "10.1.2.3", another + "help\n", help, "2001:db8::/64", false, nil},
		{"with TLS", "10.1.2.3", header + helloFrom(version13, "") + "help\n", serverHello + help, "192.0.2.7", false, nil},
		{"the proxy's own check", "10.1.2.3", health + "help\n", help, "10.1.2.3", false, nil},
		{"no header", "10.1.2.3", "help\n", "", "10.1.2.3", true, missing},
		{"no header in TLS", "10.1.2.3", helloFrom(version13, "") + "help\n", serverHello, "10.1.2.3", true, missing},
		{"a neighbor", "10.1.2.3", linkHello, "CHALLENGE", "10.1.2.3", false, nil},
		{"two headers", "10.1.2.3", header + header + "help\n", "", "192.0.2.7", true, other},
		{"a wrong header", "10.1.2.3", "PROXY TCP4 192.0.2.7\r\n", "", "10.1.2.3", true, other},
		{"an endless header", "10.1.2.3", "PROXY UNKNOWN " + strings.Repeat("x", 1000), "", "10.1.2.3", true, other},
		{"a header behind telnet", "10.1.2.3", "\xff\xf1" + header + "help\n", "", "10.1.2.3", true, other},
		{"somebody else", "10.2.0.1", header + "help\n", "", "10.2.0.1", true, other},
		{"somebody else, the beginning", "10.2.0.1", "PROXY ", "", "10.2.0.1", true, other},
		{"an empty line behind the header", "10.1.2.3", header + "\r\n", "? \n\n", "192.0.2.7", false, nil},
		{"somebody else, an empty line", "10.2.0.1", "\r\n", "? \n\n", "10.2.0.1", false, nil},
		{"somebody else without", "10.2.0.1", "help\n", help, "10.2.0.1", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := secured(t, tlsOptional, func(cfg *config.Config) { cfg.Clients.ProxyProtocol = []string{"10.1.0.0/16"} })
			srv := w.servers["Alford"]
			conn := client{w.net.DialFrom(c.from, "Alford:1"), w}
			conn.SendString(c.sent)
			w.until("a session", func() bool { return srv.counters.Accepted == 1 })
			s := srv.sessions[0]
			w.net.RunFor(2 * time.Second)
			if got := conn.Take(); !strings.HasPrefix(got, c.want) || got == "" != (c.want == "") || conn.Closed() != c.closed && !strings.Contains(c.want, "CHALLENGE") {
				t.Errorf("got %q, closed: %v; want %q", got, conn.Closed(), c.want)
			}
			if s.address != c.address {
				t.Errorf("the address is %s, want %s", s.address, c.address)
			}
			if c.counter != nil && c.counter(&srv.counters) != 1 {
				t.Errorf("not counted: %+v", srv.counters)
			}
			conn.Close()
			w.net.RunFor(2 * time.Second)
			if len(srv.quotas.addresses) > 0 || len(srv.sessions) > 0 {
				t.Errorf("left: %v %v", srv.quotas.addresses, srv.sessions)
			}
		})
	}
}

// Limits per address are about the clients of a proxy, not about the proxy.
func TestLimitsBehindAProxy(t *testing.T) {
	w := secured(t, "off", func(cfg *config.Config) {
		cfg.Clients.ProxyProtocol = []string{"10.1.0.0/16"}
		cfg.Limits.ConnectionsPerAddress = 2
	})
	dial := func(source string) client {
		c := client{w.net.DialFrom("10.1.2.3", "Alford:1"), w}
		c.SendString("PROXY TCP4 " + source + " 198.51.100.1 5 443\r\nhelp\n")
		w.net.RunFor(time.Second)
		return c
	}
	for i := range 6 {
		for range 2 {
			if got := dial(fmt.Sprintf("192.0.2.%d", i)).Take(); !strings.HasPrefix(got, "Available") {
				t.Errorf("address %d: %q", i, got)
			}
		}
	}
	third := dial("192.0.2.1")
	if got := third.Take(); got != "> LIMIT: more than 2 connections of this address\n\n" || !third.Closed() {
		t.Errorf("the third connection of an address: %q", got)
	}
}

// Connections of a proxy that wait for their headers, or name no client, have no limit per address: its clients have.
func TestConnectionsOfAProxyBeforeTheirHeaders(t *testing.T) {
	w := secured(t, "off", func(cfg *config.Config) {
		cfg.Clients.ProxyProtocol = []string{"10.1.0.0/16"}
		cfg.Limits.ConnectionsPerAddress, cfg.Limits.MaxConnections = 2, 8
	})
	var all []client
	for range 8 {
		all = append(all, client{w.net.DialFrom("10.1.2.3", "Alford:1"), w})
	}
	w.net.RunFor(time.Second)
	for i, c := range all {
		header := fmt.Sprintf("PROXY TCP4 192.0.2.%d 198.51.100.1 5 443", i)
		if i > 4 {
			header = "PROXY UNKNOWN"
		}
		c.SendString(header + "\r\nhelp\n")
		w.net.RunFor(time.Second)
		if got := c.Take(); !strings.HasPrefix(got, "Available") {
			t.Errorf("connection %d: %q", i, got)
		}
	}
	// One beyond max_connections becomes a client when there is room.
	late := client{w.net.DialFrom("10.1.2.3", "Alford:1"), w}
	w.net.RunFor(100 * time.Millisecond)
	all[0].Close()
	w.net.RunFor(100 * time.Millisecond)
	late.SendString("PROXY UNKNOWN\r\nhelp\n")
	w.net.RunFor(time.Second)
	if got := late.Take(); !strings.HasPrefix(got, "Available") {
		t.Errorf("%q", got)
	}
	if n := w.servers["Alford"].counters.LimitConnections; n > 0 {
		t.Errorf("%d connections refused because of their address", n)
	}
}

// A client of a proxy is not a legacy neighbor that is on the proxy's machine.
func TestLegacyNeighborAndAProxyOnOneMachine(t *testing.T) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		config.Server{Name: "Welsh", Address: "10.1.2.3:1", Neighbors: []string{"Alford"}})
	cfg.Peers.Handshake, cfg.Clients.ProxyProtocol = "optional", []string{"10.1.0.0/16"}
	w := newWorld(t, cfg)
	srv := w.start("Alford")
	for _, source := range []string{"192.0.2.7", "10.1.2.3"} {
		want := uint64(strings.Count(source, "10.1.2.3"))
		c := client{w.net.DialFrom("10.1.2.3", "Alford:1"), w}
		c.SendString("PROXY TCP4 " + source + " 198.51.100.1 5 443\r\n" + legacyKiwi)
		w.net.RunFor(time.Second)
		if got := srv.Status().Records; got != want {
			t.Errorf("a neighbor's line of %s: %d records, want %d", source, got, want)
		}
		c.Close()
		w.net.RunFor(time.Second)
	}
}

// The log has one entry for each kind of failure and address, whatever the peer makes of its certificate.
func TestFailedHandshakesAreLoggedByKind(t *testing.T) {
	w := secured(t, tlsRequired, nil)
	srv := w.servers["Alford"]
	for i := range 100 {
		for _, reason := range []string{
			"EOF",
			"TLS handshake: not complete within 5s",
			fmt.Sprintf("read tcp 127.0.0.1:1->127.0.0.1:%d: connection reset by peer", i),
			fmt.Sprintf("tls: client offered only unsupported versions: [%d]", i),
			fmt.Sprintf("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time %d", i),
			fmt.Sprintf(`tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of "%d")`, i),
			fmt.Sprintf(`tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because of "%s")`, strings.Repeat("x", 1000*i)),
		} {
			for _, address := range []string{"192.0.2.1", "192.0.2.2"} {
				srv.HandshakeFailed(fmt.Sprintf("%s:%d", address, 1000+i), errors.New(reason))
			}
		}
	}
	if n := len(srv.logLimits.tls.logged); n != 12 || srv.counters.TLSFailed != 1400 {
		t.Errorf("%d entries for 6 kinds and 2 addresses, %d counted", n, srv.counters.TLSFailed)
	}
}

// With links = "optional", a neighbor that says nothing for a while does not get a link without TLS.
func TestSilentNeighborKeepsTLS(t *testing.T) {
	w := secured(t, "off", func(cfg *config.Config) { cfg.TLS.Links = tlsOptional })
	w.start("Ball")
	w.until("live", w.live)
	w.reactors["Ball"].Pause()
	link := func() LinkStatus { return w.servers["Alford"].Status().Links[0] }
	w.until("a failed handshake", func() bool { return w.servers["Alford"].counters.TLSFailed > 1 })
	for range 40 {
		w.net.RunFor(500 * time.Millisecond)
		if l := link(); !l.TLS {
			t.Fatalf("a dial without TLS: %+v", l)
		}
	}
	w.reactors["Ball"].Resume()
	w.until("live again", func() bool { return w.live() && link().State == LinkLive })
	if !link().TLS {
		t.Error("the link has no TLS")
	}
}
