package console

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// endpoints are all paths of a console, one of each route, and what they need: nothing, to read, a profile, or to operate,
// by POST or by PUT. The others, to log in and out, have tests of their own.
var endpoints = []endpoint{
	{"/healthz", "nothing"}, {"/livez", "nothing"}, {"/readyz", "nothing"},
	{"/status.json", "read"}, {"/metrics", "read"}, {"/client.json?id=kiwi", "read"}, {"/trace.json?id=kiwi", "read"}, {"/events", "read"},
	{"/clients.ndjson", "read"}, {"/herd.json", "read"}, {"/flood.json?id=kiwi", "read"}, {"/", "read"}, {"/page/main.js", "read"},
	{"/ws", "read"}, {"/watch", "read"}, {"/nothing", "nothing"},
	{"/debug/pprof/", "profile"}, {"/debug/pprof/cmdline", "profile"}, {"/debug/pprof/goroutine?debug=1", "profile"},
	{cpuProfile, "profile"}, {"/debug/pprof/symbol", "profile"}, {"/debug/pprof/trace?seconds=0.001", "profile"},
	{"/send", "operate"}, {"/reload", "operate"}, {"/loglevel", "read"}, {"/loglevel", "operate by PUT"},
}

type endpoint struct{ path, needs string }

// method is the method of an endpoint, and right what it needs.
func (e endpoint) method() (method, right string) {
	right, method, ok := strings.Cut(e.needs, " by ")
	switch {
	case ok:
		return method, right
	case right == "operate":
		return "POST", right
	}
	return "GET", right
}

// cpuProfile takes a second, so tests only ask for it who are refused.
const cpuProfile = "/debug/pprof/profile?seconds=1"

// The table has every route.
func TestEndpointsAreAll(t *testing.T) {
	g := guard(t, "Ball")
	_, body := g.asking("", "GET", "/nothing", "")
	_, list, _ := strings.Cut(errorOf(body), "; there are ")
	for _, path := range strings.Split(list, ", ") {
		if path == "/login" || path == "/logout" || path == "/page/" {
			continue
		}
		if !slices.ContainsFunc(endpoints, func(e endpoint) bool {
			name, _, _ := strings.Cut(e.path, "?")
			return name == path
		}) {
			t.Errorf("%s is not in the table", path)
		}
	}
}

// status asks for a path and returns the status of the answer, whose body may have no end. Local: by a loopback host.
func (g *guarded) status(local bool, method, path string, header ...string) (int, http.Header) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	body := ""
	if method == "POST" {
		body = `{"server":"Ball","line":"quit"}` // is refused with 400 behind the door
	}
	r, err := http.NewRequestWithContext(ctx, method, g.origin()+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if local {
		r.Host = g.addr
	}
	r.Header.Set("Content-Type", jsonType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := g.browser(nil).Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode, answer.Header
}

// Who may do what at every endpoint, on loopback and beyond, and what headers each answer has.
func TestDoor(t *testing.T) {
	g := guard(t, "Ball")
	sign := func(method, path string) string {
		var nonce access.Nonce
		_, _ = rand.Read(nonce[:])
		return access.Sign(herdSecret, access.Question{Server: "Ball", Method: method, Target: path}, time.Now(), nonce)
	}
	const pass = 0
	for _, who := range []struct {
		name          string
		header        func(method, path string) []string
		local, beyond map[string]int // by what is needed
	}{
		{name: "nobody", header: func(string, string) []string { return nil },
			local: map[string]int{"operate": 401}, beyond: map[string]int{"read": 401, "profile": 401, "operate": 401}},
		{name: "a reader", header: func(string, string) []string { return []string{"Authorization", "Bearer " + readerToken} },
			local: map[string]int{"operate": 403}, beyond: map[string]int{"profile": 403, "operate": 403}},
		{name: "an operator", header: func(string, string) []string { return []string{"Authorization", "Bearer " + operatorToken} },
			local: nil, beyond: nil},
		{name: "a client", header: func(string, string) []string { return []string{"Authorization", "Bearer " + clientToken} },
			local: map[string]int{"operate": 403}, beyond: map[string]int{"read": 403, "profile": 403, "operate": 403}},
		{name: "a guess", header: func(string, string) []string { return []string{"Authorization", "Bearer herd_guess"} },
			local:  map[string]int{"read": 401, "profile": 401, "operate": 401},
			beyond: map[string]int{"read": 401, "profile": 401, "operate": 401}},
		{name: "a console", header: func(method, path string) []string { return []string{"Authorization", sign(method, path)} },
			local: map[string]int{"operate": 403}, beyond: map[string]int{"profile": 403, "operate": 403}},
	} {
		for _, e := range endpoints {
			for local, want := range map[bool]map[string]int{true: who.local, false: who.beyond} {
				method, right := e.method()
				if e.path == cpuProfile && want[right] == pass {
					continue
				}
				status, header := g.status(local, method, e.path, who.header(method, e.path)...)
				if refused := status == 401 || status == 403; refused != (want[right] != pass) || refused && status != want[right] {
					t.Errorf("%s, local %v, %s %s: %d, want %d", who.name, local, method, e.path, status, want[right])
				}
				if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" ||
					!strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
					header.Get("Cross-Origin-Resource-Policy") != "same-origin" || !strings.HasPrefix(header.Get("Cache-Control"), "no-") {
					t.Errorf("%s, local %v, %s: %v", who.name, local, e.path, header)
				}
				if (status == 401) != strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s, local %v, %s: %d, %v", who.name, local, e.path, status, header)
				}
			}
		}
	}
}

