package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/config"
)

// testLog is a log with a level.
type testLog struct {
	mu        sync.Mutex
	level, by string
}

func (l *testLog) Level() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level
}

func (l *testLog) SetLevel(level, by string) (was string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level != "debug" && level != "info" {
		return "", errors.New("no such level")
	}
	was, l.level, l.by = l.level, level, by
	return was, nil
}

// reloader starts a console whose reloads end when a result is sent.
func reloader(t *testing.T) (addr string, by <-chan string, results chan<- Reloaded) {
	asked, sent := make(chan string, 9), make(chan Reloaded)
	addr = start(t, Options{Status: fixed(herd.Status{}), Name: "Alford", Reload: func(by string) *PendingReload {
		asked <- by
		p := NewPendingReload()
		go func() { p.End(<-sent) }()
		return p
	}})
	return addr, asked, sent
}

// operate sends a request of this console's page, and waits for at most processtest.Patience.
func operate(ctx context.Context, addr, method, path, body string, header ...string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, processtest.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Origin", "http://"+addr)
	r.Header.Set("Content-Type", jsonType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b), err
}

// The answer comes when the reload has ended, and has all of its result.
func TestReload(t *testing.T) {
	addr, by, results := reloader(t)
	type answer struct {
		status int
		text   string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		status, text, err := operate(t.Context(), addr, "POST", "/reload", "")
		answered <- answer{status, text, err}
	}()
	if who := <-by; who != "console on loopback" {
		t.Errorf("asked by %q", who)
	}
	select {
	case a := <-answered:
		t.Fatalf("an answer before the reload has ended: %+v", a)
	default:
	}
	none, some := 0, 12
	want := Reloaded{"Alford", false, []ReloadedPart{
		{Part: LogPart, What: Reopened, Took: 0.25}, {Part: TokensPart, What: Reread, Count: &none, Took: 0.5},
		{Part: CertificatesPart, What: Failed, Expires: time.Unix(1e9, 0).UTC(), Error: "<no> such file\x1b", Took: 1},
		{Part: PlacesPart, What: Reread, Count: &some, Skipped: 3, Took: 2},
	}, 4}
	results <- want
	a := <-answered
	var got Reloaded
	if err := json.Unmarshal([]byte(a.text), &got); a.status != 200 || a.err != nil || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d %v %v: %+v", a.status, a.err, err, got)
	}
	const text = `{"server":"Alford","ok":false,"parts":[{"part":"log","what":"reopened","took":0.25},` +
		`{"part":"tokens","what":"reloaded","count":0,"took":0.5},` +
		`{"part":"certificates","what":"failed","expires":"2001-09-09T01:46:40Z","error":"\u003cno\u003e such file\u001b","took":1},` +
		`{"part":"places","what":"reloaded","count":12,"skipped":3,"took":2}],"took":4}`
	if squeezed := strings.Join(strings.Fields(a.text), ""); squeezed != strings.Join(strings.Fields(text), "") {
		t.Errorf("got %s", a.text)
	}
}

// A client that leaves ends its request, and the reload goes on.
func TestReloadWithoutItsClient(t *testing.T) {
	ended := make(chan struct{})
	asked, result := make(chan string), NewPendingReload()
	c := &console{reloads: newReloadSlots(1), Options: Options{Reload: func(by string) *PendingReload {
		asked <- by
		return result
	}}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.reload(w, r)
		close(ended)
	}))
	defer s.Close()
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	if _, text, err := operate(ctx, s.Listener.Addr().String(), "POST", "/reload", ""); err == nil {
		t.Errorf("an answer: %s", text)
	}
	<-ended
	result.End(Reloaded{}) // nobody waits for it
}

// deadlines is a response that notes its deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

// A reload may take longer than the console's limits for requests. The answer must be taken in time, as any other.
func TestReloadHasNoDeadline(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	encoders := make(chan struct{}, 1)
	c := &console{encoders: encoders, reloads: newReloadSlots(1), Options: Options{Reload: func(string) *PendingReload {
		if len(w.read) != 1 || !w.read[0].IsZero() || len(w.write) != 1 || !w.write[0].IsZero() {
			t.Errorf("during the reload: %v, %v", w.read, w.write)
		}
		result := NewPendingReload()
		result.End(Reloaded{})
		return result
	}}}
	c.reload(w, httptest.NewRequest("POST", "/reload", nil))
	if w.Code != 200 || len(w.write) != 2 || time.Until(w.write[1]) > writeTimeout || time.Until(w.write[1]) <= 0 {
		t.Errorf("%d %s: %v", w.Code, w.Body, w.write)
	}
}

