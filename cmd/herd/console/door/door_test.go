package door

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

const secret = "a secret of 16 bytes and more"

// tokensOf makes tokens. Each line is NAME RIGHTS, and the token's text is its name; a third field is when it expires,
// after now.
func tokensOf(t testing.TB, lines ...string) *access.Tokens {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		f := strings.Fields(line)
		one := access.Token{Name: f[0], Hash: access.Hash([]byte(f[0]))}
		for i, name := range []string{"read", "write", "console", "operate"} {
			if slices.Contains(strings.Split(f[1], ","), name) {
				one.Rights |= 1 << i
			}
		}
		if len(f) > 2 {
			after, err := time.ParseDuration(f[2])
			if err != nil {
				t.Fatal(err)
			}
			one.Expires = time.Now().Add(after)
		}
		text.WriteString(one.Line())
	}
	ts, err := access.Parse("tokens.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// newDoor is Ball's door, at 10.0.0.5, with tokens: all, reader, operator, client and old, which has expired.
func newDoor(t testing.TB, open bool) *Door {
	cfg := &config.Config{
		Herd:    config.Herd{Name: "ucla", Secrets: []string{"another secret of the herd", secret}},
		Console: config.Console{Open: open, Hosts: []string{"herd.example.org", "[2001:db8::7]"}},
		Servers: []config.Server{
			{Name: "Ball", Address: "ball.ucla.edu:11501", Listen: "0.0.0.0:11501", Console: "10.0.0.5:11601"},
			{Name: "Alford", Address: "Alford.ucla.edu.:11500", Listen: "Alford.ucla.edu.:11500", Console: "[2001:db8::1]:11600"},
		},
	}
	d := New(Options{Config: cfg, Name: "Ball"})
	d.SetTokens(tokensOf(t, "all read,write,console,operate", "reader console", "operator operate", "client read,write", "old console,operate -1s"))
	return d
}

// request is a request to 10.0.0.5, or from this machine.
func request(method, target, from, host string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr, r.Host = from, host
	for i := 0; i < len(header); i += 2 {
		if header[i] != "" {
			r.Header.Add(header[i], header[i+1])
		}
	}
	local := net.TCPAddr{IP: net.IPv4(10, 0, 0, 6), Port: 11601}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &local))
}

// places are where a request may come from.
var places = []struct {
	name, from, host string
	local            bool
}{
	{"this machine", "127.0.0.1:9", "localhost:11601", true},
	{"this machine by IPv6", "[::1]:9", "[::1]:11601", true},
	{"this machine, mapped", "[::ffff:127.0.0.1]:9", "127.0.0.1:11601", true},
	{"a proxy on this machine", "127.0.0.1:9", "herd.example.org", false},
	{"this machine by its address", "10.0.0.5:9", "10.0.0.5:11601", false},
	{"beyond", "192.0.2.1:9", "10.0.0.5:11601", false},
	{"beyond with a loopback host", "192.0.2.1:9", "localhost:11601", false},
	{"beyond by IPv6", "[2001:db8::9]:9", "[2001:db8::1]:11601", false},
	{"a Unix socket", "@", "10.0.0.5:11601", false},
}

// login returns the Cookie header of a new session.
func (d *Door) loginAs(t testing.TB, token string) string {
	t.Helper()
	cookie, _, refused := d.Login(request("POST", "/login", "192.0.2.1:9", "10.0.0.5:11601"), token)
	if refused != nil {
		t.Fatal(refused)
	}
	return cookie.Name + "=" + cookie.Value
}