// What changes something is refused for a page of another site, whatever a browser sends with it, and done for a page of
// this console: on loopback, and beyond it with a login by a token that may.
func TestChangesByPages(t *testing.T) {
	g := guard(t, "Ball")
	login := func(token string) string {
		t.Helper()
		r, body := g.asking("", "POST", "/login", `{"token":"`+token+`"}`, "Content-Type", jsonType)
		if r.StatusCode != 200 || len(r.Cookies()) != 1 {
			t.Fatal(r.Status, body)
		}
		return r.Cookies()[0].Name + "=" + r.Cookies()[0].Value
	}
	operator, reader := login(operatorToken), login(readerToken)
	own := map[bool]string{true: "http://" + g.addr, false: g.origin()}
	foreign := []string{"http://evil.example", "null", "http://localhost:1", "http://" + g.addr + ".evil.example", "https://" + g.addr, ""}
	for _, e := range endpoints {
		method, right := e.method()
		if right != "operate" {
			continue
		}
		for _, local := range []bool{true, false} {
			for _, origin := range foreign {
				for _, more := range [][]string{nil, {"Cookie", operator}, {"Authorization", "Bearer " + operatorToken}} {
					if status, _ := g.status(local, method, e.path, append(more, "Origin", origin)...); status != 403 {
						t.Errorf("%s %s, local %v, Origin %q, %q: %d", method, e.path, local, origin, more, status)
					}
				}
			}
			for _, test := range []struct {
				header        []string
				local, beyond bool
			}{
				{[]string{"Origin", own[local]}, true, false},
				{[]string{"Origin", own[local], "Cookie", operator}, true, true},
				{[]string{"Origin", own[local], "Cookie", reader}, true, false},
				{[]string{"Cookie", operator}, false, false}, // as a form of another site, if a browser sent no Origin
				{[]string{"Cookie", "herd.ucla.Alford=x"}, false, false},
				{[]string{"Cookie", "herd.ucla.Ball=x", "Origin", own[local]}, false, false},
				{[]string{"Origin", own[local], "Origin", own[local]}, false, false},
				{[]string{"Origin", own[local], "X-Forwarded-For", "192.0.2.1"}, false, false}, // by a proxy
				{[]string{"Origin", own[local], "Authorization", "Bearer " + operatorToken}, true, true},
			} {
				status, _ := g.status(local, method, e.path, test.header...)
				if may := status != 401 && status != 403; may != (local && test.local || !local && test.beyond) {
					t.Errorf("%s %s, local %v, %q: %d", method, e.path, local, test.header, status)
				}
			}
		}
	}
}

