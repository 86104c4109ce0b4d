package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/places"
)

// twoWell is the status of a herd of two without problems.
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

// statusOf runs the command on a herd with the given consoles. A server without one has none in herd.toml.
func statusOf(t *testing.T, consoles map[string]http.HandlerFunc, args ...string) (out string, code int) {
	t.Helper()
	file, _ := consolesOf(t, consoles["Alford"], consoles["Ball"])
	var o, e bytes.Buffer
	code = run(append([]string{"status", "--config", file}, args...), nil, &o, &e)
	// Standard error lists the servers that did not answer, if any, in one line.
	failed := regexp.MustCompile(`(?m)  (no|bad) answer$|"error": `).FindAllString(o.String(), -1)
	without := strings.Count(o.String(), `"error": "no console in herd.toml"`)
	if strings.Count(e.String(), "\n") != min(1, len(failed)-without) || strings.ContainsAny(e.String(), "\x1b\u009b\u202e\t") {
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
			[]string{"ucla: 2 of 2 answered, no problems\n", "Alford     34s    1/1        7        0        -  in sync\n"}},
		{"another engine", func(all map[string]*herd.Status) { all["Ball"].Engine = "owner" }, 0,
			[]string{"Ball: engine owner is for comparison only\n"}},
		{"lookups that cannot be counted", func(all map[string]*herd.Status) {
			all["Ball"].Places = &places.Report{Network: &places.NetworkReport{
				Budget: places.BudgetReport{Error: "mkdir state: not a directory"},
			}}
		}, 1, []string{"Ball: lookups fail because the daily budget cannot be saved: mkdir state: not a directory\n"}},
		{"a places file that was refused", func(all map[string]*herd.Status) {
			all["Ball"].Places = &places.Report{File: &places.FileReport{Refused: &time.Time{}, Error: "line 3"}}
		}, 1, []string{"the changed file is invalid: line 3\n"}},
		{"a log that goes nowhere", func(all map[string]*herd.Status) {
			all["Ball"].Log.Error = "log file: it is a symbolic link"
		}, 1, []string{"Ball: log error: log file: it is a symbolic link\n"}},
		{"a journal that is behind", func(all map[string]*herd.Status) {
			all["Ball"].Journal = &herd.JournalStatus{Behind: 3, Late: 2, Error: "no space left on device"}
		}, 1, []string{"Ball: journal behind by 3 records, 2 s: no space left on device\n"}},
		{"a journal with an error", func(all map[string]*herd.Status) {
			all["Ball"].Journal = &herd.JournalStatus{Error: "read-only file system"}
		}, 1, []string{"Ball: journal error: read-only file system\n"}},
		{"a journal that was lost", func(all map[string]*herd.Status) {
			all["Ball"].Journal = &herd.JournalStatus{OK: true, Losses: 2}
		}, 0, []string{"Ball: journal lost and rewritten 2 times\n"}},
		{"a bridge that is down", func(all map[string]*herd.Status) {
			all["Ball"].Bridge = &herd.BridgeStatus{State: herd.BridgeDown, Error: "no servers available"}
		}, 1, []string{"Ball: bridge down: no servers available\n"}},
		{"a bridge to a full bucket", func(all map[string]*herd.Status) {
			all["Ball"].Bridge = &herd.BridgeStatus{State: herd.BridgeLive, Error: "the bucket refuses records"}
		}, 1, []string{"Ball: bridge live, last error: the bucket refuses records\n"}},
		{"a bridge that is well", func(all map[string]*herd.Status) {
			all["Ball"].Bridge = &herd.BridgeStatus{State: herd.BridgeLive, Behind: 1200}
		}, 0, []string{"no problems\n", "\nBall: bridge live, 1,200 records behind\n"}},
		{"foreign entries in the bucket", func(all map[string]*herd.Status) {
			all["Ball"].Bridge = &herd.BridgeStatus{State: herd.BridgeLive, Invalid: 1, Future: 2}
		}, 0, []string{"Ball: 1 invalid entry read from the bucket\n", "Ball: 2 entries of the bucket ahead of the clock by more than max_future\n"}},
		{"a bucket that cannot be asked", func(all map[string]*herd.Status) {
			all["Ball"].Asks = &herd.AskStatus{Error: "connection refused", Busy: 1}
		}, 1, []string{"Ball: the bucket does not answer: connection refused\n", "Ball: 1 WHATSAT did not ask the bucket because too many did\n"}},
		{"acknowledged late", func(all map[string]*herd.Status) { all["Ball"].Links[0].Behind = 5 }, 0,
			[]string{"Alford     34s    1/1        7        0        -  in sync\n"}},
		{"behind", func(all map[string]*herd.Status) {
			all["Ball"].Links[0].Behind, all["Ball"].Digest, all["Ball"].Records, all["Ball"].Tail = 1052, "", 2000, 2000
		}, 1, []string{"-  catching up (1,052 behind)\n"}},
		{"down", func(all map[string]*herd.Status) {
			all["Ball"].Links[0].State, all["Ball"].Links[0].Error = "down", "connection refused\x1b"
		}, 1, []string{"0/1", "Ball: link to Alford is down: connection refused\\x1b\n"}},
		{"one way", func(all map[string]*herd.Status) { all["Alford"].Links[0].Receiving = false }, 1,
			[]string{"Alford: no link from Ball"}},
		{"plain", func(all map[string]*herd.Status) {
			all["Alford"].Links[0] = herd.LinkStatus{Neighbor: "Ball", State: "plain"}
		}, 0, []string{"Alford     34s    1/1"}},
		{"links that make no progress", func(all map[string]*herd.Status) {
			c := &all["Ball"].Counters
			c.OtherProtocols, c.LinksUnacknowledged, c.LinksUnread, c.LinksGarbled = 1, 2, 3, 4
		}, 0, []string{
			"Ball: 1 connection closed because of another protocol\n",
			"Ball: 2 links closed because the neighbor sent no ACK\n",
			"Ball: 3 links closed because the neighbor did not read\n",
			"Ball: 4 links closed because of bad lines from the neighbor\n",
		}},
		{"open beyond loopback", func(all map[string]*herd.Status) {
			all["Ball"].OpenBeyondLoopback = []string{"clients", "console"}
		}, 0, []string{"no problems\n", "- Ball: open to other machines without a token: clients, console\n"}},
		{"tokens that could not be read again", func(all map[string]*herd.Status) {
			all["Ball"].Tokens = &herd.TokensStatus{Count: 1, Error: "clients.tokens: tokens.toml:2: not valid TOML"}
		}, 1, []string{"Ball: serving the tokens read at ", "; the changed file is invalid: clients.tokens: tokens.toml:2: not valid TOML\n"}},
		{"certificates that could not be read again", func(all map[string]*herd.Status) {
			all["Ball"].TLS = &herd.TLSStatus{Expires: all["Ball"].Now.Add(30 * 24 * time.Hour), Error: "tls.cert: no such file"}
		}, 1, []string{"Ball: serving the old certificate; the changed files are invalid: tls.cert: no such file\n"}},
		{"a certificate that is valid for long", func(all map[string]*herd.Status) {
			all["Ball"].TLS = &herd.TLSStatus{Expires: all["Ball"].Now.Add(7 * 24 * time.Hour)}
		}, 0, []string{"no problems\n"}},
		{"a certificate that expires soon", func(all map[string]*herd.Status) {
			for _, s := range all {
				s.TLS = &herd.TLSStatus{Expires: s.Now.Add(7*24*time.Hour - time.Second)}
			}
		}, 1, []string{"1 problem\n", "\n! Alford, Ball: the certificate expires at 2018-03-09 ", ": replace it, as herd cert --force does\n"}},
		{"a certificate that has expired", func(all map[string]*herd.Status) {
			all["Ball"].TLS = &herd.TLSStatus{Expires: all["Ball"].Now}
		}, 1, []string{"\n! Ball: the certificate has expired at 2018-03-02 ", ", and is refused: replace it, as herd cert --force does\n"}},
		{"TLS that failed", func(all map[string]*herd.Status) {
			c := &all["Ball"].Counters
			c.TLSFailed, c.TLSMissing, c.ProxyRefused = 1, 2, 3
		}, 0, []string{"Ball: 1 TLS handshake failed\n", "Ball: 2 clients refused without TLS\n",
			"Ball: 3 connections of a proxy refused without a PROXY header\n"}},
		{"tokens that were refused", func(all map[string]*herd.Status) {
			c := &all["Ball"].Counters
			c.TokensRefused, c.TokensLate, c.TokensMissing, c.RightsRefused = 1, 2, 3, 4
			c.LimitConnections, c.LimitLines, c.LimitUpdates, c.LimitWhatsats = 5, 6, 7, 8
		}, 0, []string{
			"Ball: 1 connection closed because of an unknown or expired token\n",
			"Ball: 2 connections closed because no token came in time\n",
			"Ball: 3 lines rejected because no token was shown\n",
			"Ball: 4 lines rejected because of the rights of the token\n",
			"Ball: 5 connections closed because of the limit of an address or a token\n",
			"Ball: 6 lines rejected because an address or a token sent too many\n",
			"Ball: 7 updates rejected by updates_per_client\n",
			"Ball: 8 WHATSATs rejected because an address or a token sent too many\n",
		}},
		{"diverged", func(all map[string]*herd.Status) {
			since := time.Unix(1520023930, 0)
			all["Ball"].Links[0].DivergedSince = &since
		}, 1, []string{"-  diverged since ", "Ball: records differ from Alford since "}},
		{"a wrong clock", func(all map[string]*herd.Status) {
			all["Ball"].Links[0].Clock = &herd.ClockStatus{Ahead: -7200.0004, Uncertainty: 0.001, Wrong: true}
		}, 1, []string{"Ball: the clock of Alford is 2h0m0s behind this server's\n"}},
		{"a clock that is right", func(all map[string]*herd.Status) {
			all["Ball"].Links[0].Clock = &herd.ClockStatus{Ahead: 29 * 60, Uncertainty: 0.001}
		}, 0, nil},
		{"two processes", func(all map[string]*herd.Status) { all["Ball"].Links[0].Duplicate = "refused" }, 1,
			[]string{"Ball: two processes use the name Alford: one of them is rejected\n"}},
		{"one of two processes left", func(all map[string]*herd.Status) { all["Ball"].Links[0].Duplicate = "taken back" }, 1,
			[]string{"Ball: two processes use the name Alford: the replaced one was accepted again"}},
		{"full", func(all map[string]*herd.Status) {
			all["Ball"].Digest, all["Ball"].Records = "full", 3
			all["Alford"].Links[0].Agreement = "full"
		}, 1, []string{"-  full: lacks records\n", "-  a neighbor is full\n", "Ball: full: records were dropped; raise max_clients\n",
			"Alford: Ball is full: it dropped records\n"}},
		{"a neighbor that is full", func(all map[string]*herd.Status) {
			all["Alford"].Links[0].Agreement = "full" // it may have no console
		}, 1, []string{"-  a neighbor is full\n", "Alford: Ball is full: it dropped records\n"}},
		{"compared long ago", func(all map[string]*herd.Status) {
			long := time.Unix(1520023800, 0)
			all["Ball"].Links[0].Checked = &long
			all["Alford"].Digest = "full"
		}, 1, []string{"compared 2m14s ago\n"}},
		{"one neighbor of two compared", func(all map[string]*herd.Status) {
			all["Ball"].Links = append(all["Ball"].Links, herd.LinkStatus{Neighbor: "Welsh", State: "live", Receiving: true})
		}, 0, []string{"not compared\n"}},
		{"different", func(all map[string]*herd.Status) { all["Ball"].Digest = "0000000000000000" }, 1,
			[]string{"! the servers do not have the same records\n"}},
		{"troubled", func(all map[string]*herd.Status) {
			all["Ball"].Counters = herd.Counters{LogDropped: 3, OutputLimits: 1}
		}, 0, []string{"\n\n- Ball: 3 log entries dropped\n- Ball: 1 client disconnected by output_hard or output_soft\n"}},
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
			out = strings.ReplaceAll(out, "\n  ", " ") // wrapped lines
			for _, part := range test.parts {
				if !strings.Contains(out, part) {
					t.Errorf("%q is not in\n%s", part, out)
				}
			}
		})
	}
}

