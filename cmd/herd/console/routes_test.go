package console

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// errorOf is the error in an answer's body; "" if the body is no error.
func errorOf(body string) string {
	var e struct{ Error string }
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if d.Decode(&e) != nil {
		return ""
	}
	return e.Error
}

// What no route is for is answered by an error in JSON.
func TestErrorsAreJSON(t *testing.T) {
	addr := start(t, Options{Status: fixed(herd.Status{})})
	for _, test := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"GET", "/nothing", 404, ""},
		{"GET", "/status.json/", 404, ""},
		{"GET", "//status.json", 404, ""},
		{"GET", "/../status.json", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/%00%ff<script>", 404, ""},
		{"POST", "/nothing", 404, ""},
		{"POST", "/status.json", 405, "GET, HEAD"},
		{"DELETE", "/healthz", 405, "GET, HEAD"},
		{"OPTIONS", "/readyz", 405, "GET, HEAD"},
		{"BREW", "/status.json", 405, "GET, HEAD"},
	} {
		r, err := http.NewRequest(test.method, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = "//" + addr + test.path // is sent as it is
		got, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if got.StatusCode != test.code || errorOf(string(body)) == "" || got.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %q, Allow %q", test.method, test.path, got.StatusCode, body, got.Header.Get("Allow"))
		}
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %v", test.method, test.path, got.Header)
		}
	}
}

// A path without parameters refuses them as the others do, and a wrong path names the right ones.
func TestPathsAndParameters(t *testing.T) {
	addr := start(t, Options{Status: fixed(well("Ball")), Name: "Ball", Pprof: true, Config: &config.Config{Servers: []config.Server{{Name: "Ball"}}}})
	for _, path := range []string{"/status.json", "/metrics", "/herd.json"} {
		if code, body := fetch(t, addr, "", path+"?servr=Ball"); code != 400 || errorOf(body) != `unknown parameter "servr"; known: none` {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, body := fetch(t, addr, "", "/nothing")
	if list := errorOf(body); !strings.Contains(list, "/herd.json") || !strings.HasSuffix(list, "/debug/pprof/") || strings.Contains(list, "cmdline") {
		t.Errorf("%s", body)
	}
}

// An entry about a slow turn names the console.
func TestNameOfASlowTurn(t *testing.T) {
	name := ""
	NewLoop(func(f func()) {
		name = runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
		f()
	}, nil)(t.Context(), func(*herd.Server) {})
	if !strings.Contains(name, "console.(*request).onLoop") {
		t.Errorf("the posted call is %s", name)
	}
}

func TestQuery(t *testing.T) {
	long := strings.Repeat("x", protocol.MaxClientID)
	every := make([]byte, 0, 256) // all bytes that an id may have
	for b := range 256 {
		if protocol.CheckClientID([]byte{byte(b)}) == nil {
			every = append(every, byte(b))
		}
	}
	for _, test := range []struct{ query, id, err string }{
		{"id=kiwi", "kiwi", ""},
		{"id=a+b", "a+b", ""},
		{"id=a=b;c", "a=b;c", ""},
		{"id=%00%ff", "\x00\xff", ""},
		{"id=" + long, long, ""},
		{"id=" + url.QueryEscape(string(every)), string(every), ""},
		{"", "", "id is missing"},
		{"id", "", "id: empty"},
		{"id=", "", "id: empty"},
		{"id=%", "", "id: invalid URL escape"},
		{"id=%f", "", "id: invalid URL escape"},
		{"id=%zz", "", "id: invalid URL escape"},
		{"id=a&id=a", "", "id is given twice"},
		{"id=a%20b", "", "id: contains white space"},
		{"id=a%0Ab", "", "id: contains white space"},
		{"id=" + long + "x", "", "id: longer than 1024 bytes"},
		{"id=a&x=%1b", "", `unknown parameter "x"; known: id`},
		{"%69d=a", "", `unknown parameter "%69d"; known: id`},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = test.query
		var id []byte
		given, err := query(r, "id")
		if err == nil {
			id, err = queryID(given)
		}
		if test.err == "" && (err != nil || string(id) != test.id) {
			t.Errorf("%.50q: %q, %v", test.query, id, err)
		}
		if test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
			t.Errorf("%.50q: %v, want %s", test.query, err, test.err)
		}
	}
}

// A function that waited in vain does not run, or its result is dropped.
func TestALoopThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posted []func()
		srv := &herd.Server{}
		c := &console{Options: Options{Do: NewLoop(func(f func()) { posted = append(posted, f) }, srv)}}
		ran := 0
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		begun := time.Now()
		if _, ok := fromLoop(c, w, r, func(*herd.Server) int { ran++; return ran }); ok {
			t.Error("an answer of a loop that did not run")
		}
		if w.Code != 503 || errorOf(w.Body.String()) != stuck(loopTimeout) || time.Since(begun) != loopTimeout {
			t.Errorf("after %v: %d %s", time.Since(begun), w.Code, w.Body)
		}
		posted[0]()
		if ran != 0 {
			t.Error("the function ran although nobody waited")
		}
		c.Do = NewLoop(func(f func()) { go f() }, srv)
		got, ok := fromLoop(c, w, r, func(s *herd.Server) *herd.Server { return s })
		if !ok || got != srv {
			t.Errorf("%p, %v", got, ok)
		}
	})
}
