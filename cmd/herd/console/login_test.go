package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/console/site"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// beyondHost is a host by which a request of a test is like one from beyond loopback: as if a proxy had passed it on.
const beyondHost = "herd.example.org"

// tokensOf parses a tokens file for texts: NAME=TEXT:RIGHTS.
func tokensOf(t testing.TB, all ...string) *access.Tokens {
	t.Helper()
	file := ""
	for _, one := range all {
		name, rest, _ := strings.Cut(one, "=")
		text, rights, _ := strings.Cut(rest, ":")
		file += fmt.Sprintf("%s = { sha256 = \"%x\", rights = [\"%s\"] }\n", name, access.Hash([]byte(text)), strings.ReplaceAll(rights, ",", `", "`))
	}
	ts, err := access.Parse("tokens.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// guarded is a console with a page, tokens and a secret.
type guarded struct {
	t    testing.TB
	addr string
	door *door.Door
}

// The tokens of a guarded console.
const (
	readerToken   = "herd_the-token-of-a-reader"
	operatorToken = "herd_the-token-of-an-operator"
	clientToken   = "herd_the-token-of-a-client"
	herdSecret    = "the secret of this herd"
)

func guard(t *testing.T, name string) *guarded {
	t.Helper()
	return guardAt(t, name, "127.0.0.1:1")
}

// guardAt is the console of a server with an address for clients.
func guardAt(t *testing.T, name, address string) *guarded {
	t.Helper()
	cfg := &config.Config{
		Herd: config.Herd{Name: "ucla", Dialect: "paper", Secrets: []string{herdSecret}}, Limits: config.Limits{MaxLine: 100},
		Console: config.Console{Hosts: []string{beyondHost}},
		Servers: []config.Server{{Name: name, Address: address, Console: "127.0.0.1:1"}},
	}
	g := &guarded{t: t, door: door.New(door.Options{Config: cfg, Name: name})}
	g.door.SetTokens(tokensOf(t, "reader="+readerToken+":console", "operator="+operatorToken+":console,operate", "client="+clientToken+":read,write"))
	loop, _ := newServer(t, 1)
	follower := NewFollower(loop.srv, loop.post, func(d time.Duration, f func()) { time.AfterFunc(d, func() { loop.post(f) }) })
	pages := NewPages()
	t.Cleanup(follower.Close)
	t.Cleanup(pages.Close)
	status := well(name)
	status.Ready = true
	g.addr = start(t, Options{
		Status: fixed(status), Do: NewLoop(loop.post, loop.srv), Name: name, Config: cfg, Pages: pages, Follower: follower, Pprof: true, Door: g.door,
		Reload: func(string) *PendingReload {
			p := NewPendingReload()
			p.End(Reloaded{Server: name, OK: true})
			return p
		}, Log: &testLog{level: "info"},
	})
	return g
}

// browser is a client with cookies that finds the console at beyondHost.
func (g *guarded) browser(jar http.CookieJar) *http.Client {
	return &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, g.addr)
		}},
	}
}

// origin is the URL of the console from beyond.
func (g *guarded) origin() string {
	_, port, _ := net.SplitHostPort(g.addr)
	return "http://" + net.JoinHostPort(beyondHost, port)
}

// ask sends a request with headers and returns the answer and its body.
func (g *guarded) ask(client *http.Client, method, path, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.origin()+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer, string(text)
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
	htmlType = "text/html,application/xhtml+xml,*/*;q=0.8" // as browsers accept
)