// Who may do what, from where.
func TestRights(t *testing.T) {
	const good = 0
	type want struct{ local, beyond, open [3]int } // Console, Profile, Operate: the status of the refusal
	for _, who := range []struct {
		name   string
		header func(d *Door, method, host string) []string
		want   want
	}{
		{"nobody", func(*Door, string, string) []string { return nil },
			want{[3]int{good, good, 401}, [3]int{401, 401, 401}, [3]int{good, 401, 401}}},
		{"a page of this console", func(_ *Door, _, host string) []string { return []string{"Origin", "http://" + host} },
			want{[3]int{good, good, good}, [3]int{401, 401, 401}, [3]int{good, 401, 401}}},
		{"another page", func(*Door, string, string) []string { return []string{"Origin", "http://evil.example"} },
			want{[3]int{good, good, 403}, [3]int{401, 401, 403}, [3]int{good, 401, 403}}},
		{"all", func(*Door, string, string) []string { return []string{"Authorization", "Bearer all"} },
			want{[3]int{good, good, good}, [3]int{good, good, good}, [3]int{good, good, good}}},
		{"all, from another page", func(*Door, string, string) []string {
			return []string{"Authorization", "Bearer all", "Origin", "http://evil.example"}
		}, want{[3]int{good, good, 403}, [3]int{good, good, 403}, [3]int{good, good, 403}}},
		{"reader", func(*Door, string, string) []string { return []string{"Authorization", "bearer  reader"} },
			want{[3]int{good, good, 403}, [3]int{good, 403, 403}, [3]int{good, 403, 403}}},
		{"operator", func(*Door, string, string) []string { return []string{"Authorization", "Bearer operator"} },
			want{[3]int{good, good, good}, [3]int{403, good, good}, [3]int{good, good, good}}},
		{"client", func(*Door, string, string) []string { return []string{"Authorization", "Bearer client"} },
			want{[3]int{good, good, 403}, [3]int{403, 403, 403}, [3]int{good, 403, 403}}},
		{"unknown", func(*Door, string, string) []string { return []string{"Authorization", "Bearer nothing"} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"expired", func(*Door, string, string) []string { return []string{"Authorization", "Bearer old"} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"empty", func(*Door, string, string) []string { return []string{"Authorization", ""} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"no token", func(*Door, string, string) []string { return []string{"Authorization", "Bearer "} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"two tokens", func(*Door, string, string) []string {
			return []string{"Authorization", "Bearer all", "Authorization", "Bearer all"}
		}, want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"a password", func(*Door, string, string) []string { return []string{"Authorization", "Basic YWxsOmFsbA=="} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"a login", func(d *Door, _, host string) []string {
			return []string{"Cookie", d.loginAs(t, "all"), "Origin", "http://" + host}
		}, want{[3]int{good, good, good}, [3]int{good, good, good}, [3]int{good, good, good}}},
		{"a login without an Origin", func(d *Door, _, _ string) []string { return []string{"Cookie", d.loginAs(t, "all")} },
			want{[3]int{good, good, 403}, [3]int{good, 403, 403}, [3]int{good, 403, 403}}},
		{"a login of a reader", func(d *Door, _, host string) []string {
			return []string{"Cookie", d.loginAs(t, "reader"), "Origin", "http://" + host}
		}, want{[3]int{good, good, good}, [3]int{good, 403, 403}, [3]int{good, 403, 403}}},
		{"a login that is none", func(d *Door, _, _ string) []string { return []string{"Cookie", d.cookie + "=x"} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"a token as a cookie", func(d *Door, _, _ string) []string { return []string{"Cookie", d.cookie + "=all"} },
			want{[3]int{401, 401, 401}, [3]int{401, 401, 401}, [3]int{401, 401, 401}}},
		{"another cookie", func(d *Door, _, _ string) []string { return []string{"Cookie", "session=x; herd.ucla.Alford=x"} },
			want{[3]int{good, good, 401}, [3]int{401, 401, 401}, [3]int{good, 401, 401}}},
		{"a console", func(_ *Door, method, _ string) []string {
			return []string{"Authorization", sign(method, "Ball", "/x?y=z")}
		},
			want{[3]int{good, good, 403}, [3]int{good, 403, 403}, [3]int{good, 403, 403}}},
	} {
		for _, open := range []bool{false, true} {
			d := newDoor(t, open)
			for _, from := range places {
				for i, right := range []Right{Console, Profile, Operate} {
					status := who.want.beyond[i]
					if from.local {
						status = who.want.local[i]
					} else if open {
						status = who.want.open[i]
					}
					method := "GET"
					if right == Operate {
						method = "POST"
					}
					before := d.Status()
					r := request(method, "/x?y=z", from.from, from.host, who.header(d, method, from.host)...)
					_, leave, refused := d.Admit(r, right)
					if got := code(refused); got != status {
						t.Errorf("%s, from %s, open %v: right %d: %d %+v, want %d", who.name, from.name, open, right, got, refused, status)
					}
					if refused == nil {
						leave()
					}
					after := d.Status()
					if moved := after.Denied - before.Denied + after.LoginsRefused - before.LoginsRefused + after.SignaturesRefused - before.SignaturesRefused; (moved == 1) != (refused != nil) {
						t.Errorf("%s, from %s: the counters moved by %d", who.name, from.name, moved)
					}
					if _, _, refused := d.Admit(r, Health); refused != nil {
						t.Errorf("%s, from %s: health: %v", who.name, from.name, refused)
					}
				}
			}
			if len(d.visits) != 0 {
				t.Errorf("%s: %d visits are left", who.name, len(d.visits))
			}
		}
	}
}

// A token is no credentials at all where there is no file with tokens, and a signature where there is no secret: nothing
// is refused for them, and nothing is allowed. A file without tokens refuses.
func TestUnusedCredentials(t *testing.T) {
	const token, signature = "a token", "a signature"
	const good = 0
	for _, test := range []struct {
		door                 string
		tokens, secret, open bool
		shown                string
		local, beyond        [3]int // Console, Profile, Operate
	}{
		{"nothing", false, false, false, token, [3]int{good, good, 401}, [3]int{401, 401, 401}},
		{"nothing", false, false, false, signature, [3]int{good, good, 401}, [3]int{401, 401, 401}},
		{"open", false, false, true, token, [3]int{good, good, 401}, [3]int{good, 401, 401}},
		{"open", false, false, true, signature, [3]int{good, good, 401}, [3]int{good, 401, 401}},
		{"a secret only", false, true, false, token, [3]int{good, good, 401}, [3]int{401, 401, 401}},
		{"a secret only", false, true, false, signature, [3]int{401, 401, 401}, [3]int{401, 401, 401}},
		{"an empty file only", true, false, true, token, [3]int{401, 401, 401}, [3]int{401, 401, 401}},
		{"an empty file only", true, false, true, signature, [3]int{good, good, 401}, [3]int{good, 401, 401}},
	} {
		cfg := &config.Config{
			Herd:    config.Herd{Name: "ucla"},
			Console: config.Console{Open: test.open},
			Servers: []config.Server{{Name: "Ball", Address: "ball.ucla.edu:11501", Listen: "0.0.0.0:11501", Console: "10.0.0.5:11601"}},
		}
		if test.secret {
			cfg.Herd.Secrets = []string{"another secret of the herd"}
		}
		d := New(Options{Config: cfg, Name: "Ball"})
		d.SetTokens(nil)
		if test.tokens {
			d.SetTokens(tokensOf(t))
		}
		for _, from := range []struct {
			from, host string
			want       [3]int
		}{{"127.0.0.1:9", "localhost:11601", test.local}, {"192.0.2.1:9", "10.0.0.5:11601", test.beyond}} {
			for i, right := range []Right{Console, Profile, Operate} {
				header := "Bearer herd_x"
				if test.shown == signature {
					header = sign("GET", "Ball", "/x")
				}
				r := request("GET", "/x", from.from, from.host, "Authorization", header)
				_, leave, refused := d.Admit(r, right)
				if code(refused) != from.want[i] {
					t.Errorf("%s, %s from %s: right %d: %+v, want %d", test.door, test.shown, from.from, right, refused, from.want[i])
				}
				none := test.shown == token && !test.tokens || test.shown == signature && !test.secret
				if refused != nil && (refused.Kind == kindMissing) != none {
					t.Errorf("%s, %s from %s: kind %q", test.door, test.shown, from.from, refused.Kind)
				}
				if refused == nil {
					leave()
				}
			}
			if _, _, refused := d.Login(request("POST", "/login", from.from, from.host), "herd_x"); code(refused) != 401 {
				t.Errorf("%s: a login: %+v", test.door, refused)
			}
		}
	}
}

func code(f *Refusal) int {
	if f == nil {
		return 0
	}
	return f.Status
}

var nonceOf uint64

// sign is a signature with a new nonce.
func sign(method, server, target string) string {
	nonceOf++
	var nonce access.Nonce
	for i := range 8 {
		nonce[i] = byte(nonceOf >> (8 * i))
	}
	return access.Sign(secret, access.Question{Server: server, Method: method, Target: target}, time.Now(), nonce)
}

// A signature does not count again after a restart. The first second counts: a console may be asked as soon as it is there.
func TestSignaturesAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(d *Door, header string) int {
			_, leave, refused := d.Admit(request("GET", "/a", "192.0.2.1:9", "10.0.0.5", "Authorization", header), Console)
			if refused == nil {
				leave()
			}
			return code(refused)
		}
		used := sign("GET", "Ball", "/a")
		if status := ask(newDoor(t, false), used); status != 0 {
			t.Fatal(status)
		}
		<-time.After(time.Second)
		restarted := newDoor(t, false)
		if status := ask(restarted, used); status != 401 {
			t.Error("a signature counted twice:", status)
		}
		if status := ask(restarted, sign("GET", "Ball", "/a")); status != 0 {
			t.Error("a new signature:", status)
		}
	})
}

// Health says more to who may read.
func TestDetails(t *testing.T) {
	d := newDoor(t, false)
	for _, test := range []struct {
		from, host, header string
		want               bool
	}{
		{"127.0.0.1:9", "localhost", "", true},
		{"127.0.0.1:9", "evil.example", "", false},
		{"127.0.0.1:9", "localhost", "Bearer nothing", false},
		{"192.0.2.1:9", "10.0.0.5", "", false},
		{"192.0.2.1:9", "10.0.0.5", "Bearer reader", true},
		{"192.0.2.1:9", "10.0.0.5", "Bearer client", false},
		{"192.0.2.1:9", "evil.example", "Bearer reader", false},
		{"192.0.2.1:9", "10.0.0.5", sign("GET", "Ball", "/readyz"), true},
	} {
		var header []string
		if test.header != "" {
			header = []string{"Authorization", test.header}
		}
		if got := d.MayRead(request("GET", "/readyz", test.from, test.host, header...)); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	if s := d.Status(); s.Denied+s.SignaturesRefused != 0 {
		t.Errorf("%+v", s)
	}
}

// By which hosts a console may be asked. Any other one may be a page's whose name was given this address (rebinding).
func TestHosts(t *testing.T) {
	d := newDoor(t, false)
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:1": true, "localhost.": true, "127.9.9.9:11601": true, "[::1]:11601": true, "[::ffff:127.0.0.1]": true,
		"ball.ucla.edu": true, "Ball.UCLA.edu.:80": true, "alford.ucla.edu:11601": true, "10.0.0.5:1": true, "[2001:db8::1]:1": true,
		"[2001:0DB8:0::1]": true, "herd.example.org:443": true, "[2001:db8::7]": true, "[::ffff:10.0.0.5]:1": true,
		"10.0.0.6:11601": true, // the address of the connection
		"10.0.0.7":       false, "0.0.0.0": false, "[::]": false, "evil.example": false, "localhost.evil.example": false, "evil.example.org": false,
		"herd.example.org.evil.example": false, "127.0.0.1.evil.example": false, "ball": false, "": false, ":11601": false, "[]": false, "2130706433": false,
	} {
		r := request("GET", "/", "127.0.0.1:9", host)
		refused := d.Knock(r)
		if (refused == nil) != want || refused != nil && (refused.Status != 403 || !strings.Contains(refused.Text, "console.hosts")) {
			t.Errorf("%q: %+v", host, refused)
		}
	}
	r := request("GET", "/", "127.0.0.1:9", "")
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
	if refused := d.Knock(r); refused != nil {
		t.Errorf("HTTP/1.0 without a Host: %+v", refused)
	}
}

// A proxy on this machine that says so is not this machine, even if it replaces the Host.
func TestProxies(t *testing.T) {
	d := newDoor(t, false)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto", "X-Real-IP", "Via"} {
		r := request("GET", "/", "127.0.0.1:9", "localhost", name, "")
		if _, _, refused := d.Admit(r, Console); code(refused) != 401 {
			t.Errorf("%s: %+v", name, refused)
		}
	}
}

// A page of another site cannot log anybody in or out, open a WebSocket, or send a POST.
func TestForeignOrigins(t *testing.T) {
	d := newDoor(t, true)
	for _, origin := range []string{"http://evil.example", "null", "", "http://localhost:11602", "http://localhost", "file://", "http://127.0.0.1:11601"} {
		for _, test := range []struct {
			method  string
			upgrade string
			right   Right
		}{{"POST", "", Enter}, {"POST", "", Operate}, {"PUT", "", Operate}, {"DELETE", "", Operate}, {"POST", "", Profile}, {"GET", "websocket", Console}} {
			r := request(test.method, "/", "127.0.0.1:9", "localhost:11601", "Origin", origin)
			if test.upgrade != "" {
				r.Header.Set("Upgrade", test.upgrade)
			}
			if _, _, refused := d.Admit(r, test.right); code(refused) != 403 {
				t.Errorf("%q: %+v: %+v", origin, test, refused)
			}
		}
	}
	if _, leave, refused := d.Admit(request("POST", "/login", "192.0.2.1:9", "10.0.0.5", "Origin", "https://10.0.0.5"), Enter); refused != nil {
		t.Error(refused)
	} else {
		leave()
	}
}

// A page has the scheme of the console: one by http is not of a console with TLS, where the host is the same.
func TestOriginScheme(t *testing.T) {
	d := newDoor(t, true)
	const host, local = "herd.example.org", "localhost:11601"
	for _, test := range []struct {
		name, host, scheme string
		tls                bool
		header             []string
		want               int
	}{
		{"no TLS", host, "http", false, nil, 0},
		{"no TLS on this machine", local, "http", false, nil, 0},
		{"no TLS on this machine, a page by https", local, "https", false, nil, 403},
		{"TLS that ends at a proxy without a header", host, "https", false, nil, 0},
		{"TLS", host, "https", true, nil, 0},
		{"TLS, a page by http", host, "http", true, nil, 403},
		{"TLS on this machine", local, "https", true, nil, 0},
		{"TLS on this machine, a page by http", local, "http", true, nil, 403},
		{"TLS, whatever the header is", host, "http", true, []string{"X-Forwarded-Proto", "http"}, 403},
		{"a proxy with TLS", host, "https", false, []string{"X-Forwarded-Proto", "https"}, 0},
		{"a proxy with TLS, a page by http", host, "http", false, []string{"X-Forwarded-Proto", "https"}, 403},
		{"a proxy with TLS for WebSockets", host, "http", false, []string{"X-Forwarded-Proto", "WSS"}, 403},
		{"two proxies, the first with TLS", host, "http", false, []string{"X-Forwarded-Proto", "https, http"}, 403},
		{"a proxy without TLS", host, "http", false, []string{"X-Forwarded-Proto", "http"}, 0},
		{"a proxy without TLS, a page by https", host, "https", false, []string{"X-Forwarded-Proto", "http"}, 403},
		{"Forwarded", host, "https", false, []string{"Forwarded", "for=10.0.0.1; Proto=\"https\", for=10.0.0.2;proto=http"}, 0},
		{"Forwarded, a page by http", host, "http", false, []string{"Forwarded", "for=10.0.0.1;proto=https"}, 403},
		{"another scheme", host, "ftp", false, nil, 403},
	} {
		for _, does := range []struct {
			method, upgrade string
			right           Right
		}{{"POST", "", Enter}, {"POST", "", Operate}, {"GET", "websocket", Console}} {
			r := request(does.method, "/x", "127.0.0.1:9", test.host, append(test.header, "Origin", test.scheme+"://"+test.host)...)
			r.Header.Set("Authorization", "Bearer all")
			if does.upgrade != "" {
				r.Header.Set("Upgrade", does.upgrade)
			}
			if test.tls {
				r.TLS = &tls.ConnectionState{}
			}
			_, leave, refused := d.Admit(r, does.right)
			if code(refused) != test.want || refused != nil && refused.Kind != kindOrigin {
				t.Errorf("%s: %s %s: %+v, want %d", test.name, does.method, does.upgrade, refused, test.want)
			}
			if refused == nil {
				leave()
			}
		}
	}
}

// A signature is for one server, method, path, query and time, counts once, and changes nothing.
func TestSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, false)
		ask := func(method, target, header string) (int, string) {
			_, leave, refused := d.Admit(request(method, target, "192.0.2.1:9", "10.0.0.5", "Authorization", header), Console)
			if refused != nil {
				return refused.Status, refused.Text
			}
			leave()
			return 0, ""
		}
		for name, header := range map[string]string{
			"another server": sign("GET", "Alford", "/a?b=c"), "another method": sign("HEAD", "Ball", "/a?b=c"),
			"another path": sign("GET", "Ball", "/b?b=c"), "another query": sign("GET", "Ball", "/a?b=d"), "no query": sign("GET", "Ball", "/a"),
			"another secret": access.Sign("one", access.Question{Server: "Ball", Method: "GET", Target: "/a?b=c"}, time.Now(), access.Nonce{}),
			"too old":        access.Sign(secret, access.Question{Server: "Ball", Method: "GET", Target: "/a?b=c"}, time.Now().Add(-31*time.Second), access.Nonce{}),
			"too new":        access.Sign(secret, access.Question{Server: "Ball", Method: "GET", Target: "/a?b=c"}, time.Now().Add(31*time.Second), access.Nonce{}),
			"malformed":      sign("GET", "Ball", "/a?b=c") + "0",
		} {
			if status, text := ask("GET", "/a?b=c", header); status != 401 || text == "" {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
		first, ahead := sign("GET", "Ball", "/a?b=c"), access.Sign(secret, access.Question{Server: "Ball", Method: "GET", Target: "/a?b=c"}, time.Now().Add(30*time.Second), access.Nonce{9})
		for _, header := range []string{first, ahead, sign("GET", "Ball", "/a?b=c")} {
			if status, text := ask("GET", "/a?b=c", header); status != 0 {
				t.Error(status, text)
			}
		}
		for range 60 {
			for _, header := range []string{first, ahead} {
				if status, _ := ask("GET", "/a?b=c", header); status != 401 {
					t.Error("a signature counted twice")
				}
			}
			<-time.After(time.Second)
		}
		if status, _ := ask("POST", "/a", sign("POST", "Ball", "/a")); status != 403 {
			t.Error("a signature may POST:", status)
		}
		if n := d.Status().SignaturesRefused; n != 9+120 {
			t.Errorf("%d signatures refused", n)
		}
		<-time.After(time.Minute + 1)
		ask("GET", "/b", sign("GET", "Ball", "/b"))
		if len(d.nonces.seen) != 1 || len(d.nonces.order) != 1 {
			t.Errorf("%d nonces are remembered", len(d.nonces.seen))
		}
	})
}

