package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// These tests attack a server with tokens. Of each attack they check what the attacker sees, that the log says it once,
// the counter, and that a bystander, a client with a valid token, has all replies. Nothing that anybody sees has the text
// of a token or of the secret.

const doorSecret = "the secret of the herd that is attacked"

// tokenText is the text of the token with a name.
func tokenText(name string) string { return "herd_" + name + "_Xq3vT8sKw1" }

// doorTokens are the tokens of all these tests.
var doorTokens = []access.Token{
	{Name: "bystander", Rights: access.Read | access.Write},
	{Name: "fleet", Rights: access.Read | access.Write, Prefix: "fleet7/"},
	{Name: "noisy", Rights: access.Read | access.Write},
	{Name: "grafana", Rights: access.Console},
	{Name: "admin", Rights: access.Console | access.Operate},
}

// guarded is a herd with tokens that is attacked.
type guarded struct {
	*processtest.Herd
	addr, console string // of Alford
	begun         time.Time
	secure        *tls.Config // of clients; nil: without TLS

	mu   sync.Mutex
	seen bytes.Buffer // all that attackers and others have received
}

// newGuarded writes a herd.toml with tokens for servers, and starts them. limits is the text of [limits].
func newGuarded(t *testing.T, limits string) *guarded {
	t.Helper()
	h, listeners := processtest.NewHerd(t, "[herd]\nsecret_file = \"secret\"\n[clients]\ntokens = \"tokens.toml\"\n"+
		"[console]\nhosts = [\"herd.example.org\"]\n[limits]\n"+limits, "Alford")
	g := &guarded{Herd: h, begun: time.Now(), addr: h.Server("Alford").Listen, console: h.Server("Alford").Console}
	g.file("secret", doorSecret+"\n")
	g.tokens("")
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	return g
}

// file replaces a file of the herd.
func (g *guarded) file(name, text string) {
	g.T.Helper()
	path := filepath.Join(g.Dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		g.T.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		g.T.Fatal(err)
	}
}

// tokens writes the file with all tokens but some, and with more text at its end.
func (g *guarded) tokens(more string, without ...string) {
	g.T.Helper()
	text := ""
	for _, token := range doorTokens {
		token.Hash = access.Hash([]byte(tokenText(token.Name)))
		if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+token.Name+" ") {
			text += token.Line()
		}
	}
	g.file("tokens.toml", text+more)
}

func (g *guarded) reload() {
	g.T.Helper()
	if err := g.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		g.T.Fatal(err)
	}
}

// saw notes what somebody has received. Any goroutine.
func (g *guarded) saw(text string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen.WriteString(text + "\n")
	return text
}

// status is Alford's status.
func (g *guarded) status() *herd.Status {
	g.T.Helper()
	s := g.Status("Alford")
	if s == nil {
		g.T.Fatal("Alford does not answer")
	}
	return s
}

// client is a connection of a client.
type client struct {
	g    *guarded
	conn net.Conn
	in   *bufio.Reader
}

func (g *guarded) dial(from string) (*client, error) {
	d := net.Dialer{}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", g.addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(5 * processtest.Patience))
	if g.secure != nil {
		over := tls.Client(&cutting{TCPConn: conn.(*net.TCPConn)}, g.secure)
		if err := over.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		conn = over
	}
	return &client{g, conn, bufio.NewReader(conn)}, nil
}

// connect is a connection that has shown a token, unless name is "".
func (g *guarded) connect(name string) *client {
	g.T.Helper()
	c, err := g.dial("")
	if err != nil {
		g.T.Fatal(err)
	}
	g.T.Cleanup(func() { c.conn.Close() })
	if name != "" {
		if got, err := c.ask("TOKEN " + tokenText(name)); err != nil || got != "> Welcome "+name {
			g.T.Fatalf("%q, %v", got, err)
		}
	}
	return c
}

// ask sends a line and returns its reply without LFs at its end.
func (c *client) ask(line string) (string, error) {
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		return "", err
	}
	return c.reply()
}

// reply is the next reply, without LFs at its end. The error is io.EOF if the server has closed the connection.
func (c *client) reply() (reply string, err error) {
	for !strings.HasSuffix(reply, "\n\n") {
		line, err := c.in.ReadString('\n')
		if reply += line; err != nil {
			c.g.saw(reply)
			return reply, err
		}
	}
	return strings.TrimRight(c.g.saw(reply), "\n"), nil
}

