package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/herd"
)

// twoWell is a herd of two, in which all is well.
func twoWell() map[string]*herd.Status {
	all := map[string]*herd.Status{}
	checked := time.Unix(1520023930, 0).UTC()
	for name, other := range map[string]string{"Alford": "Ball", "Ball": "Alford"} {
		all[name] = &herd.Status{
			Server: name, Address: "127.0.0.1:1", Engine: "loop", Records: 7, Digest: "be6e3088cee05488", Tail: 9, Ready: true,
			Started: time.Unix(1520023900, 0).UTC(), Now: time.Unix(1520023934, 0).UTC(),
			Links: []herd.LinkStatus{{Neighbor: other, State: "live", Receiving: true, Checked: &checked}},
		}
	}
	return all
}

// statusOf runs the command on a herd whose consoles are answered by consoles; a name without one
// has no console in herd.toml.
func statusOf(t *testing.T, consoles map[string]http.HandlerFunc, args ...string) (out string, code int) {
	t.Helper()
	var text strings.Builder
	for i, name := range []string{"Alford", "Ball"} {
		fmt.Fprintf(&text, "[[server]]\nname = %q\naddress = \"127.0.0.1:%d\"\n", name, i+1)
		if console := consoles[name]; console != nil {
			s := httptest.NewServer(console)
			t.Cleanup(s.Close)
			fmt.Fprintf(&text, "console = %q\n", s.Listener.Addr())
		}
	}
	file := filepath.Join(t.TempDir(), "herd.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(append([]string{"status", "--config", file}, args...), nil, &o, &e)
	if e.Len() > 0 {
		t.Errorf("stderr: %s", &e)
	}
	return o.String(), code
}

func answers(s *herd.Status) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status.json" {
			_ = json.NewEncoder(w).Encode(s)
		}
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		name   string
		change func(all map[string]*herd.Status)
		code   int
		parts  []string
	}{
		{"all well", func(map[string]*herd.Status) {}, 0,
			[]string{"Alford  127.0.0.1:1  34s  1/1    7        be6e3088cee05488", "in sync (checked 4 s ago)", "\n2 of 2 answered\n"}},
		{"another engine", func(all map[string]*herd.Status) { all["Ball"].Engine = "owner" }, 0,
			[]string{"Ball: its engine is owner, which is for comparing\n2 of 2"}},
		{"behind", func(all map[string]*herd.Status) { all["Ball"].Links[0].Behind = 5 }, 0,
			[]string{"neighbors behind by at most 5"}},
		{"down", func(all map[string]*herd.Status) {
			all["Ball"].Links[0].State, all["Ball"].Links[0].Error = "down", "connection refused\x1b"
		}, 1, []string{"0/1", "Ball: link to Alford is down: connection refused\\x1b\n"}},
		{"one way", func(all map[string]*herd.Status) { all["Alford"].Links[0].Receiving = false }, 1,
			[]string{"Alford: Ball has not linked to it"}},
		{"plain", func(all map[string]*herd.Status) {
			all["Alford"].Links[0] = herd.LinkStatus{Neighbor: "Ball", State: "plain"}
		}, 0, []string{"1/1", "not compared yet\n"}},
		{"diverged", func(all map[string]*herd.Status) {
			since := time.Unix(1520023930, 0)
			all["Ball"].Links[0].DivergedSince = &since
		}, 1, []string{"Alford diverged since"}},
		{"two processes", func(all map[string]*herd.Status) { all["Ball"].Links[0].Duplicate = "refused" }, 1,
			[]string{"Ball: two processes claim the name Alford: one of them is refused\n"}},
		{"one of two processes left", func(all map[string]*herd.Status) { all["Ball"].Links[0].Duplicate = "taken back" }, 1,
			[]string{"Ball: two processes claim the name Alford: the one that had been replaced was taken back"}},
		{"different", func(all map[string]*herd.Status) { all["Ball"].Digest = "0000000000000000" }, 1,
			[]string{"the servers do not hold the same records\n"}},
		{"troubled", func(all map[string]*herd.Status) {
			all["Ball"].Counters = herd.Counters{LogDropped: 3, OutputLimits: 1}
		}, 0, []string{"Ball: 3 log entries dropped\nBall: 1 slow readers cut off\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := twoWell()
			test.change(all)
			out, code := statusOf(t, map[string]http.HandlerFunc{
				"Alford": answers(all["Alford"]), "Ball": answers(all["Ball"])})
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, part := range test.parts {
				if !strings.Contains(out, part) {
					t.Errorf("%q is not in\n%s", part, out)
				}
			}
		})
	}
}

// The servers of a herd that is written to never look the same, and all is well.
func TestStatusOfAHerdThatMoves(t *testing.T) {
	var asked atomic.Uint64
	out, code := statusOf(t, map[string]http.HandlerFunc{
		"Alford": answers(twoWell()["Alford"]),
		"Ball": func(w http.ResponseWriter, r *http.Request) {
			s := twoWell()["Ball"]
			s.Tail += asked.Add(1)
			s.Digest = fmt.Sprintf("%016x", s.Tail)
			answers(s)(w, r)
		},
	})
	if code != 0 || strings.Contains(out, "do not hold the same") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestStatusWithoutAnswers(t *testing.T) {
	well := twoWell()
	for want, ball := range map[string]http.HandlerFunc{
		"no: 503 Service Unavailable from 127.0.0.1": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) },
		"no: console at 127.0.0.1":                   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no: Alford answers at 127.0.0.1":            answers(well["Alford"]),
	} {
		out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": answers(well["Alford"]), "Ball": ball})
		if code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "1 of 2 answered") {
			t.Errorf("exit code %d, want 1 and %q in\n%s", code, want, out)
		}
	}
}

// A server that has no console cannot be asked, and that alone is no fault.
func TestStatusWithoutConsoles(t *testing.T) {
	out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": answers(twoWell()["Alford"])})
	if code != 0 || !strings.Contains(out, "no: no console in herd.toml") || !strings.Contains(out, "1 of 1 answered") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := statusOf(t, nil); code != 1 || !strings.Contains(out, "0 of 0 answered") {
		t.Errorf("no console at all: exit code %d\n%s", code, out)
	}
}

func TestStatusJSON(t *testing.T) {
	out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": answers(twoWell()["Alford"])}, "--json")
	var all []struct {
		Server, Error string
		Status        *struct {
			Records uint64
			Links   []struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all) != 2 ||
		all[0].Status == nil || all[0].Status.Records != 7 || all[0].Status.Links[0].State != "live" ||
		all[1].Server != "Ball" || all[1].Status != nil || all[1].Error == "" {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
}
