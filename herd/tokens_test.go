package herd

import (
	"strings"
	"testing"
	"time"

	"serverherd/herd/access"
	"serverherd/herd/config"
)

// secretOf is the text of a test's token.
func secretOf(name string) string { return "herd_" + name + "_secret" }

// tokensOf reads a tokens file.
func tokensOf(t testing.TB, all ...access.Token) *access.Tokens {
	t.Helper()
	text := ""
	for _, token := range all {
		if token.Hash == [32]byte{} {
			token.Hash = access.Hash([]byte(secretOf(token.Name)))
		}
		text += token.Line()
	}
	tokens, err := access.Parse("tokens.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// The tokens of most tests: fleet may write clients whose id begins with fleet/, and read.
var (
	fleet   = access.Token{Name: "fleet", Rights: access.Read | access.Write, Prefix: "fleet/"}
	reader  = access.Token{Name: "reader", Rights: access.Read}
	writer  = access.Token{Name: "writer", Rights: access.Write}
	monitor = access.Token{Name: "monitor", Rights: access.Console}
)

// guarded is a herd of one server whose clients need tokens.
func guarded(t testing.TB, change func(*config.Config), all ...access.Token) *world {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Clients.Tokens = "tokens.toml"
	if change != nil {
		change(cfg)
	}
	w := newWorld(t, cfg)
	w.tokens = tokensOf(t, all...)
	w.start("Alford")
	return w
}

// shown is a client that has shown a token.
func (w *world) shown(name string) client {
	w.t.Helper()
	c := w.dial("Alford")
	if got, want := c.ask(1, "TOKEN "+secretOf(name)+"\n"), "> Welcome "+name+"\n\n"; got != want {
		w.t.Fatalf("got %q, want %q", got, want)
	}
	return c
}

const (
	required = "> TOKEN: required: the first line must be TOKEN and your token\n\n"
	refused  = "> TOKEN: unknown or expired\n\n"
	twice    = "> TOKEN: this connection has one already\n\n"
	at1      = "AT fleet/1" // stands for the reply to an IAMAT of this client
)

// What a client gets for its lines, the last of them with the end of the connection or without.
func TestTokensOfClients(t *testing.T) {
	token := func(name string) string { return "TOKEN " + secretOf(name) + "\n" }
	const iamat, whatsat = "IAMAT fleet/1 +1-1 5\n", "WHATSAT fleet/1 1 1\n"
	old := access.Token{Name: "old", Rights: access.Read, Expires: time.Unix(1e9, 0)}
	for _, c := range []struct {
		name, lines, want string
		closed            bool
	}{
		{"as it should be", token("fleet") + iamat + "quit\n", "> Welcome fleet\n\n" + at1 + "> Goodbye\n\n", true},
		{"without a token", iamat + whatsat + "nonsense\n\nIAMAT\nhelp me\n", strings.Repeat(required, 6), false},
		{"help", "help\n", "Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n", false},
		{"quit", "quit\n", "> Goodbye\n\n", true},
		{"later", iamat + token("fleet") + iamat, required + "> Welcome fleet\n\n" + at1, false},
		{"unknown", token("nobody") + iamat, refused, true},
		{"expired", token("old") + iamat, refused, true},
		{"twice", token("fleet") + token("fleet") + token("nobody") + iamat, "> Welcome fleet\n\n" + twice + twice + at1, false},
		{"twice, another one", token("reader") + token("writer") + iamat, "> Welcome reader\n\n" + twice + "> IAMAT TOKEN: without the right \"write\"\n\n", false},
		{"no token", "TOKEN\n" + iamat, "> TOKEN FIELDS: 1 instead of 2\n? TOKEN\n\n" + required, false},
		{"two tokens", "TOKEN a b\n" + token("fleet"), "> TOKEN FIELDS: 3 instead of 2\n? TOKEN [redacted]\n\n> Welcome fleet\n\n", false},
		{"too long", "TOKEN " + strings.Repeat("x", 257) + "\n" + token("fleet"), "> TOKEN TOKEN: longer than 256 bytes\n? TOKEN [redacted]\n\n> Welcome fleet\n\n", false},
		{"as long as possible", "TOKEN " + strings.Repeat("x", 256) + "\n", refused, true},
		{"other case", "token " + secretOf("fleet") + "\nToken " + secretOf("fleet") + "\n", required + required, false},
		{"other case of the secret", "TOKEN " + strings.ToUpper(secretOf("fleet")) + "\n", refused, true},
		{"white space", " \tTOKEN\v" + secretOf("fleet") + " \r\n" + iamat, "> Welcome fleet\n\n" + at1, false},
		{"a byte order mark before", "\xef\xbb\xbf" + token("fleet") + iamat, "> Welcome fleet\n\n" + at1, false},
		{"a byte order mark after", token("fleet") + "\xef\xbb\xbf" + iamat, "> Welcome fleet\n\n? \xef\xbb\xbfIAMAT fleet/1 +1-1 5\n\n", false},
		{"telnet before", "\xff\xfb\x1f\xff\xfa\x1f\x00P\x00\x18\xff\xf0" + token("fleet") + iamat, "> Welcome fleet\n\n" + at1, false},
		{"telnet between", iamat + "\xff\xfa\x1f\x00P\x00\x18\xff\xf0" + token("fleet") + iamat, required + "> Welcome fleet\n\n" + at1, false},
		{"telnet before what needs a token", "help\n\xff\xfb\x1f" + iamat, "Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n" + required, false},
		{"NUL after the verb", "TOKEN\x00" + secretOf("fleet") + "\n", required, false},
		{"NUL after the token", "TOKEN " + secretOf("fleet") + "\x00\n", refused, true},
		{"quoted", "TOKEN \"" + secretOf("fleet") + "\"\n", refused, true},
		{"the line of the file", fleet.Line(), required, false},
		{"the hash", "TOKEN " + strings.Repeat("0", 64) + "\n", refused, true},
		{"as a password", "AUTH " + secretOf("fleet") + "\n", required, false},
		{"HTTP", "GET / HTTP/1.1\r\nAuthorization: Bearer " + secretOf("fleet") + "\r\n\r\n", "", true},
		{"HTTP later", "help me\nPOST / HTTP/1.1\r\n", required, true},
		{"an AT line", "AT Alford +0.1 fleet/1 +1-1 5\n", required, false},
		{"reads only", token("reader") + iamat + whatsat,
			"> Welcome reader\n\n> IAMAT TOKEN: without the right \"write\"\n\n> WHATSAT REQUEST: There is no location data at server Alford for client fleet/1\n\n", false},
		{"writes only", token("writer") + iamat + whatsat, "> Welcome writer\n\n" + at1 + "> WHATSAT TOKEN: without the right \"read\"\n\n", false},
		{"neither", token("monitor") + iamat + whatsat + "help me\n",
			"> Welcome monitor\n\n> IAMAT TOKEN: without the right \"write\"\n\n> WHATSAT TOKEN: without the right \"read\"\n\n> help FIELDS: 2 instead of 1\n? help me\n\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			// In one packet, and byte by byte.
			for _, cut := range []int{1 << 20, 1} {
				w := guarded(t, nil, fleet, reader, writer, monitor, old)
				conn := w.dial("Alford")
				for i := 0; i < len(c.lines); i += cut {
					conn.SendString(c.lines[i:min(i+cut, len(c.lines))])
					w.net.RunFor(5 * time.Millisecond)
				}
				w.net.RunFor(100 * time.Millisecond)
				got := ""
				for reply := range strings.SplitAfterSeq(string(conn.Received()), "\n\n") {
					if strings.HasPrefix(reply, "AT Alford ") && strings.Contains(reply, " fleet/1 +1-1 5") {
						reply = at1
					}
					got += reply
				}
				if got != c.want || conn.Closed() != c.closed {
					t.Errorf("cut %d: got %q, closed %v\nwant %q", cut, got, conn.Closed(), c.want)
				}
			}
		})
	}
}

// On servers that need no token: clients may be changed before the servers are.
func TestTokensThatAreNotNeeded(t *testing.T) {
	w := alone(t, nil)
	if got, want := w.dial("Alford").ask(2, "TOKEN x\nIAMAT k +1-1 5\n"), "> TOKEN: this server needs none\n\nAT Alford "; !strings.HasPrefix(got, want) {
		t.Errorf("without tokens: %q, want %q", got, want)
	}
	w = guarded(t, func(c *config.Config) { c.Clients.Open = true }, reader)
	if got := w.dial("Alford").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("open, without a token: %q", got)
	}
	if got := w.shown("reader").ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "> IAMAT TOKEN: ") {
		t.Errorf("open, with a token that may not: %q", got)
	}
	if got := w.dial("Alford").ask(1, "TOKEN x\n"); got != refused {
		t.Errorf("open, with a wrong token: %q", got)
	}
	w.net.RunFor(2 * tokenTimeout)
	if n := w.servers["Alford"].counters.TokensLate; n != 0 {
		t.Errorf("open: %d connections closed for want of a token", n)
	}
}