// Digests that differ because of updates in progress are not a problem.
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
	if code != 0 || strings.Contains(out, "do not have the same") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestStatusWithoutAnswers(t *testing.T) {
	well := twoWell()
	for want, ball := range map[string]http.HandlerFunc{
		"! Ball: 503 Service Unavailable from 127.0.0.1": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) },
		"! Ball: console at 127.0.0.1":                   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"! Ball: the console at 127.0.0.1":               answers(well["Alford"]),
	} {
		out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": answers(well["Alford"]), "Ball": ball})
		if code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "1 of 2 answered") {
			t.Errorf("exit code %d, want 1 and %q in\n%s", code, want, out)
		}
	}
}

// A server without a console is not a problem.
func TestStatusWithoutConsoles(t *testing.T) {
	out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": answers(twoWell()["Alford"])})
	if code != 0 || !strings.Contains(out, "no console in herd.toml") || !strings.Contains(out, "1 of 1 answered, no problems") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := statusOf(t, nil); code != 1 || !strings.Contains(out, "0 of 0 answered, no server has a console in herd.toml") {
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

// Control characters and line ends from a console, even in the HTTP reason, are escaped.
func TestStatusOfAHostileConsole(t *testing.T) {
	const hostile = "\x1b[2J\u009b31m\u202e\t\nAlford  127.0.0.1:1"
	s := twoWell()["Alford"]
	fillStrings(reflect.ValueOf(s).Elem(), hostile)
	s.Server = "Alford"
	reason := func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprint(c, "HTTP/1.1 500 \x1b[2J\u009b\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		}
	}
	garbage := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{\"\x1b[2J\":1}\x1b[2J") }
	name := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"server":"\u001b[2J\u009b"}`) }
	for what, console := range map[string]http.HandlerFunc{
		"status": answers(s), "reason": reason, "garbage": garbage, "name": name,
	} {
		out, code := statusOf(t, map[string]http.HandlerFunc{"Alford": console, "Ball": console})
		if code != 1 || strings.ContainsAny(out, "\x1b\u009b\u202e\t") || strings.Count(out, "\nAlford ") > 2 {
			t.Errorf("%s: exit code %d, %q", what, code, out)
		}
	}
}

// fillStrings sets all strings in v to text.
func fillStrings(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() {
			fillStrings(v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillStrings(v.Field(i), text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fillStrings(v.Index(i), text)
		}
	}
}

// On a terminal control characters are escaped, even if a write ends within a character; a pipe gets every
// byte.
func TestOutput(t *testing.T) {
	const text = "kiwi\x1b[2J \u009b\u202e\xff caf\u00e9 \u6771\n\ttab \xe6\x9d"
	const shown = `kiwi\x1b[2J \u009b\u202e\xff caf` + "\u00e9 \u6771\n\ttab "
	for size := range len(text) {
		var terminal, pipe bytes.Buffer
		a, b := &output{w: &terminal, terminal: true}, &output{w: &pipe}
		for rest := text; rest != ""; {
			part := rest[:min(size+1, len(rest))]
			rest = rest[len(part):]
			for _, o := range []*output{a, b} {
				if n, err := io.WriteString(o, part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		if terminal.String() != shown || pipe.String() != text {
			t.Errorf("pieces of %d: %q, %q", size+1, &terminal, &pipe)
		}
	}
}

// An error of the log file at run time is reported until it is fixed.
func TestStatusOfALogThatGoesNowhere(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	name := filepath.Join(h.Dir, "logs", "server-Alford.log")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", name); err != nil {
		// The server checks every second and may have created the file in between.
		if err := errors.Join(os.Remove(name), os.Symlink("elsewhere", name)); err != nil {
			t.Fatal(err)
		}
	}
	processtest.Eventually(t, "it is noticed", func() bool { return h.Status("Alford").Log.Error != "" })
	const want = "! Alford: log error: log file: "
	if out, _, code := h.Command("", "status"); code != 1 || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
		t.Errorf("exit code %d, %q is not in\n%s", code, want, out)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "it is well again", func() bool { return h.Status("Alford").Log.Error == "" })
	if out, _, code := h.Command("", "status"); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Only servers with another engine than the first are remarked on.
func TestDefaultEngine(t *testing.T) {
	if view.DefaultEngine != engines.Names[0] {
		t.Errorf("%s is not %s", view.DefaultEngine, engines.Names[0])
	}
}