// rest is everything until the server closes the connection.
func (c *client) rest() string {
	text, err := io.ReadAll(c.in)
	if err != nil {
		return fmt.Sprintf("%s, not closed: %v", text, err)
	}
	return c.g.saw(string(text))
}

// bystander updates and asks for a client with a valid token, and looks whether the server lives, until it is told to
// stop. Every line must get its reply, and every question about the server an answer. pause is between two updates.
func (g *guarded) bystander(pause time.Duration) (stop func()) {
	g.T.Helper()
	c := g.connect("bystander")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var rounds atomic.Int64
	go func() {
		done <- func() error {
			for ctx.Err() == nil {
				n := rounds.Load()
				at := fmt.Sprintf("%d.5", 1520023934+n)
				if got, err := c.ask("IAMAT bystander +34.068930-118.445127 " + at); err != nil || !strings.HasPrefix(got, "AT Alford ") || !strings.HasSuffix(got, at) {
					return fmt.Errorf("update %d: %q, %w", n, got, err)
				}
				if got, err := c.ask("help"); err != nil || !strings.Contains(got, "WHATSAT") {
					return fmt.Errorf("help: %q, %w", got, err)
				}
				if code, body := g.get("GET", "/healthz", nil); code != 200 || body != "ok\n" {
					return fmt.Errorf("health: %d %q", code, body)
				}
				rounds.Add(1)
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
			return nil
		}()
	}()
	enough := func(n int64) bool {
		select {
		case err := <-done:
			done <- err
			return true
		default:
			return rounds.Load() >= n
		}
	}
	processtest.Eventually(g.T, "the bystander is served", func() bool { return enough(1) })
	return sync.OnceFunc(func() {
		now := rounds.Load()
		processtest.Eventually(g.T, "the bystander is still served", func() bool { return enough(now + 1) })
		cancel()
		if err := <-done; err != nil {
			g.T.Errorf("the bystander: %v", err)
		}
	})
}

// doorClient is for requests to consoles: each has a connection of its own.
var doorClient = http.Client{
	Timeout:       5 * processtest.Patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request sends a request to the console. Headers may have Host.
func (g *guarded) request(method, path, body string, headers map[string]string) (*http.Response, error) {
	r, err := http.NewRequest(method, "http://"+g.console+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	return doorClient.Do(r)
}

// get is request, and reads the answer. The code is 0 if there is none.
func (g *guarded) get(method, path string, headers map[string]string) (code int, body string) {
	return g.send(method, path, "", headers)
}

func (g *guarded) send(method, path, body string, headers map[string]string) (code int, answer string) {
	r, err := g.request(method, path, body, headers)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err.Error()
	}
	g.saw(fmt.Sprint(r.Header) + string(text))
	return r.StatusCode, string(text)
}

func bearerOf(name string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + tokenText(name)}
}

// logged counts the entries of the log with a message that contain all parts. The log may be up to a second late.
func (g *guarded) logged(message string, parts ...string) (n int) {
	g.T.Helper()
	text, err := os.ReadFile(filepath.Join(g.Dir, "logs", "server-Alford.log"))
	if err != nil {
		g.T.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"msg":"`+message+`"`) {
			continue
		}
		n++
		for _, part := range parts {
			if !strings.Contains(line, part) {
				n--
				break
			}
		}
	}
	return n
}

// loggedOnce checks that an event was logged: once, or once in each half a minute since the start.
func (g *guarded) loggedOnce(message string, parts ...string) {
	g.T.Helper()
	processtest.Eventually(g.T, fmt.Sprintf("%s %q is logged", message, parts), func() bool { return g.logged(message, parts...) > 0 })
	if n, most := g.logged(message, parts...), 1+int(time.Since(g.begun)/(30*time.Second)); n > most {
		g.T.Errorf("%d entries %q with %q, want at most %d", n, message, parts, most)
	}
}

// noSecrets stops the server and looks for tokens and the secret in all that it has written or answered.
func (g *guarded) noSecrets() {
	g.T.Helper()
	for _, path := range []string{"/status.json", "/metrics", "/herd.json", "/readyz", "/events", "/client.json?id=bystander", "/clients.ndjson", "/"} {
		if code, body := g.get("GET", path, nil); code != 200 {
			g.T.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", "Alford"}, {"top", "--once"}, {"config"}} {
		out, errOut, _ := g.Command("", args...)
		g.saw(out + errOut)
	}
	stderr := g.Running["Alford"].Stderr
	if code := g.Stop("Alford"); code != 0 {
		g.T.Errorf("exit code %d", code)
	}
	all := map[string]string{"what was answered": g.seen.String(), "standard error": stderr.String()}
	logs, _ := filepath.Glob(filepath.Join(g.Dir, "logs", "*"))
	for _, file := range logs {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			g.T.Errorf("%s: %d bytes, %v", file, len(text), err)
		}
		all[filepath.Base(file)] = string(text)
	}
	secrets := []string{doorSecret}
	for _, token := range doorTokens {
		secrets = append(secrets, tokenText(token.Name))
	}
	for where, text := range all {
		for _, secret := range secrets {
			hash := access.Hash([]byte(secret))
			for _, form := range []string{secret, strings.ToUpper(secret), base64.StdEncoding.EncodeToString([]byte(secret)),
				hex.EncodeToString([]byte(secret)), hex.EncodeToString(hash[:])} {
				if strings.Contains(text, form) {
					g.T.Errorf("%s: has %q", where, form)
				}
			}
		}
	}
}

// Somebody guesses tokens as fast as the server takes them.
func TestDoorAgainstGuessing(t *testing.T) {
	scenario(t)
	const guesses, guessers = 10_000, 8
	g := newGuarded(t, "")
	stop := g.bystander(0)
	before := g.status().Counters
	// Almost a token, and lines behind the wrong one that must not be executed, nor guess again.
	forms := []string{"TOKEN %s%d", "TOKEN %[2]d%[1]s", "TOKEN %s%d\nTOKEN herd_x\nIAMAT guessed +1+1 5", "TOKEN\t%s%d\r"}
	var left atomic.Int64
	left.Store(guesses)
	var all sync.WaitGroup
	for range guessers {
		all.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				c, err := g.dial("")
				if err != nil {
					t.Error(err)
					return
				}
				line := fmt.Sprintf(forms[n%int64(len(forms))], tokenText("bystander")[:n%20], n)
				_, err = io.WriteString(c.conn, line+"\n")
				if got := c.rest(); err != nil || got != "> TOKEN: unknown or expired\n\n" {
					t.Errorf("%q: %q, %v", line, got, err)
				}
				c.conn.Close()
			}
		})
	}
	all.Wait()
	stop()
	after := g.status()
	if n := after.Counters.TokensRefused - before.TokensRefused; n != guesses {
		t.Errorf("%d counted, want %d", n, guesses)
	}
	if after.Records != 1 || after.Counters.TokensMissing != 0 {
		t.Errorf("%d records, %d lines without a token", after.Records, after.Counters.TokensMissing)
	}
	g.loggedOnce("token refused", `"reason":"unknown"`)
	g.noSecrets()
}

// The file with the tokens changes: one is taken away in the middle of a connection, and a mistake changes nothing.
func TestDoorWhenTokensChange(t *testing.T) {
	scenario(t)
	g := newGuarded(t, "")
	stop := g.bystander(0)

	// A line that is a token, by mistake, and one behind it that would take a token away.
	mistake := tokenText("noisy") + "\n"
	g.tokens(mistake, "fleet")
	g.reload()
	where := fmt.Sprintf("tokens.toml:%d: ", len(doorTokens))
	processtest.Eventually(t, "the status has the mistake", func() bool { return strings.Contains(g.status().Tokens.Error, where) })
	g.loggedOnce("tokens reload failed, keeping the old tokens", where)
	fleet, again := g.connect("fleet"), g.connect("fleet") // the old tokens are in force
	if got, err := fleet.ask("IAMAT fleet7/1 +1+1 5"); err != nil || !strings.HasPrefix(got, "AT Alford") {
		t.Errorf("%q, %v", got, err)
	}
	for _, id := range []string{"fleet7", "Fleet7/1", "x", "fleet7\x00/1", "fleet7%2f1", "fleet7\\/1", "\u202efleet7/1", "fleet７/1", "../fleet7/1"} {
		if got, err := fleet.ask("IAMAT " + id + " +1+1 5"); err != nil || got != `> IAMAT TOKEN: it may write only clients whose id begins with fleet7/` {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
	g.loggedOnce("line refused", `"token":"fleet"`, "begins with fleet7/")

	// Streams and a login of the token grafana, on this machine and as from beyond it.
	stream, err := g.request("GET", "/watch", "", bearerOf("grafana"))
	if err != nil || stream.StatusCode != 200 {
		t.Fatal(stream, err)
	}
	defer stream.Body.Close()
	beyond := map[string]string{"Host": "herd.example.org"}
	login, err := g.request("POST", "/login", fmt.Sprintf(`{"token":%q}`, tokenText("grafana")),
		map[string]string{"Host": "herd.example.org", "Content-Type": "application/json"})
	if err != nil || login.StatusCode != 200 || len(login.Cookies()) != 1 {
		t.Fatal(login, err)
	}
	login.Body.Close()
	beyond["Cookie"] = login.Cookies()[0].Name + "=" + login.Cookies()[0].Value
	if code, body := g.get("GET", "/status.json", beyond); code != 200 {
		t.Errorf("with the cookie: %d %s", code, body)
	}

	before := g.status().Counters
	g.tokens("", "fleet", "grafana")
	g.reload()
	for _, c := range []*client{fleet, again} {
		if got := c.rest(); got != "> TOKEN: revoked\n\n" {
			t.Errorf("who had the token got %q", got)
		}
	}
	if text, err := io.ReadAll(stream.Body); err != nil && err != io.ErrUnexpectedEOF {
		t.Errorf("the stream ended with %v after %d bytes", err, len(text))
	}
	for what, headers := range map[string]map[string]string{"the cookie": beyond, "the token": bearerOf("grafana")} {
		if code, body := g.get("GET", "/status.json", headers); code != 401 {
			t.Errorf("%s, afterwards: %d %.200s", what, code, body)
		}
	}
	s := g.status()
	if n := s.Counters.TokensRevoked - before.TokensRevoked; n != 2 || s.Tokens.Error != "" || s.Tokens.Count != len(doorTokens)-2 || s.Console.Sessions != 0 {
		t.Errorf("%d revoked, %+v, %+v", n, s.Tokens, s.Console)
	}
	g.loggedOnce("connection closed, no valid token", `"reason":"token revoked"`, `"token":"fleet"`)
	stop()
	g.noSecrets()
}

// Connections that show no token take all places. They end by themselves, and neighbors, consoles and whoever is
// connected are served meanwhile.
func TestDoorAgainstIdleConnections(t *testing.T) {
	scenario(t)
	const most = 40
	g := newGuarded(t, fmt.Sprintf("max_connections = %d\n", most))
	stop := g.bystander(0)
	var all []*client
	for i := range 2 * most {
		c := g.connect("")
		if all = append(all, c); i%2 == 1 { // a line keeps nobody longer
			if _, err := io.WriteString(c.conn, "WHATSAT bystander 10 5\n"); err != nil {
				t.Error(err)
			}
		}
	}
	late, full := uint64(0), uint64(0)
	for i, c := range all {
		got := c.rest()
		switch strings.TrimPrefix(got, "> TOKEN: required: the first line must be TOKEN and your token\n\n") {
		case "> TOKEN: no token came in time\n\n":
			late++
		case "> SERVER FULL\n\n":
			full++
		default:
			t.Errorf("connection %d: %q", i, got)
		}
	}
	if s := g.status().Counters; s.TokensLate != late || s.ServerFull != full || late == 0 || full == 0 {
		t.Errorf("%d late, %d counted; %d beyond max_connections, %d counted", late, s.TokensLate, full, s.ServerFull)
	}
	g.loggedOnce("connection closed, no valid token", `"reason":"no token in time"`)
	g.loggedOnce("line refused", `"reason":"no token"`)
	processtest.Eventually(t, "others are admitted again, although the attacker keeps its side open", func() bool {
		c := g.connect("")
		defer c.conn.Close()
		got, err := c.ask("TOKEN " + tokenText("noisy"))
		return err == nil && got == "> Welcome noisy"
	})
	stop()
	g.noSecrets()
}

// One token floods the server with lines, updates and questions.
func TestDoorAgainstFloods(t *testing.T) {
	scenario(t)
	const lines, questions = 3000, 60
	g := newGuarded(t, "lines_per_token = 100\nupdates_per_client = 50\nwhatsats_per_token = 20\nconnections_per_token = 3\n")
	stop := g.bystander(100 * time.Millisecond) // within the limits
	noisy := []*client{g.connect("noisy"), g.connect("noisy"), g.connect("noisy")}
	fourth := g.connect("")
	if _, err := io.WriteString(fourth.conn, "TOKEN "+tokenText("noisy")+"\nIAMAT x +1+1 5\n"); err != nil {
		t.Error(err)
	}
	if got := fourth.rest(); got != "> LIMIT: more than 3 connections of this token\n\n" {
		t.Errorf("a fourth connection: %q", got)
	}
	var done, byLines, byUpdates, byWhatsats atomic.Uint64
	flood := func(c *client, text string) {
		go func() { _, _ = io.WriteString(c.conn, text) }()
		for range strings.Count(text, "\n") {
			got, err := c.reply()
			switch {
			case err != nil:
				t.Errorf("%q, %v", got, err)
				return
			case strings.HasPrefix(got, "AT Alford "):
				done.Add(1)
			case got == "> LIMIT: more than 100 lines a second of this token":
				byLines.Add(1)
			case got == "> LIMIT: more than 50 updates a second of this client":
				byUpdates.Add(1)
			case got == "> LIMIT: more than 20 WHATSATs a day of this token":
				byWhatsats.Add(1)
			default:
				t.Errorf("%q", got)
			}
		}
	}
	flood(noisy[2], strings.Repeat("WHATSAT bystander 10 5\n", questions))
	var all sync.WaitGroup
	for k, c := range noisy[:2] {
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "IAMAT noisy%d +1+1 %d\n", k, 1520023934+i)
		}
		all.Go(func() { flood(c, text.String()) })
	}
	all.Wait()
	stop()
	s := g.status().Counters
	t.Logf("%d done, limits: %d lines, %d updates, %d questions", done.Load(), byLines.Load(), byUpdates.Load(), byWhatsats.Load())
	if s.LimitLines != byLines.Load() || s.LimitUpdates != byUpdates.Load() || s.LimitWhatsats != byWhatsats.Load() || s.LimitConnections != 1 {
		t.Errorf("counted: %d, %d, %d, %d", s.LimitLines, s.LimitUpdates, s.LimitWhatsats, s.LimitConnections)
	}
	if done.Load() == 0 || byLines.Load() == 0 || byWhatsats.Load() == 0 || done.Load()+byLines.Load()+byUpdates.Load()+byWhatsats.Load() != 2*lines+questions {
		t.Error("lines are missing, or none was executed or refused")
	}
	g.loggedOnce("limit exceeded", `"token":"noisy"`, "100 lines a second")
	g.loggedOnce("limit exceeded", `"token":"noisy"`, "3 connections")
	g.noSecrets()
}

// A console is attacked: wrong tokens, other sites' pages, replayed signatures.
func TestDoorOfTheConsole(t *testing.T) {
	scenario(t)
	g := newGuarded(t, "")
	stop := g.bystander(0)
	sign := func(secret, server, method, target string) map[string]string {
		var nonce access.Nonce
		copy(nonce[:], fmt.Sprint(time.Now().UnixNano()))
		return map[string]string{"Host": "herd.example.org", "Authorization": access.Sign(secret,
			access.Question{Server: server, Method: method, Target: target}, time.Now(), nonce)}
	}
	beyond := func(headers ...string) map[string]string {
		all := map[string]string{"Host": "herd.example.org"}
		for i := 0; i < len(headers); i += 2 {
			all[headers[i]] = headers[i+1]
		}
		return all
	}
	replayed := sign(doorSecret, "Alford", "GET", "/status.json")
	if code, body := g.get("GET", "/status.json", replayed); code != 200 {
		t.Errorf("signed: %d %s", code, body)
	}
	const line, jsonType = `{"server":"Alford","line":"IAMAT attacked +1+1 5"}`, "application/json"
	attacks := []struct {
		what, method, path, body string
		headers                  map[string]string
		code                     int
		kind                     string // in the log
	}{
		{"a wrong token", "GET", "/status.json", "", map[string]string{"Authorization": "Bearer herd_wrong"}, 401, "token"},
		{"a part of a token", "GET", "/clients.ndjson", "", beyond("Authorization", "Bearer "+tokenText("grafana")[:15]), 401, "token"},
		{"no token, by a proxy", "GET", "/status.json", "", beyond(), 401, "no credentials"},
		{"no token, forwarded", "GET", "/metrics", "", map[string]string{"X-Forwarded-For": "203.0.113.7"}, 401, "no credentials"},
		{"a token without the right", "GET", "/status.json", "", beyond("Authorization", "Bearer "+tokenText("fleet")), 403, "right"},
		{"a foreign Host", "GET", "/status.json", "", map[string]string{"Host": "evil.example"}, 403, "host"},
		{"a foreign Host with a token", "GET", "/status.json", "", map[string]string{"Host": "evil.example", "Authorization": "Bearer " + tokenText("admin")}, 403, "host"},
		{"a foreign page", "POST", "/send", line, map[string]string{"Origin": "http://evil.example", "Content-Type": jsonType}, 403, "origin"},
		{"a foreign page with a token", "POST", "/send", line, map[string]string{"Origin": "null", "Content-Type": jsonType, "Authorization": "Bearer " + tokenText("admin")}, 403, "origin"},
		{"a foreign page's WebSocket", "GET", "/ws", "", map[string]string{"Origin": "http://evil.example", "Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, 403, "origin"},
		{"to operate without a token", "POST", "/send", line, map[string]string{"Content-Type": jsonType}, 401, "no credentials"},
		{"to operate with the right to read", "POST", "/send", line, map[string]string{"Content-Type": jsonType, "Authorization": "Bearer " + tokenText("grafana")}, 403, "right"},
		{"to operate by a signature", "POST", "/send", line, func() map[string]string {
			h := sign(doorSecret, "Alford", "POST", "/send")
			h["Content-Type"] = jsonType
			return h
		}(), 403, "right"},
		{"a replayed signature", "GET", "/status.json", "", replayed, 401, "signature"},
		{"a signature for another path", "GET", "/clients.ndjson", "", sign(doorSecret, "Alford", "GET", "/status.json"), 401, "signature"},
		{"a signature for another server", "GET", "/status.json", "", sign(doorSecret, "Ball", "GET", "/status.json"), 401, "signature"},
		{"a signature of another secret", "GET", "/status.json", "", sign("another secret of 16 bytes", "Alford", "GET", "/status.json"), 401, "signature"},
		{"a login with a wrong token", "POST", "/login", `{"token":"herd_wrong"}`, beyond("Content-Type", jsonType), 401, "login"},
		{"a login without the right", "POST", "/login", fmt.Sprintf(`{"token":%q}`, tokenText("fleet")), beyond("Content-Type", jsonType), 403, "login"},
		{"an invented cookie", "GET", "/status.json", "", beyond("Cookie", "herd.herd.Alford=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 401, ""},
	}
	const times = 20 // of each attack
	count := map[string]uint64{}
	before := *g.status().Console
	for _, a := range attacks {
		for range times {
			headers := a.headers
			if a.kind == "signature" || !strings.Contains(a.what, "signature") {
				code, body := g.send(a.method, a.path, a.body, headers)
				var e struct{ Error string }
				if code != a.code || json.Unmarshal([]byte(body), &e) != nil || e.Error == "" {
					t.Errorf("%s: %d %.300s, want %d and an error", a.what, code, body, a.code)
					break
				}
				count[a.kind]++
				continue
			}
			// A nonce is valid once.
			fresh := sign(doorSecret, "Alford", a.method, a.path)
			fresh["Content-Type"] = jsonType
			if code, body := g.send(a.method, a.path, a.body, fresh); code != a.code {
				t.Errorf("%s: %d %.300s, want %d", a.what, code, body, a.code)
			}
			count[a.kind]++
		}
		if a.kind != "" {
			g.loggedOnce("console request refused", fmt.Sprintf(`"kind":%q`, a.kind))
		}
	}
	stop()
	s := g.status()
	signatures, logins := count["signature"], count["login"]
	denied := uint64(len(attacks)*times) - signatures - logins
	if got := *s.Console; got.Denied-before.Denied != denied || got.SignaturesRefused-before.SignaturesRefused != signatures ||
		got.LoginsRefused-before.LoginsRefused != logins || got.Sessions != 0 {
		t.Errorf("%+v, before %+v; want %d denied, %d signatures, %d logins more", got, before, denied, signatures, logins)
	}
	if s.Records != 1 {
		t.Errorf("%d records: an attacker has written one", s.Records)
	}
	if code, body := g.send("POST", "/send", line, map[string]string{"Content-Type": jsonType, "Authorization": "Bearer " + tokenText("admin")}); code != 200 {
		t.Errorf("who may operate: %d %s", code, body)
	}
	g.noSecrets()
}

// fiveAddresses gives this machine addresses that are not loopback.
const fiveAddresses = "ip link set lo up && for n in 1 2 3 4 5; do ip addr add 192.0.2.$n/32 dev lo; done"

// A herd beyond loopback does not start without tokens, and says what to write. With tokens its commands work by the
// secret, and nobody else is served without a token.
func TestDoorBeyondLoopback(t *testing.T) {
	const required = "beyond loopback nobody is served without a token"
	if !inside(t, required, fiveAddresses) {
		return
	}
	var servers []config.Server
	names := processtest.Names[:2]
	for i, name := range names {
		host := fmt.Sprintf("192.0.2.%d", i+1)
		servers = append(servers, config.Server{Name: name, Address: host + ":11500", Listen: host + ":11500", Console: host + ":11600", Neighbors: []string{names[1-i]}})
	}
	const extra = "[herd]\nsecret_file = \"secret\"\n[clients]\n"
	open := &guarded{Herd: processtest.New(t, extra, servers...)}
	open.file("secret", doorSecret+"\n")
	const lines = `herd: Alford: clients at 192.0.2.1:11500 are beyond loopback and need tokens. Write into herd.toml either

    [clients]
    tokens = "tokens.toml"   # herd token NAME --read --write '' --console --add

or

    [clients]
    open = true              # everyone who reaches the port may update and find every client
`
	for _, command := range [][]string{{"serve", "Alford"}, {"up"}} {
		if out, errOut, code := open.Command("", command...); code != 1 || out != "" || !strings.HasSuffix(errOut, lines) {
			t.Errorf("%q without tokens: exit code %d, %s%s\nwant\n%s", command, code, out, errOut, lines)
		}
	}

	g := &guarded{Herd: processtest.New(t, extra+"tokens = \"tokens.toml\"\n", servers...), begun: time.Now(), addr: servers[0].Listen, console: servers[0].Console}
	g.file("secret", doorSecret+"\n")
	g.tokens("")
	for _, name := range names {
		g.Start(name)
	}
	var out, errOut string
	processtest.Eventually(t, "herd status, which signs by the secret, finds both servers well", func() bool {
		var code int
		out, errOut, code = g.Command("", "status")
		return code == 0 && strings.Contains(out, "2 of 2 answered, no problems")
	})
	g.saw(out + errOut)
	for _, path := range []string{"/status.json", "/metrics", "/clients.ndjson", "/herd.json", "/watch", "/client.json?id=x", "/events", "/trace.json?id=x", "/"} {
		if code, body := g.get("GET", path, nil); code != 401 {
			t.Errorf("%s without a token: %d %.200s", path, code, body)
		}
		if path == "/watch" {
			continue // it does not end
		}
		if code, body := g.get("GET", path, bearerOf("grafana")); code != 200 && code != 404 || strings.HasPrefix(path, "/client.json") != (code == 404) {
			t.Errorf("%s with a token: %d %.200s", path, code, body)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if code, body := g.get("GET", path, map[string]string{"Host": "probe.example"}); code != 200 || body != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, body := g.send("POST", "/send", `{"server":"Ball","line":"WHATSAT x 1 1"}`, map[string]string{"Content-Type": "application/json",
		"Origin": "http://" + g.console}); code != 401 {
		t.Errorf("to operate from a page without a login: %d %s", code, body)
	}
	c := g.connect("")
	if got, err := c.ask("IAMAT x +1+1 5"); err != nil || !strings.HasPrefix(got, "> TOKEN: required") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := c.ask("TOKEN " + tokenText("bystander")); err != nil || got != "> Welcome bystander" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := c.ask("IAMAT x +1+1 5"); err != nil || !strings.HasPrefix(got, "AT Alford") {
		t.Errorf("%q, %v", got, err)
	}
	// It floods to the other server, and commands show a token of their own.
	processtest.Eventually(t, "the other server has it", func() bool {
		out, errOut, code := g.Command("", "whatsat", "x", "--at", "Ball", "--token", tokenText("fleet"))
		g.saw(out + errOut)
		return code == 0
	})
	if out, errOut, code := g.Command("", "whatsat", "x", "--at", "Ball"); code != 1 || !strings.Contains(errOut, "token") {
		t.Errorf("whatsat without a token: exit code %d, %s%s", code, out, errOut)
	}
	if out, errOut, code := g.Command("", "trace", "x"); code != 0 {
		t.Errorf("trace, which signs by the secret: exit code %d, %s%s", code, out, errOut)
	}
	figure(t, true, required, "2 servers, 9 paths, 4 commands")
}