// An id outside the prefix is refused however it is written.
func TestIDsOutsideThePrefix(t *testing.T) {
	umlaut := access.Token{Name: "umlaut", Rights: access.Write, Prefix: "f\u00fcr/"}
	w := guarded(t, nil, fleet, umlaut)
	for token, ids := range map[string][]string{
		"fleet": {"fleet", "fleet-1", "Fleet/1", "FLEET/1", "xfleet/1", "\x00fleet/1", "fleet\x00/1", "fleet%2F1", "fl%65et/1", "fleet\\1",
			"./fleet/1", "/fleet/1", "fleet\u2215" + "1", "fleet\u20441", "\ufefffleet/1", "\u200bfleet/1", "\u202efleet/1", "fle\u00adet/1",
			"\xc0\xaffleet/1", "fleet\xc0\xaf1", "\u0066\u029fleet/1", "ﬂeet/1", "f", "moa", "../fleet/1"},
		"umlaut": {"fu\u0308r/1", "f\xfcr/1", "f\u00dcr/1", "fur/1", "f\u00fc"},
	} {
		c := w.shown(token)
		for _, id := range ids {
			got := c.ask(1, "IAMAT "+id+" +1-1 5\n")
			if !strings.HasPrefix(got, "> IAMAT TOKEN: it may write only clients whose id begins with ") {
				t.Errorf("%q with the token %s: %q", id, token, got)
			}
		}
	}
	for _, id := range []string{"fleet/", "fleet/1", "fleet/\xff", "fleet/../moa"} {
		if got := w.shown("fleet").ask(1, "IAMAT "+id+" +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
			t.Errorf("%q: %q", id, got)
		}
	}
	if n := w.servers["Alford"].store.Len(); n != 4 {
		t.Errorf("%d clients", n)
	}
}