func TestReloadRefuses(t *testing.T) {
	addr, by, _ := reloader(t)
	for name, test := range map[string]struct {
		method, path, body string
		status             int
	}{
		"GET": {"GET", "/reload", "", 405}, "PUT": {"PUT", "/reload", "", 405}, "a parameter": {"POST", "/reload?part=log", "", 400},
		"a body": {"POST", "/reload", "{}", 400}, "a large body": {"POST", "/reload", strings.Repeat(" ", herd.ConsoleBody+1), 413},
	} {
		if status, text, err := operate(t.Context(), addr, test.method, test.path, test.body); status != test.status || err != nil || errorOf(text) == "" {
			t.Errorf("%s: %d %q %v", name, status, text, err)
		}
	}
	if len(by) > 0 {
		t.Errorf("a reload by %s", <-by)
	}
	without := start(t, Options{Status: fixed(herd.Status{})})
	if status, _, _ := operate(t.Context(), without, "POST", "/reload", ""); status != 404 {
		t.Error(status)
	}
}

// slowBody is a body whose rest does not come in time, or is cut off.
type slowBody struct{ err error }

func (b slowBody) Read([]byte) (int, error) { return 0, b.err }

// The answer says what is wrong with a request that does not end.
func TestReloadOfRequestsThatDoNotEnd(t *testing.T) {
	c := &console{reloads: newReloadSlots(1)}
	for err, want := range map[error]int{os.ErrDeadlineExceeded: 408, io.ErrUnexpectedEOF: 400} {
		w := httptest.NewRecorder()
		c.reload(w, httptest.NewRequest("POST", "/reload", slowBody{err}))
		if w.Code != want || strings.Contains(w.Body.String(), "body") || errorOf(w.Body.String()) == "" || len(c.reloads.others) > 0 {
			t.Errorf("%v: %d %s, %d waiting", err, w.Code, w.Body, len(c.reloads.others))
		}
	}
}

// A few requests wait for a reload; more are refused, and those that read are answered meanwhile, however many there are.
func TestReloadsAreLimited(t *testing.T) {
	addr, by, results := reloader(t)
	var waiting, refused sync.WaitGroup
	wait := func() {
		waiting.Go(func() {
			if status, text, err := operate(t.Context(), addr, "POST", "/reload", ""); status != 200 || err != nil {
				t.Errorf("%d %s %v", status, text, err)
			}
		})
	}
	for range herd.ConsoleReloads {
		wait()
	}
	for range herd.ConsoleReloads {
		<-by
	}
	for range herd.ConsoleRequests + 8 {
		refused.Go(func() {
			if status, text, err := operate(t.Context(), addr, "POST", "/reload", ""); status != 503 || err != nil || errorOf(text) == "" {
				t.Errorf("one more: %d %s %v", status, text, err)
			}
		})
	}
	refused.Wait()
	if t.Failed() {
		waiting.Wait()
		return
	}
	for _, path := range []string{"/status.json", "/metrics", "/loglevel"} {
		if status, text, err := operate(t.Context(), addr, "GET", path, ""); status == 503 || err != nil {
			t.Errorf("%s: %d %s %v", path, status, text, err)
		}
	}
	results <- Reloaded{}
	processtest.Eventually(t, "there is room for one", func() bool {
		wait := make(chan int, 1)
		waiting.Go(func() {
			status, _, _ := operate(t.Context(), addr, "POST", "/reload", "")
			wait <- status
		})
		select {
		case <-by:
			return true
		case status := <-wait:
			return status == 200
		}
	})
	for range herd.ConsoleReloads {
		results <- Reloaded{}
	}
	waiting.Wait()
}

// operator gives a request the operator's token, and lets it through the door until leave.
func operator(t *testing.T, d *door.Door, r *http.Request) (admitted *http.Request, leave func()) {
	t.Helper()
	r.Host = beyondHost
	r.Header.Set("Authorization", "Bearer "+operatorToken)
	admitted, leave, refused := d.Admit(r, door.Operate)
	if refused != nil {
		t.Fatal(refused)
	}
	return admitted, leave
}