// A browser from beyond gets a form, sends a token, and then has the page until it logs out.
func TestLogin(t *testing.T) {
	g := guard(t, "Ball")
	jar, _ := cookiejar.New(nil)
	client := g.browser(jar)
	isForm := func(what string, r *http.Response, body string, status int, problem bool) {
		t.Helper()
		if r.StatusCode != status || !strings.Contains(body, `<form class="login" method="post" action="/login">`) || strings.Contains(body, `role="alert"`) != problem ||
			!strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || r.Header.Get("Referrer-Policy") != "same-origin" ||
			r.Header.Get("Content-Security-Policy") != site.LoginPolicy || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", what, r.StatusCode, r.Header, body)
		}
	}
	r, body := g.ask(client, "GET", "/", "", "Accept", htmlType)
	isForm("first", r, body, 401, false)
	if r.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Error(r.Header)
	}
	if r, body := g.ask(client, "GET", "/", ""); r.StatusCode != 401 || errorOf(body) == "" {
		t.Errorf("a program: %d %s", r.StatusCode, body)
	}
	for token, status := range map[string]int{"wrong": 401, "": 401, clientToken: 403, strings.Repeat("x", 300): 401} {
		r, body := g.ask(client, "POST", "/login", url.Values{"token": {token}}.Encode(), "Content-Type", formType, "Origin", g.origin())
		isForm(token, r, body, status, true)
	}
	if n := g.door.Status().LoginsRefused; n != 4 {
		t.Errorf("%d logins refused", n)
	}
	r, body = g.ask(client, "POST", "/login", "token="+readerToken, "Content-Type", formType, "Origin", g.origin())
	if r.StatusCode != 303 || r.Header.Get("Location") != "/" || len(r.Cookies()) != 1 || body != "" {
		t.Fatalf("%d %v %s", r.StatusCode, r.Header, body)
	}
	if r, body := g.ask(client, "GET", "/", "", "Accept", htmlType); r.StatusCode != 200 || !strings.Contains(body, "main.js") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	stolen := r.Cookies()[0]
	if r, _ := g.ask(client, "POST", "/logout", "", "Origin", "http://evil.example"); r.StatusCode != 403 {
		t.Errorf("another site logs out: %d", r.StatusCode)
	}
	if r, _ := g.ask(client, "POST", "/logout", "", "Origin", g.origin(), "Accept", htmlType); r.StatusCode != 303 || len(r.Cookies()) != 1 || r.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if len(jar.Cookies(r.Request.URL)) != 0 {
		t.Error("the browser keeps the cookie")
	}
	r, body = g.ask(g.browser(nil), "GET", "/", "", "Accept", htmlType, "Cookie", stolen.Name+"="+stolen.Value)
	isForm("with a stolen cookie", r, body, 401, true)
	if len(r.Cookies()) != 1 || r.Cookies()[0].MaxAge >= 0 {
		t.Error("the stale cookie is not taken away")
	}
}

// Where nobody needs a login, a browser whose login has ended loses its cookie and gets the page.
func TestStaleCookieOnLoopback(t *testing.T) {
	g := guard(t, "Ball")
	for accept, want := range map[string]int{htmlType: 303, "*/*": 401} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		r.Header.Set("Cookie", "herd.ucla.Ball=x")
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || len(answer.Cookies()) != 1 || answer.Cookies()[0].MaxAge >= 0 || want == 303 && answer.Header.Get("Location") != "/" {
			t.Errorf("%s: %d %v", accept, answer.StatusCode, answer.Header)
		}
	}
}

// Programs may log in by JSON. What is neither that nor the form is refused, and nothing of it repeated.
func TestLoginBodies(t *testing.T) {
	g := guard(t, "Ball")
	client := g.browser(nil)
	for name, test := range map[string]struct {
		status     int
		kind, body string
	}{
		"JSON":            {200, jsonType, `{"token":"` + readerToken + `"}`},
		"wrong":           {401, jsonType, `{"token":"` + readerToken + `x"}`},
		"no token":        {400, jsonType, `{"tokn":"` + readerToken + `"}`},
		"a number":        {400, jsonType, `{"token":7}`},
		"not JSON":        {400, jsonType, readerToken},
		"no field":        {400, formType, "tokn=" + readerToken},
		"a bad escape":    {400, formType, "token=%zz" + readerToken},
		"text":            {400, "text/plain", "token=" + readerToken},
		"nothing":         {400, "", ""},
		"just small":      {401, formType, "token=" + strings.Repeat("x", herd.ConsoleBody-len("token="))},
		"too large":       {413, formType, "token=" + strings.Repeat("x", herd.ConsoleBody-len("token=")+1)},
		"too large, JSON": {413, jsonType, `{"token":"` + strings.Repeat("x", 1<<20)},
	} {
		r, body := g.ask(client, "POST", "/login", test.body, "Content-Type", test.kind)
		if r.StatusCode != test.status || strings.Contains(body, readerToken) || test.kind == jsonType && test.status != 200 && errorOf(body) == "" {
			t.Errorf("%s: %d %s", name, r.StatusCode, body)
		}
		var a LoginAnswer
		if err := json.Unmarshal([]byte(body), &a); test.status == 200 && (err != nil || a != LoginAnswer{"reader", "console"} || len(r.Cookies()) != 1) {
			t.Errorf("%s: %s", name, body)
		}
	}
	for _, path := range []string{"/login?token=" + readerToken, "/logout?token=" + readerToken} {
		if r, body := g.ask(client, "POST", path, "", "Content-Type", formType); r.StatusCode != 400 || strings.Contains(body, readerToken) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
}

// A long header is refused.
func TestLongHeaders(t *testing.T) {
	g := guard(t, "Ball")
	for _, test := range []struct {
		header int
		status string
	}{{herd.ConsoleHeader / 2, "200"}, {2 * herd.ConsoleHeader, "431"}} {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		go fmt.Fprintf(c, "GET /status.json HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", test.header))
		line, _ := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if !strings.HasPrefix(line, "HTTP/1.1 "+test.status) {
			t.Errorf("%d bytes: %q", test.header, line)
		}
	}
}

