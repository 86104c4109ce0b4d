package herd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/access"
	"serverherd/herd/config"
)

// The replies do not depend on how a TOKEN and what follows it are split.
func TestTokensSplitAnywhere(t *testing.T) {
	const lines = "\xef\xbb\xbf\xff\xfb\x1fTOKEN herd_fleet_secret\r\nIAMAT fleet/1 +1-1 5\nIAMAT moa +1-1 5\nquit\n"
	for cut := range len(lines) {
		w := guarded(t, nil, fleet)
		c := w.dial("Alford")
		c.SendString(lines[:cut])
		w.net.RunFor(20 * time.Millisecond)
		c.SendString(lines[cut:])
		w.until("closed", c.Closed)
		got := strings.SplitAfter(c.Take(), "\n\n")
		if len(got) != 5 || got[0] != "> Welcome fleet\n\n" || !strings.HasPrefix(got[1], "AT ") ||
			!strings.HasPrefix(got[2], "> IAMAT TOKEN: ") || got[3] != "> Goodbye\n\n" {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

// HELLO as the first line is a neighbor's, whether clients need tokens or not. Behind another line it is nothing.
func TestLinksNeedNoToken(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Clients.Tokens = "tokens.toml"
	cfg.Herd.Secrets = []string{"a secret of the herd"}
	w := newWorld(t, cfg)
	w.tokens = tokensOf(t, fleet)
	w.startAll()
	w.net.RunFor(2 * tokenTimeout)
	if !w.live() {
		t.Error("links are down")
	}
	const hello = "HELLO herd/1 ucla Welsh Alford 0000000000000001 000102030405060708090a0b0c0d0e0f\n"
	c := w.dialFrom("Welsh")
	c.SendString(hello + "TOKEN " + secretOf("fleet") + "\nIAMAT fleet/1 +1-1 5\n")
	w.until("refused", c.Closed)
	if got := c.Take(); strings.Contains(got, "Welcome") || strings.Contains(got, "AT ") {
		t.Errorf("a token on a link: %q", got)
	}
	c = w.shown("fleet")
	if got := c.ask(1, hello); got != "? "+strings.TrimSpace(hello)+"\n\n" {
		t.Errorf("behind a token: %q", got)
	}
	if got := w.dial("Alford").ask(2, "help me\n"+hello); got != required+required {
		t.Errorf("behind another line: %q", got)
	}
	if w.servers["Alford"].store.Len() != 0 {
		t.Error("a line was executed")
	}
}

// Connections without a token take places of clients for token_timeout at most; links have their own.
func TestMaxConnectionsWithoutATokenAreFreed(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Clients.Tokens = "tokens.toml"
	cfg.Limits.MaxConnections = 10
	w := newWorld(t, cfg)
	w.tokens = tokensOf(t, writer)
	srv := w.start("Alford")
	ours := w.shown("writer")
	for range 9 {
		w.dial("Alford")
	}
	w.net.RunFor(100 * time.Millisecond)
	if got := w.dial("Alford").ask(1, "TOKEN "+secretOf("writer")+"\n"); got != "> SERVER FULL\n\n" {
		t.Errorf("got %q", got)
	}
	if got := ours.ask(1, "IAMAT k +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
		t.Errorf("with a token: %q", got)
	}
	w.start("Welsh")
	w.until("the link is live", func() bool { return w.servers["Welsh"].neighbor([]byte("Alford")).link.state == linkLive })
	w.until("closed", func() bool { return srv.counters.TokensLate == 9 })
	w.net.RunFor(15 * time.Second) // connections that are not closed by the client, either
	w.shown("writer")
}

// One address has half of the places at most, so that it cannot keep out the others without a token.
func TestAnAddressWithoutATokenDoesNotFillTheServer(t *testing.T) {
	w := guarded(t, func(c *config.Config) { c.Limits.MaxConnections, c.Limits.ConnectionsPerAddress = 10, 0 }, writer)
	for range 50 {
		w.dialFrom("attacker")
	}
	w.net.RunFor(100 * time.Millisecond)
	w.dialFrom("other").welcome("writer")
}

// An unfinished TOKEN of a client of the course that never ends a line is executed, too.
func TestAnUnfinishedToken(t *testing.T) {
	for secret, want := range map[string]string{secretOf("fleet"): "", "x": "? TOKEN [redacted]\n"} {
		w := guarded(t, func(c *config.Config) { c.Herd.Dialect, c.Herd.UnfinishedLine = "cs131", 300*time.Millisecond }, fleet)
		c := w.dial("Alford")
		c.SendString("TOKEN " + secret)
		w.until("closed", c.Closed)
		if got := c.Take(); got != want {
			t.Errorf("%s: %q, want %q", secret, got, want)
		}
	}
}

// A legacy neighbor, which shows no token, needs clients that need none.
func TestLegacyNeighborsOfAnOpenHerd(t *testing.T) {
	cfg := testConfig(ring...)
	cfg.Clients.Tokens, cfg.Clients.Open, cfg.Peers.Handshake = "tokens.toml", true, "optional"
	w := newWorld(t, cfg)
	w.tokens = tokensOf(t, fleet)
	srv := w.start("Alford")
	w.dialFrom("Welsh").SendString("AT Welsh +0.1 k +1-1 5 Welsh\n")
	w.until("applied", func() bool { return srv.store.Len() == 1 })
}

// lineLog keeps all lines.
type lineLog struct{ text bytes.Buffer }

func (l *lineLog) LineReceived(_ uint64, line []byte) { fmt.Fprintf(&l.text, "%s\n", line) }
func (l *lineLog) LineSent(_ uint64, line []byte)     { fmt.Fprintf(&l.text, "%s\n", line) }
func (l *lineLog) LookupSent(_ uint64, at []byte, _ string, _ int, reply []byte) {
	fmt.Fprintf(&l.text, "%s\n%s\n", at, reply)
}

// No reply, log entry, logged line or status has a token, right or wrong, however it is sent.
func TestTokensAreNowhere(t *testing.T) {
	made := func(before string) string {
		return before + "herd_" + strings.Repeat("x", 43-len("_secret")) + "_secret"
	}
	for _, dialect := range []string{"paper", "cs131"} {
		for _, change := range []func(*config.Config){
			func(*config.Config) {},
			func(c *config.Config) { c.Clients.Open = true },
			func(c *config.Config) { c.Clients.Tokens = "" },
			func(c *config.Config) { c.Limits.LinesPerAddress = 1 },
		} {
			w := guarded(t, func(c *config.Config) { c.Herd.Dialect = dialect; change(c) }, fleet)
			srv := w.servers["Alford"]
			lines := &lineLog{}
			srv.lines = lines
			logs := srv.observe()
			var got bytes.Buffer
			for _, format := range []string{
				"TOKEN %s\nTOKEN %s\n", "token %s\n", "ToKeN\t%s\n", "TOKEN %s x\n", "TOKEN%s\n", "TOKEN:%s\n", "\"TOKEN %s\"\n",
				"help\n\xff\xfa\x1f\x00P\x00\x18\xff\xf0TOKEN %s\n", "\xff\xfb\x1fTOKEN %s\nquit\n", "x\n\xff\xffTOKEN %s\n", "\xef\xbb\xbfTOKEN %s\n",
				"x\n\xef\xbb\xbfTOKEN %s\n", "TOKEN %s", "TOKEN %s" + strings.Repeat("x", 20_000) + "\n", "TOKEN %s HTTP/1.1\n", "TOKEN %s\x00\n",
				"IAMAT\nTOKEN " + strings.Repeat("y", 300) + "%s\n", made("TOKN "), made("IAMAT kiwi +1-1 "), made("help\nWHATSAT "), made("x\n=") + ";",
			} {
				c := w.dial("Alford")
				c.SendString(strings.ReplaceAll(format, "%s", secretOf("fleet")))
				c.CloseWrite()
				w.until("closed", c.Closed)
				got.WriteString(c.Take())
				c = w.dial("Alford")
				c.SendString(strings.ReplaceAll(format, "%s", "wrong_secret"))
				c.CloseWrite()
				w.until("closed", c.Closed)
				got.WriteString(c.Take())
				w.net.RunFor(time.Second)
			}
			fmt.Fprintf(&got, "%+v", srv.Status())
			for _, e := range logs.All() {
				fmt.Fprintf(&got, "%s %v\n", e.Message, e.ContextMap())
			}
			all := got.String() + lines.text.String()
			if i := strings.Index(all, "_secret"); i >= 0 {
				t.Errorf("%s: %q", dialect, all[max(0, i-60):i+7])
			}
			if n := strings.Count(all, "[redacted]"); n < 20 {
				t.Errorf("%s: %d tokens are redacted", dialect, n)
			}
		}
	}
}

// Guessing tokens costs others nothing: a client with a token is served as ever, and the log has one entry.
func TestGuessingTokens(t *testing.T) {
	w := guarded(t, nil, fleet)
	srv := w.servers["Alford"]
	logs := srv.observe()
	ours := w.dialFrom("other").welcome("fleet")
	for i := range 2000 {
		c := w.dial("Alford")
		if got := c.ask(1, fmt.Sprintf("TOKEN guess%d\n", i)); got != refused {
			t.Fatalf("got %q", got)
		}
		c.Close()
		if i%100 == 0 {
			if got := ours.ask(1, "IAMAT fleet/1 +1-1 5\n"); !strings.HasPrefix(got, "AT ") {
				t.Errorf("a bystander got %q", got)
			}
		}
	}
	w.net.RunFor(time.Second)
	if n := srv.counters.TokensRefused; n != 2000 {
		t.Errorf("%d counted", n)
	}
	if n := logs.FilterMessage("token refused").Len(); n < 1 || n > 2 {
		t.Errorf("logged %d times", n)
	}
	if n := len(srv.sessions); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}

// A server whose configuration requires tokens and has none lets nobody in.
func TestNoTokensAtAll(t *testing.T) {
	w := guarded(t, nil)
	w.tokens = nil
	for _, tokens := range []*access.Tokens{nil, tokensOf(t)} {
		w.servers["Alford"].SetTokens(tokens)
		if got := w.dial("Alford").ask(2, "IAMAT k +1-1 5\nTOKEN x\n"); got != required+refused {
			t.Errorf("got %q", got)
		}
	}
}