// Requests without a token keep none with a token from a reload: neither those that wait, nor those that do not end.
func TestReloadSlotsOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door.New(door.Options{Config: &config.Config{Console: config.Console{Hosts: []string{beyondHost}}}})
		d.SetTokens(tokensOf(t, "operator="+operatorToken+":console,operate"))
		result := NewPendingReload()
		var asked atomic.Int32
		c := &console{encoders: make(chan struct{}, 9), reloads: newReloadSlots(2), Options: Options{Reload: func(string) *PendingReload {
			asked.Add(1)
			return result
		}}}
		body, never := io.Pipe()
		var all sync.WaitGroup
		send := func(r *http.Request) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			all.Go(func() { c.reload(w, r) })
			synctest.Wait()
			return w
		}
		send(httptest.NewRequest("POST", "/reload", body))
		send(httptest.NewRequest("POST", "/reload", nil))
		send(httptest.NewRequest("POST", "/reload", nil))
		if w := send(httptest.NewRequest("POST", "/reload", nil)); w.Code != 503 || asked.Load() != 2 {
			t.Errorf("one more: %d, %d are asked", w.Code, asked.Load())
		}
		r := httptest.NewRequest("POST", "/reload", nil)
		r, leave := operator(t, d, r)
		defer leave()
		w := send(r)
		result.End(Reloaded{Server: "Ball"})
		synctest.Wait()
		never.Close()
		all.Wait()
		if w.Code != 200 || asked.Load() != 4 { // and the one that has ended at last
			t.Errorf("with a token: %d %s, %d are asked", w.Code, w.Body, asked.Load())
		}
	})
}

// Each change of the level is logged, so changes are limited: those without a token, and those with one.
func TestLevelChangesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &testLog{level: "info"}
		c := &console{encoders: make(chan struct{}, 1), levels: newLevelLimits(), Options: Options{Log: log, Config: &config.Config{}}}
		d := door.New(door.Options{Config: &config.Config{Console: config.Console{Hosts: []string{beyondHost}}}})
		d.SetTokens(tokensOf(t, "operator="+operatorToken+":console,operate"))
		put := func(token, level string) int {
			t.Helper()
			r := httptest.NewRequest("PUT", "/loglevel", strings.NewReader(`{"level":"`+level+`"}`))
			r.Header.Set("Content-Type", jsonType)
			if token != "" {
				var leave func()
				r, leave = operator(t, d, r)
				defer leave()
			}
			w := httptest.NewRecorder()
			c.setLogLevel(w, r)
			if w.Code == 429 && (errorOf(w.Body.String()) == "" || w.Header().Get("Retry-After") != "6") {
				t.Errorf("%s %v", w.Body, w.Header())
			}
			return w.Code
		}
		for _, token := range []string{"", operatorToken} {
			for i := range herd.ConsoleLevelChanges {
				if status := put(token, []string{"debug", "info"}[i%2]); status != 200 {
					t.Errorf("%q: %d", token, status)
				}
				if same, bad := put(token, log.Level()), put(token, "loud"); same != 200 || bad != 400 {
					t.Errorf("%q, what changes nothing: %d, %d", token, same, bad)
				}
			}
			if status := put(token, "debug"); status != 429 {
				t.Errorf("%q, one more: %d", token, status)
			}
		}
		<-time.After(herd.ConsoleLevelPause)
		if first, second := put("", "debug"), put("", "info"); first != 200 || second != 429 {
			t.Errorf("after a pause: %d, %d", first, second)
		}
	})
}