// No endpoint takes a token from the URL, and none repeats it.
func TestTokenInAURL(t *testing.T) {
	g := guard(t, "Ball")
	for _, e := range endpoints {
		for local, want := range map[bool]int{true: 400, false: 401} {
			if e.needs == "nothing" || e.needs == "profile" {
				continue // these take no notice of what they do not know
			}
			separator := "?"
			if strings.Contains(e.path, "?") {
				separator = "&"
			}
			method, right := e.method()
			header := []string(nil)
			if right == "operate" && local {
				header = []string{"Origin", "http://" + g.addr}
			}
			if status, _ := g.status(local, method, e.path+separator+"token="+operatorToken, header...); status != want {
				t.Errorf("%s, local %v: %d, want %d", e.path, local, status, want)
			}
		}
	}
	if _, body := fetch(t, g.addr, "", "/status.json?token="+operatorToken); strings.Contains(body, operatorToken) {
		t.Error(body)
	}
}

// Nothing that a console says has the herd's secret or a token.
func TestNothingTells(t *testing.T) {
	g := guard(t, "Ball")
	hidden := []string{readerToken, operatorToken, clientToken, herdSecret}
	for _, e := range endpoints {
		if e.path == "/ws" || e.path == "/watch" || e.path == cpuProfile {
			continue // of /ws see below; /watch has no end
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			for _, token := range []string{"", operatorToken, readerToken, "x" + clientToken} {
				r, body := g.asking(token, method, e.path, `{"server":"Ball","line":"TOKEN `+clientToken+`"}`, "Content-Type", jsonType)
				text := body + fmt.Sprint(r.Header)
				for _, one := range hidden {
					if strings.Contains(text, one) {
						t.Errorf("%s %s has %s:\n%.2000s", method, e.path, one, text)
					}
				}
			}
		}
	}
	socket, _, err := g.webSocket(operatorToken)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	for range 2 { // the hello and the herd
		_, text, err := socket.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range hidden {
			if strings.Contains(string(text), one) {
				t.Errorf("/ws has %s: %s", one, text)
			}
		}
	}
}