// A client that shows no token in time is closed, whatever else it says.
func TestTokenTimeout(t *testing.T) {
	w := guarded(t, nil, fleet)
	silent, talks, shows := w.dial("Alford"), w.dial("Alford"), w.shown("fleet")
	for i := range 20 {
		w.net.At(time.Duration(i)*time.Second, func() { talks.SendString("help\n") })
	}
	w.net.RunFor(tokenTimeout - time.Second)
	if silent.Closed() || talks.Closed() {
		t.Error("closed too early")
	}
	w.net.RunFor(3 * time.Second)
	for _, c := range []client{silent, talks} {
		if got := c.Take(); !c.Closed() || !strings.HasSuffix(got, "> TOKEN: no token came in time\n\n") {
			t.Errorf("closed %v, got %q", c.Closed(), got)
		}
	}
	if got := shows.ask(1, "IAMAT fleet/1 +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("with a token: %q", got)
	}
}

// A sweep that comes late, because the process was stopped, closes nothing: what came meanwhile is read first.
func TestTokenTimeoutAndALateSweep(t *testing.T) {
	w := guarded(t, nil, fleet)
	srv := w.servers["Alford"]
	c := w.dial("Alford")
	w.net.RunFor(time.Second)
	w.reactors["Alford"].Pause()
	w.net.RunFor(2 * tokenTimeout)
	w.reactors["Alford"].Resume()
	w.until("a sweep was late", func() bool { return srv.sweepLate })
	if c.Closed() || srv.counters.TokensLate != 0 {
		t.Fatal("closed by the late sweep")
	}
	if got := c.ask(1, "TOKEN "+secretOf("fleet")+"\n"); got != "> Welcome fleet\n\n" {
		t.Errorf("got %q", got)
	}
}