// The memory for nonces is bounded, and what is beyond it is refused, not forgotten.
func TestNonces(t *testing.T) {
	n := nonces{seen: make(map[access.Nonce]struct{})}
	now := time.Unix(1e9, 0)
	nonce := func(i int) access.Nonce { return access.Nonce{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range herd.ConsoleNonces {
		if why := n.add(nonce(i), now); why != "" {
			t.Fatal(i, why)
		}
	}
	if n.add(nonce(herd.ConsoleNonces), now) == "" || n.add(nonce(0), now) == "" || len(n.seen) != herd.ConsoleNonces {
		t.Errorf("%d nonces", len(n.seen))
	}
	now = now.Add(2*access.SignatureAge + time.Nanosecond)
	if n.add(nonce(0), now) != "" || len(n.seen) != 1 {
		t.Errorf("%d nonces", len(n.seen))
	}
}

// stream is a request in progress.
func (d *Door) stream(t testing.TB, header ...string) *http.Request {
	t.Helper()
	r, leave, refused := d.Admit(request("GET", "/watch", "192.0.2.1:9", "10.0.0.5", header...), Console)
	if refused != nil {
		t.Fatal(refused)
	}
	t.Cleanup(leave)
	return r
}

// Requests in progress end with their token, whatever ends it, and others do not.
func TestRevocation(t *testing.T) {
	lines := []string{"alice console", "bob console", "carol console 60s"}
	for name, test := range map[string]struct {
		after time.Duration
		lines []string // the new tokens; nil: the old ones
		ends  []string
	}{
		"nothing":       {59 * time.Second, nil, nil},
		"the line":      {0, []string{"bob console", "carol console 60s"}, []string{"alice"}},
		"the right":     {0, []string{"alice read,operate", "bob console", "carol console 60s"}, []string{"alice"}},
		"another right": {0, []string{"alice console,read", "bob console", "carol console 60s"}, nil},
		"all lines":     {0, []string{}, []string{"alice", "bob", "carol"}},
		"the time":      {60 * time.Second, nil, []string{"carol"}},
		"a new time":    {30 * time.Second, []string{"alice console 30s", "bob console", "carol console 61s"}, []string{"alice"}},
		"a longer time": {70 * time.Second, []string{"alice console", "bob console", "carol console 100s"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, false)
				d.SetTokens(tokensOf(t, lines...))
				var all []*http.Request
				var who []string
				for _, name := range []string{"alice", "bob", "carol"} {
					all = append(all, d.stream(t, "Authorization", "Bearer "+name), d.stream(t, "Cookie", d.loginAs(t, name)))
					who = append(who, name, name)
				}
				all, who = append(all, d.stream(t, "Authorization", sign("GET", "Ball", "/watch"))), append(who, "a console")
				if test.lines != nil {
					d.SetTokens(tokensOf(t, test.lines...))
				}
				<-time.After(test.after)
				synctest.Wait()
				for i, r := range all {
					if ended := r.Context().Err() != nil; ended != slices.Contains(test.ends, who[i]) {
						t.Errorf("%s, request %d: ended %v", who[i], i, ended)
					}
				}
			})
		})
	}
}