// webSocket opens /ws from beyond.
func (g *guarded) webSocket(token string) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(g.t.Context(), g.origin()+"/ws", &websocket.DialOptions{
		HTTPClient: g.browser(nil), HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
}

// A token that is revoked ends its streams.
func TestRevokedStreams(t *testing.T) {
	g := guard(t, "Ball")
	open := func(token, path string) *bufio.Reader {
		t.Helper()
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, beyondHost, token)
		in := bufio.NewReader(c)
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != 200 {
			t.Fatal(r, err)
		}
		body := bufio.NewReader(r.Body)
		if line, err := body.ReadString('\n'); err != nil {
			t.Fatal(line, err)
		}
		return body
	}
	ended := open(readerToken, "/watch")
	socket, _, err := g.webSocket(readerToken)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	g.door.SetTokens(tokensOf(t, "operator="+operatorToken+":console,operate"))
	if text, err := io.ReadAll(ended); err != nil {
		t.Errorf("%q, %v", text, err)
	}
	for {
		if _, _, err = socket.Read(t.Context()); err != nil {
			break
		}
	}
	if websocket.CloseStatus(err) != viewer.Revoked {
		t.Error(err)
	}
	if r, body := g.asking(readerToken, "GET", "/events", ""); r.StatusCode != 401 {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// A reader that takes its time is not given more when its token has ended.
func TestRevokedReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var text strings.Builder
	p := patient{&text, http.NewResponseController(nil), ctx}
	cancel()
	if n, err := p.Write([]byte("x")); n != 0 || err == nil || text.Len() != 0 {
		t.Errorf("%d, %v: %s", n, err, text.String())
	}
}

// While somebody guesses tokens, others are served, and health checks answer.
func TestGuessing(t *testing.T) {
	g := guard(t, "Ball")
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	const guesses = 10_000
	for i := range guesses {
		fmt.Fprintf(c, "GET /status.json HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer guess%d\r\n\r\n", beyondHost, i)
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != 401 {
			t.Fatal(i, r, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if err := checked(g.addr); err != nil {
				t.Error(err)
			}
			if r, body := g.asking(readerToken, "GET", "/status.json", ""); r.StatusCode != 200 {
				t.Errorf("locked out: %d %s", r.StatusCode, body)
			}
		}
	}
	if n := g.door.Status().Denied; n != guesses {
		t.Errorf("%d denied", n)
	}
}

// Everyone may know whether a server is ready. Why it is not is for who may read.
func TestReadyFromBeyond(t *testing.T) {
	s := well("Ball")
	s.Waiting, s.Journal = "the records of Alford", &herd.JournalStatus{Error: "no space"}
	cfg := &config.Config{Console: config.Console{Hosts: []string{beyondHost}}, Servers: []config.Server{{Name: "Ball"}}}
	d := door.New(door.Options{Config: cfg, Name: "Ball"})
	d.SetTokens(tokensOf(t, "reader="+readerToken+":console"))
	for _, ready := range []bool{false, true} {
		s.Ready = ready
		g := &guarded{t: t, addr: start(t, Options{Status: fixed(s), Door: d})}
		for token, want := range map[string][2]string{
			"":          {"not ready\n", "ready\n"},
			"wrong":     {"not ready\n", "ready\n"},
			readerToken: {"not ready: the records of Alford\n", "ready\njournal: behind by 0 records: no space\n"},
		} {
			i := 0
			if ready {
				i = 1
			}
			if r, body := g.asking(token, "GET", "/readyz", ""); body != want[i] || (r.StatusCode == 200) != ready {
				t.Errorf("%q: %d %q, want %q", token, r.StatusCode, body, want[i])
			}
		}
	}
	if n := d.Status().Denied; n != 0 {
		t.Errorf("%d denied", n)
	}
}

// Two consoles beyond loopback show each other's server, by the herd's secret. One with another secret shows neither, and
// says why.
func TestConsolesAskEachOther(t *testing.T) {
	names := []string{"Alford", "Ball", "Stranger"}
	var listeners []net.Listener
	cfg := config.Config{Herd: config.Herd{Name: "ucla"}}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		cfg.Servers = append(cfg.Servers, config.Server{Name: name, Console: l.Addr().String()})
	}
	doors := map[string]*door.Door{}
	for i, name := range names {
		own := cfg
		own.Herd.Secrets = []string{herdSecret}
		if name == "Stranger" {
			own.Herd.Secrets = []string{"another secret of 16 bytes"}
		}
		doors[name] = door.New(door.Options{Config: &own, Name: name})
		loop, _ := newServer(t, 1)
		pages := NewPages()
		t.Cleanup(pages.Close)
		s := New(Options{Status: fixed(well(name)), Do: NewLoop(loop.post, loop.srv), Name: name, Config: &own, Pages: pages, Door: doors[name]})
		// As from another machine, and by an address of herd.toml.
		inner := s.Handler
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Local") == "" {
				r.RemoteAddr = "192.0.2.1:9"
			}
			inner.ServeHTTP(w, r)
		})
		go func() { _ = Serve(s, listeners[i]) }()
		t.Cleanup(func() { s.Close() })
	}
	look := func(name string) (h HerdStatus) {
		t.Helper()
		eventually(t, "an answer", func() bool {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+listeners[slices.Index(names, name)].Addr().String()+"/herd.json", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Local", "yes")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			return answer.StatusCode == 200 && json.NewDecoder(answer.Body).Decode(&h) == nil
		})
		return h
	}
	for name, want := range map[string][]string{"Alford": {"Alford", "Ball"}, "Ball": {"Alford", "Ball"}, "Stranger": {"Stranger"}} {
		for _, s := range look(name).Servers {
			answered := s.Status.Status != nil
			if answered != slices.Contains(want, s.Server) || !answered && !strings.Contains(s.Error, "401 Unauthorized") {
				t.Errorf("%s about %s: %v %s", name, s.Server, answered, s.Error)
			}
			if !answered && !strings.Contains(s.Error, "wrong signature: another secret") {
				t.Errorf("%s about %s: %s", name, s.Server, s.Error)
			}
		}
	}
	if a, s := doors["Alford"].Status(), doors["Stranger"].Status(); a.SignaturesRefused == 0 || s.SignaturesRefused == 0 || a.Denied != 0 {
		t.Errorf("%+v %+v", a, s)
	}
}