// A token that is gone, or has expired, ends its connections after what they are owed; others notice nothing.
func TestTokensThatEnd(t *testing.T) {
	revoke := func(w *world) { w.servers["Alford"].SetTokens(tokensOf(w.t, reader)) }
	for _, c := range []struct {
		name string
		end  func(*world)
		want string
	}{
		{"revoked", revoke, "> TOKEN: revoked\n\n"},
		{"expired", func(w *world) { w.net.RunFor(time.Minute) }, "> TOKEN: expired\n\n"},
		{"expired by a reload", func(w *world) {
			now := fleet
			now.Expires = w.net.Now().Add(-time.Second)
			w.servers["Alford"].SetTokens(tokensOf(w.t, now, reader))
		}, "> TOKEN: expired\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := fleet
			token.Expires = time.Unix(1520023934+3600, 0)
			w := guarded(t, nil, token, reader)
			token.Expires = w.net.Now().Add(30 * time.Second)
			srv := w.servers["Alford"]
			srv.SetTokens(tokensOf(t, token, reader))
			w.reactors["Alford"].SetWork(2 * time.Second)
			busy, idle, other, held := w.shown("fleet"), w.shown("fleet"), w.shown("reader"), w.shown("fleet")
			busy.ask(1, "IAMAT fleet/1 +1-1 5\n")
			if c.name != "expired" {
				busy.SendString("WHATSAT fleet/1 1 1\nhelp\nIAMAT fl")
				held.SendString(strings.Repeat("WHATSAT fleet/1 1 1\n", maxOpen+5))
				w.net.RunFor(100 * time.Millisecond)
			}
			c.end(w)
			w.until("closed", func() bool { return busy.Closed() && idle.Closed() && held.Closed() })
			if got := busy.Take(); !strings.HasSuffix(got, c.want) || c.name != "expired" && strings.Count(got, "\n\n") != 3 {
				t.Errorf("with replies pending: %q", got)
			}
			if got := idle.Take(); got != c.want {
				t.Errorf("idle: %q", got)
			}
			if n := strings.Count(held.Take(), "\n\n"); c.name != "expired" && n != maxOpen+1 {
				t.Errorf("%d replies to lines of which %d were executed", n, maxOpen)
			}
			if got := other.ask(1, "WHATSAT fleet/1 1 1\n"); !strings.HasPrefix(got, "AT ") {
				t.Errorf("another token: %q", got)
			}
			if n := srv.counters.TokensRevoked; n != 3 {
				t.Errorf("%d counted", n)
			}
		})
	}
}

// A line after the expiry is refused, also before the next sweep.
func TestTokenExpiresAtUse(t *testing.T) {
	w := guarded(t, nil, fleet)
	token := fleet
	token.Expires = w.net.Now().Truncate(time.Second).Add(5 * time.Second)
	// A sweep comes every second after the start: let the expiry be between two of them.
	w.crash("Alford")
	w.net.RunFor(token.Expires.Add(-4500 * time.Millisecond).Sub(w.net.Now()))
	w.tokens = tokensOf(t, token)
	srv := w.start("Alford")
	c := w.shown("fleet")
	w.net.RunFor(token.Expires.Sub(w.net.Now()))
	if c.Closed() || srv.counters.TokensRevoked != 0 {
		t.Fatal("closed too early")
	}
	got := c.ask(1, "IAMAT fleet/1 +1-1 5\nhelp\n")
	if got != "> TOKEN: expired\n\n" || srv.store.Len() != 0 || srv.counters.TokensRevoked != 1 {
		t.Errorf("got %q, %d records, %d counted", got, srv.store.Len(), srv.counters.TokensRevoked)
	}
	w.until("closed", c.Closed)
}