// A login ends with the token's line, its time, its right, at logout and after 12 hours. A stolen cookie is worth nothing
// then, also if the line comes back.
func TestSessions(t *testing.T) {
	for name, end := range map[string]func(d *Door, cookie string){
		"line":   func(d *Door, _ string) { d.SetTokens(nil) },
		"right":  func(d *Door, _ string) { d.SetTokens(tokensOf(t, "alice read")) },
		"expiry": func(*Door, string) { <-time.After(time.Hour) },
		"12 h":   func(*Door, string) { <-time.After(herd.ConsoleLogin) },
		"logout": func(d *Door, c string) { d.Logout(request("POST", "/logout", "192.0.2.1:9", "10.0.0.5", "Cookie", c)) },
		"another": func(d *Door, c string) {
			_, _, _ = d.Login(request("POST", "/login", "192.0.2.1:9", "10.0.0.5", "Cookie", c), "alice")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, false)
				expires := "100h"
				if name == "expiry" {
					expires = "1h"
				}
				ts := tokensOf(t, "alice console "+expires)
				d.SetTokens(ts)
				cookie := d.loginAs(t, "alice")
				r := d.stream(t, "Cookie", cookie)
				if who := Of(r); who != (Caller{"alice", "alice", true}) {
					t.Errorf("%+v", who)
				}
				end(d, cookie)
				synctest.Wait()
				if r.Context().Err() == nil {
					t.Error("the stream goes on")
				}
				d.SetTokens(ts)
				_, _, refused := d.Admit(request("GET", "/", "192.0.2.1:9", "10.0.0.5", "Cookie", cookie), Console)
				if code(refused) != 401 || refused.Cookie == nil || refused.Cookie.MaxAge >= 0 || refused.Cookie.Value != "" {
					t.Errorf("%+v", refused)
				}
			})
		})
	}
}