func TestLogLevel(t *testing.T) {
	log := &testLog{level: "warn"}
	addr := start(t, Options{Status: fixed(herd.Status{}), Name: "Alford", Log: log, Config: &config.Config{Log: config.Log{Level: "warn"}}})
	for _, step := range []struct {
		method, body string
		status       int
		want         LogLevel
		level        string
	}{
		{"GET", "", 200, LogLevel{"Alford", "warn", "warn", ""}, "warn"},
		{"PUT", `{"level":"debug"}`, 200, LogLevel{"Alford", "debug", "warn", "warn"}, "debug"},
		{"PUT", `{"level":"debug"}`, 200, LogLevel{"Alford", "debug", "warn", "debug"}, "debug"},
		{"GET", "", 200, LogLevel{"Alford", "debug", "warn", ""}, "debug"},
		{"PUT", `{"level":"loud"}`, 400, LogLevel{}, "debug"},
		{"PUT", `{"level":"info","until":"now"}`, 400, LogLevel{}, "debug"},
		{"PUT", `{"level":"info"}]`, 400, LogLevel{}, "debug"},
		{"PUT", `{"level":7}`, 400, LogLevel{}, "debug"},
		{"PUT", ``, 400, LogLevel{}, "debug"},
		{"PUT", `{"level":"` + strings.Repeat("x", herd.ConsoleBody) + `"}`, 413, LogLevel{}, "debug"},
		{"POST", `{"level":"info"}`, 405, LogLevel{}, "debug"},
		{"DELETE", ``, 405, LogLevel{}, "debug"},
		{"PUT", `{"level":"info"}`, 200, LogLevel{"Alford", "info", "warn", "debug"}, "info"},
	} {
		status, text, err := operate(t.Context(), addr, step.method, "/loglevel", step.body)
		var got LogLevel
		_ = json.Unmarshal([]byte(text), &got)
		if status != step.status || err != nil || got != step.want || log.Level() != step.level || status != 200 && errorOf(text) == "" {
			t.Errorf("%s %.40s: %d %.200s %v, the level is %s", step.method, step.body, status, text, err, log.Level())
		}
	}
	if log.by != "console on loopback" {
		t.Errorf("by %q", log.by)
	}
	if status, text, _ := operate(t.Context(), addr, "PUT", "/loglevel", `{"level":"debug"}`, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("%d %s", status, text)
	}
	if r, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("POST", "http://"+addr+"/loglevel", nil)); err != nil || r.Header.Get("Allow") != "GET, HEAD, PUT" {
		t.Errorf("%v %+v", err, r)
	}
	if _, list := fetch(t, addr, "", "/nothing"); strings.Count(list, "/loglevel") != 1 {
		t.Error(list)
	}
}

// Who asks is in the log: by the name of its token, if there is one.
func TestWho(t *testing.T) {
	g := guard(t, "Ball")
	log := &testLog{level: "info"}
	by := make(chan string, 1)
	g.addr = start(t, Options{Status: fixed(herd.Status{}), Name: "Ball", Door: g.door, Log: log, Config: &config.Config{},
		Reload: func(who string) *PendingReload {
			by <- who
			g.door.SetTokens(tokensOf(t)) // which ends the request's token
			p := NewPendingReload()
			p.End(Reloaded{Server: "Ball", OK: true})
			return p
		}})
	if r, body := g.asking(operatorToken, "PUT", "/loglevel", `{"level":"debug"}`, "Content-Type", jsonType); r.StatusCode != 200 || log.by != "token operator" {
		t.Errorf("%d %s, by %q", r.StatusCode, body, log.by)
	}
	if r, body := g.asking(operatorToken, "POST", "/reload", ""); r.StatusCode != 200 || !strings.Contains(body, `"ok": true`) || <-by != "token operator" {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if r, _ := g.asking(operatorToken, "POST", "/reload", ""); r.StatusCode != 401 {
		t.Error(r.Status)
	}
}

// A reload that revokes the token of its own request is answered, also if its result comes later.
func TestReloadThatRevokesItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door.New(door.Options{Config: &config.Config{Console: config.Console{Hosts: []string{beyondHost}}}})
		d.SetTokens(tokensOf(t, "operator="+operatorToken+":console,operate"))
		r := httptest.NewRequest("POST", "/reload", nil)
		r, leave := operator(t, d, r)
		defer leave()
		result := NewPendingReload()
		c := &console{encoders: make(chan struct{}, 1), reloads: newReloadSlots(1), Options: Options{Reload: func(string) *PendingReload {
			d.SetTokens(tokensOf(t))
			if r.Context().Err() == nil {
				t.Error("the token is still valid")
			}
			time.AfterFunc(time.Second, func() { result.End(Reloaded{Server: "Ball"}) })
			return result
		}}}
		w := httptest.NewRecorder()
		c.reload(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "Ball") {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		<-time.After(time.Minute)
	})
}