// A reload changes rights at once, and neither the name nor the order matters.
func TestRightsChange(t *testing.T) {
	w := guarded(t, nil, reader, fleet)
	srv := w.servers["Alford"]
	c := w.shown("fleet")
	c.ask(1, "IAMAT fleet/1 +1-1 5\n")
	renamed := access.Token{Name: "renamed", Rights: access.Write, Prefix: "moa/", Hash: access.Hash([]byte(secretOf("fleet")))}
	srv.SetTokens(tokensOf(t, renamed, reader))
	want := "> IAMAT TOKEN: it may write only clients whose id begins with moa/\n\n> WHATSAT TOKEN: without the right \"read\"\n\n"
	if got := c.ask(2, "IAMAT fleet/1 +1-1 6\nWHATSAT fleet/1 1 1\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.ask(1, "IAMAT moa/1 +1-1 6\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("got %q", got)
	}
	if st := srv.Status().Tokens; st == nil || st.Count != 2 || st.Connections != 1 || st.Expired != 0 {
		t.Errorf("%+v", st)
	}
	srv.SetTokens(nil)
	w.until("closed", c.Closed)
	if got := w.dial("Alford").ask(1, "TOKEN "+secretOf("reader")+"\n"); got != refused {
		t.Errorf("where there is none: %q", got)
	}
}

// The log has the name of a token and never its text, one entry for many refusals.
func TestTokensInTheLog(t *testing.T) {
	old := access.Token{Name: "old", Rights: access.Read, Expires: time.Unix(1e9, 0)}
	w := guarded(t, nil, fleet, old)
	srv := w.servers["Alford"]
	logs := srv.observe()
	for range 1000 {
		for _, secret := range []string{"wrong_secret", secretOf("old")} {
			c := w.dial("Alford")
			c.ask(1, "TOKEN "+secret+"\n")
			c.Close()
		}
	}
	c := w.shown("fleet")
	for range 100 {
		c.ask(2, "IAMAT moa +1-1 5\nTOKEN "+secretOf("fleet")+"\n")
	}
	c.Close()
	w.net.RunFor(time.Second)
	for message, n := range map[string]int{"token refused": 2, "line refused": 1, "token accepted": 1} {
		if k := logs.FilterMessage(message).Len(); k != n {
			t.Errorf("%d entries %q, want %d", k, message, n)
		}
	}
	last := false
	for _, e := range logs.All() {
		for _, f := range e.Context {
			if strings.Contains(f.String, "secret") || strings.Contains(e.Message, "secret") {
				t.Fatalf("%s: %s = %s", e.Message, f.Key, f.String)
			}
			last = last || e.Message == "connection lost" && f.Key == "token" && f.String == "fleet"
		}
	}
	if !last {
		t.Error("the end of the connection is logged without the token's name")
	}
	if srv.counters.TokensRefused != 2000 || srv.counters.RightsRefused != 100 {
		t.Errorf("%+v", srv.counters)
	}
}

func hitTokenTimeout(t *testing.T) *Server {
	w := guarded(t, nil, fleet)
	w.dial("Alford").SendString("IAMAT k +1-1 5\n")
	w.until("closed", w.counted("tokens_late"))
	if d := w.net.Elapsed(); d < tokenTimeout {
		t.Errorf("closed after %v", d)
	}
	return w.servers["Alford"]
}

func hitTokens(t *testing.T) *Server {
	w := guarded(t, nil, fleet)
	w.dial("Alford").ask(1, "TOKEN x\n")
	w.shown("fleet").ask(1, "IAMAT k +1-1 5\n")
	w.servers["Alford"].SetTokens(nil)
	return w.servers["Alford"]
}
