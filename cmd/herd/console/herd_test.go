package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// neighborConsole is the console of a server called name. It answers /status.json with text.
func neighborConsole(t testing.TB, name string, handler http.HandlerFunc) config.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return config.Server{Name: name, Console: s.Listener.Addr().String()}
}

func answering(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// well is the status of a server without problems.
func well(name string) herd.Status {
	return herd.Status{Server: name, Engine: view.DefaultEngine, ConfigHash: "a", Version: "1", Digest: "d", Now: time.Now(), Links: []herd.LinkStatus{}}
}

func statusText(s herd.Status) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func herdOf(t testing.TB, addr string) (h HerdStatus) {
	t.Helper()
	code, body := fetch(t, addr, "", "/herd.json")
	for tries := 0; code == http.StatusServiceUnavailable && tries < 20; tries++ { // the machine is busy
		code, body = fetch(t, addr, "", "/herd.json")
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); code != 200 || err != nil {
		t.Fatalf("%d %.1000s: %v", code, body, err)
	}
	if strings.ContainsAny(body, "\x1b<>") {
		t.Errorf("hostile bytes in %.1000s", body)
	}
	return h
}

// Of the other consoles some are down, and some answer garbage. All that is left is a result.
func TestHerdOfBadConsoles(t *testing.T) {
	asked := atomic.Int32{}
	hostile := well("Hostile")
	hostile.Waiting = "<script>\x1b[31m\u202e"
	hostile.Links = []herd.LinkStatus{{Neighbor: "<b>", State: "\x1b", Agreement: strings.Repeat("x", 1<<16)}}
	hostile.Counters.LogDropped = 1<<64 - 1
	hostile.Loop.LagP99, hostile.Now = 1e308, time.Time{}
	other := well("Welsh")
	other.ConfigHash = "b"
	servers := []config.Server{
		{Name: "Ball", Console: "127.0.0.1:1"}, // this one: its address is not used
		neighborConsole(t, "Alford", func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.URL.String() != "/status.json" {
				t.Errorf("asked for %s", r.URL)
			}
			fmt.Fprint(w, statusText(well("Alford")))
		}),
		neighborConsole(t, "Welsh", answering(statusText(other))),
		neighborConsole(t, "Hostile", answering(statusText(hostile))),
		{Name: "Silent"},
		// A port that is free again could be another test's.
		neighborConsole(t, "Down", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		neighborConsole(t, "Named", answering(statusText(well("Ball")))),
		neighborConsole(t, "HTML", answering("<html>\x1b")),
		neighborConsole(t, "Null", answering("null")),
		neighborConsole(t, "Zone", answering(`{"server":"Zone","now":"2026-01-01T00:00:00+23:59","started":"9999-12-31T23:59:59-23:59"}`)),
		neighborConsole(t, "Long", answering(strings.Repeat(" ", herd.ConsoleAnswer)+"{}")),
		neighborConsole(t, "Redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/status.json", http.StatusFound)
		}),
		neighborConsole(t, "Error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			fmt.Fprint(w, `{"error":"<b>\u001b"}`)
		}),
	}
	addr := start(t, Options{Status: fixed(well("Ball")), Config: &config.Config{Servers: servers}, Name: "Ball"})
	h := herdOf(t, addr)
	errors := map[string]string{
		"Silent": "no console in herd.toml", "Down": "no answer", "Named": "belongs to Ball", "HTML": "invalid character",
		"Null": "does not name its server", "Long": "longer than", "Redirect": "302 Found", "Error": "503",
	}
	answered := 0
	for i, s := range h.Servers {
		want := errors[servers[i].Name]
		if s.Server != servers[i].Name || want == "" != (s.Error == "") || !strings.Contains(s.Error, want) || (s.Status.Status == nil) != (want != "") {
			t.Errorf("%s: %.200q %v, want %q", servers[i].Name, s.Error, s.Status.Status, want)
		}
		if want == "" {
			answered++
			if s.Agreement == "" || s.Level == "" {
				t.Errorf("%s: agreement %q, level %q", s.Server, s.Agreement, s.Level)
			}
		}
	}
	if h.Server != "Ball" || h.Answered != answered || h.Of != len(servers)-1 || len(h.Servers) != len(servers) || asked.Load() != 1 {
		t.Errorf("%s: %d of %d answered, Alford was asked %d times", h.Server, h.Answered, h.Of, asked.Load())
	}
	if want := "[{[Welsh] runs another herd.toml than Ball}]"; !strings.Contains(fmt.Sprint(h.Notes), want[1:len(want)-1]) {
		t.Errorf("notes %v", h.Notes)
	}
	if !slices.ContainsFunc(h.Problems, func(l HerdLine) bool { return slices.Equal(l.Servers, []string{"Down"}) }) {
		t.Errorf("problems %v", h.Problems)
	}
}