// The cookie of a login is for this server only, and no script reads it.
func TestCookie(t *testing.T) {
	d := newDoor(t, false)
	cookie, token, refused := d.Login(request("POST", "/login", "192.0.2.1:9", "10.0.0.5"), " reader\n")
	if refused != nil || token.Name != "reader" {
		t.Fatal(refused)
	}
	if c := cookie; c.Name != "herd.ucla.Ball" || c.Path != "/" || c.MaxAge != 12*60*60 || !c.HttpOnly || c.Secure || c.Domain != "" ||
		c.SameSite != http.SameSiteStrictMode || len(c.Value) != 43 {
		t.Errorf("%+v", c)
	}
	r := httptest.NewRequest("POST", "https://10.0.0.5/login", nil)
	if secure, _, _ := d.Login(r, "reader"); !secure.Secure {
		t.Error("not secure under TLS")
	}
	r = request("POST", "/login", "127.0.0.1:9", "herd.example.org", "Origin", "https://herd.example.org")
	if secure, _, _ := d.Login(r, "reader"); !secure.Secure {
		t.Error("not secure behind a proxy with TLS")
	}
	r = request("POST", "/login", "127.0.0.1:9", "herd.example.org", "X-Forwarded-Proto", "https")
	if secure, _, _ := d.Login(r, "reader"); !secure.Secure {
		t.Error("not secure behind a proxy that says so")
	}
	for token, status := range map[string]int{"nothing": 401, "": 401, "old": 401, "client": 403, "operator": 403} {
		if _, _, refused := d.Login(request("POST", "/login", "192.0.2.1:9", "10.0.0.5"), token); code(refused) != status {
			t.Errorf("%q: %+v", token, refused)
		}
	}
	if s := d.Status(); s.LoginsRefused != 5 || s.Denied != 0 || s.Sessions != 4 {
		t.Errorf("%+v", s)
	}
}