// Cookies do not know ports: two servers on one host have cookies of their own.
func TestTwoServersOnOneHost(t *testing.T) {
	ball, alford := guard(t, "Ball"), guard(t, "Alford")
	jar, _ := cookiejar.New(nil)
	for _, g := range []*guarded{ball, alford} {
		if r, body := g.ask(g.browser(jar), "POST", "/login", "token="+operatorToken, "Content-Type", formType); r.StatusCode != 303 {
			t.Fatalf("%d %s", r.StatusCode, body)
		}
	}
	for range 2 {
		for _, g := range []*guarded{ball, alford} {
			if r, body := g.ask(g.browser(jar), "GET", "/status.json", ""); r.StatusCode != 200 {
				t.Errorf("%d %s", r.StatusCode, body)
			}
		}
	}
	ball.ask(ball.browser(jar), "POST", "/logout", "")
	for g, status := range map[*guarded]int{ball: 401, alford: 200} {
		if r, body := g.ask(g.browser(jar), "GET", "/status.json", ""); r.StatusCode != status {
			t.Errorf("%d %s, want %d", r.StatusCode, body, status)
		}
	}
}

// asking is like ask with a token.
func (g *guarded) asking(token, method, path, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	if token != "" {
		header = append([]string{"Authorization", "Bearer " + token}, header...)
	}
	return g.ask(g.browser(nil), method, path, body, header...)
}

// A line is sent with the token of who sends it, by a header or a login.
func TestSendWithAToken(t *testing.T) {
	got := make(chan string, 2)
	ball := clientPort(t, func(c net.Conn, line string) {
		got <- line
		if line != "TOKEN "+operatorToken+"\n" {
			_, _ = io.WriteString(c, "> TOKEN: unknown or expired\n\n")
			return
		}
		_, _ = io.WriteString(c, "> Welcome operator\n\n")
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "AT Ball +0.5 kiwi +1-1 5\n{}\n\n")
	})
	g := guardAt(t, "Ball", ball)
	r, _ := g.ask(g.browser(nil), "POST", "/login", "token="+operatorToken, "Content-Type", formType)
	cookie := r.Cookies()[0]
	for name, header := range map[string][]string{
		"a token": {"Authorization", "Bearer " + operatorToken}, "a login": {"Cookie", cookie.Name + "=" + cookie.Value, "Origin", g.origin()},
	} {
		r, body := g.ask(g.browser(nil), "POST", "/send", whatsat, append(header, "Content-Type", jsonType)...)
		if line := <-got; r.StatusCode != 200 || line != "TOKEN "+operatorToken+"\n" || strings.Contains(body, operatorToken) {
			t.Errorf("%s: %d %s; sent %q", name, r.StatusCode, body, line)
		}
	}
	// Ball does not have the token yet.
	g.door.SetTokens(tokensOf(t, "new=herd_new:operate"))
	r, body := g.asking("herd_new", "POST", "/send", whatsat, "Content-Type", jsonType)
	if <-got; r.StatusCode != 403 || errorOf(body) != "Ball: the server refused the token: unknown or expired" {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	// The page on this machine has no token, and sends the line without.
	if code, _ := post(t, g.addr, whatsat); code != 200 {
		t.Error(code)
	}
	if line := <-got; line != "WHATSAT kiwi 10 5\n" {
		t.Errorf("sent %q", line)
	}
}