// A herd.toml without consoles: this one was given its socket by somebody else.
func TestHerdWithoutConsoles(t *testing.T) {
	cfg := &config.Config{Servers: []config.Server{{Name: "Alford"}, {Name: "Ball"}}}
	h := herdOf(t, start(t, Options{Status: fixed(well("Ball")), Config: cfg, Name: "Ball"}))
	if h.Answered != 1 || h.Of != 1 || !h.Servers[0].NoConsole || h.Servers[1].Status.Status == nil {
		t.Errorf("%+v", h)
	}
}

// If this server's loop is stuck, the others are still seen.
func TestHerdOfAStuckLoop(t *testing.T) {
	cfg := &config.Config{Servers: []config.Server{{Name: "Ball"}, neighborConsole(t, "Alford", answering(statusText(well("Alford"))))}}
	h := herdOf(t, start(t, Options{Config: cfg, Name: "Ball", Status: func(context.Context) (herd.Status, bool) {
		return herd.Status{}, false
	}}))
	if h.Answered != 1 || h.Of != 2 || !strings.Contains(h.Servers[0].Error, "did not answer within 1s") {
		t.Errorf("%+v", h)
	}
}

// However many look, the servers are asked at most twice a second. Who leaves does not end it for the others.
func TestHerdIsAskedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := newHerdWide(Options{
			Name: "Ball", Config: &config.Config{Servers: []config.Server{{Name: "Ball"}}}, Do: atOnce,
			Status: func(context.Context) (herd.Status, bool) {
				asked++
				<-time.After(100 * time.Millisecond) // it takes time, in which others come
				s := well("Ball")
				s.Tail = uint64(asked)
				return s, true
			},
		})
		gone, leave := context.WithCancel(t.Context())
		var viewers sync.WaitGroup
		viewers.Go(func() {
			if _, ok := h.get(gone); ok {
				t.Error("an answer for one who left")
			}
		})
		synctest.Wait()
		leave()
		look := func(want int) {
			for range 200 {
				viewers.Go(func() {
					text, ok := h.get(t.Context())
					var s HerdStatus
					if json.Unmarshal(text, &s) != nil || !ok || s.Servers[0].Status.Status.Tail != uint64(want) {
						t.Errorf("%v %s, want answer %d", ok, text, want)
					}
				})
			}
			viewers.Wait()
		}
		look(1)
		look(1)
		<-time.After(herd.ConsoleHerdPause - time.Nanosecond)
		look(1)
		<-time.After(time.Nanosecond)
		look(2)
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// Whoever asks is not kept longer than a timeout, whatever the answers are.
func TestHerdTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := New(Options{
			Name: "Ball", Config: &config.Config{Servers: []config.Server{{Name: "Ball"}}}, Do: atOnce,
			Status: func(context.Context) (herd.Status, bool) {
				time.Sleep(time.Minute)
				return well("Ball"), true
			},
		}).Handler
		begun, w := time.Now(), httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://localhost/herd.json", nil)
		r.RemoteAddr = "127.0.0.1:1"
		handler.ServeHTTP(w, r)
		if took := time.Since(begun); w.Code != 503 || errorOf(w.Body.String()) == "" || took != herd.ConsoleHerdTimeout {
			t.Errorf("after %v: %d %s", took, w.Code, w.Body)
		}
		<-time.After(time.Minute) // the round has ended
	})
}

// The servers disagree if their records differ twice and their feeds have not moved meanwhile.
func TestHerdDisagrees(t *testing.T) {
	other := well("Alford")
	other.Digest = "e"
	cfg := &config.Config{Servers: []config.Server{{Name: "Ball"}, neighborConsole(t, "Alford", answering(statusText(other)))}}
	addr := start(t, Options{Config: cfg, Name: "Ball", Status: fixed(well("Ball"))})
	disagree := func() bool {
		return slices.ContainsFunc(herdOf(t, addr).Problems, func(l HerdLine) bool { return strings.Contains(l.Text, "same records") })
	}
	if disagree() {
		t.Error("after one look")
	}
	eventually(t, "they disagree", disagree)
}

// BenchmarkHerd asks five servers, four of them over HTTP.
func BenchmarkHerd(b *testing.B) {
	var servers []config.Server
	for _, name := range []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"} {
		s := well(name)
		s.Links = make([]herd.LinkStatus, 2)
		servers = append(servers, neighborConsole(b, name, New(Options{Status: fixed(s), Do: atOnce}).Handler.ServeHTTP))
	}
	h := newHerdWide(Options{Status: fixed(well("Ball")), Name: "Ball", Config: &config.Config{Servers: servers}})
	for b.Loop() {
		h.latest = nil // as if half a second had passed
		if text, ok := h.get(b.Context()); !ok || !strings.Contains(string(text), `"answered": 5`) {
			b.Fatalf("%s", text)
		}
	}
}