// Who logs in again and again ends its own sessions only.
func TestSessionsAreLimited(t *testing.T) {
	d := newDoor(t, false)
	mine := d.loginAs(t, "reader")
	first := d.loginAs(t, "all")
	last := ""
	for range herd.ConsoleSessions + 5 {
		last = d.loginAs(t, "all")
	}
	for cookie, status := range map[string]int{mine: 0, last: 0, first: 401} {
		if _, _, refused := d.Admit(request("GET", "/", "192.0.2.1:9", "10.0.0.5", "Cookie", cookie), Console); code(refused) != status {
			t.Errorf("%+v, want %d", refused, status)
		}
	}
	if n := d.Status().Sessions; n != herd.ConsoleSessions {
		t.Errorf("%d sessions", n)
	}
}

// However often an address fails, it is counted each time, logged once in 30 s, and nobody is locked out.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		d := New(Options{Name: "Ball", Log: zap.New(core)})
		d.SetTokens(tokensOf(t, "reader console"))
		for i := range 10_000 {
			r := request("GET", "/", "192.0.2.1:9", "10.0.0.6", "Authorization", fmt.Sprint("Bearer guess", i))
			if _, _, refused := d.Admit(r, Console); code(refused) != 401 {
				t.Fatal(refused)
			}
		}
		if _, leave, refused := d.Admit(request("GET", "/", "192.0.2.1:9", "10.0.0.6", "Authorization", "Bearer reader"), Console); refused != nil {
			t.Error("locked out:", refused)
		} else {
			leave()
		}
		if n := logged.FilterMessage("console request refused").Len(); n != 1 || d.Status().Denied != 10_000 {
			t.Errorf("%d logged, %+v", n, d.Status())
		}
		for _, e := range logged.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "guess") {
				t.Errorf("the log has the token: %s", text)
			}
		}
		<-time.After(herd.RefusalPause)
		for i := range 2 * herd.RefusalsNoted {
			d.Knock(request("GET", "/", fmt.Sprintf("10.1.%d.%d:9", i/256, i%256), "evil.example"))
		}
		if n := logged.Len(); n > 1+herd.RefusalsNoted || len(d.noted) > herd.RefusalsNoted {
			t.Errorf("%d logged, %d remembered", n, len(d.noted))
		}
	})
}
