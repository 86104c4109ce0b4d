package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// hostileIDs are ids that a shell, a terminal or a parser could take for something else.
var hostileIDs = []string{
	"kiwi", "\x00", "\x1b[31mred", "\xff\xfe", "a\"b\\c", "{", "{\"id\":1}", "a&b=c#d%41+", "<img\u00a0src=x>", "-", "é",
	strings.Repeat("\x01", protocol.MaxClientID),
}

// moved returns client, coords and time of each line of an export.
func moved(t *testing.T, text string) (all []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r console.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, fmt.Sprintf("%q %s %s", r.Base64, r.Coords, r.Time))
	}
	slices.Sort(all)
	return all
}

// What one herd exports, another one reads back: all clients, with any bytes in their ids.
func TestExportIsReadBack(t *testing.T) {
	t.Parallel()
	one := processtest.StartHerd(t, "", "Alford")
	other := processtest.StartHerd(t, "", "Ball")
	var in bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&in, "IAMAT c%d +34.068930-118.445127 1520023934.%09d1\n", i, i)
	}
	for _, id := range hostileIDs {
		fmt.Fprintf(&in, "IAMAT %s -33.9+18.4 1520023934\n", id)
	}
	one.Ask("Alford", in.String())
	want := 3000 + len(hostileIDs)
	out, errOut, code := one.Command("", "export")
	exported := moved(t, out)
	if code != 0 || errOut != "" || len(exported) != want {
		t.Fatalf("exit code %d, %q, %d records, want %d", code, errOut, len(exported), want)
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		t.Errorf("an unprintable byte in %q", out[max(0, i-50):i+1])
	}
	acks, errOut, code := other.Command(out, "iamat", "-")
	if code != 0 || errOut != "" || strings.Count(acks, "AT Ball ") != want {
		t.Fatalf("exit code %d, %q, %d replies", code, errOut, strings.Count(acks, "AT Ball "))
	}
	out, _, code = other.Command("", "export", "--at", "Ball")
	if again := moved(t, out); code != 0 || !slices.Equal(again, exported) {
		t.Errorf("exit code %d, %d records, and not the same", code, len(again))
	}
	out, _, code = one.Command("", "export", "--prefix", "c299")
	if got := moved(t, out); code != 0 || len(got) != 11 {
		t.Errorf("exit code %d, %d records with the prefix", code, len(got))
	}
	for _, id := range hostileIDs {
		if strings.Contains(id, "\x00") {
			continue // no argument can have it
		}
		out, errOut, code := one.Command("", "client", "--json", id)
		var got console.ClientStatus
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || string(got.Base64) != id || got.Source != "client" {
			t.Errorf("%.60q: exit code %d, %.200s%.200s, %v", id, code, out, errOut, err)
		}
		out, errOut, code = one.Command("", "client", id)
		if code != 0 || strings.ContainsFunc(out, func(r rune) bool { return r < ' ' && r != '\n' || r == 0xfffd }) || strings.Count(out, "\n") != 6 {
			t.Errorf("%.60q: exit code %d, %.200q%.200q", id, code, out, errOut)
		}
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for _, test := range []struct {
		args string
		code int
		want string // a part of standard error
	}{
		{"client nobody", 1, "herd: Alford does not know nobody\n"},
		{"client \x1b[31m", 1, `herd: Alford does not know \x1b[31m`},
		{"client", 2, "usage: herd client ID"},
		{"client a b", 2, "usage: herd client ID"},
		{"client " + strings.Repeat("x", 1025), 2, "client id: longer than 1024 bytes"},
		{"client kiwi --at Ball", 2, `unknown server "Ball"`},
		{"client kiwi --at 127.0.0.1:1", 2, "--at: want a server's name, got 127.0.0.1:1"},
		{"export --at Ball", 2, `unknown server "Ball"`},
		{"export kiwi", 2, "usage: herd export"},
		{"export --prefix=", 2, "--prefix: want the beginning of a client id"},
	} {
		out, errOut, code := h.Command("", strings.Fields(test.args)...)
		if out != "" || code != test.code || !strings.Contains(errOut, test.want) {
			t.Errorf("%.40s: exit code %d, %q, %q", test.args, code, out, errOut)
		}
	}
	if _, errOut, code := h.Command("", "client", "a b"); code != 2 || !strings.Contains(errOut, "client id: contains white space") {
		t.Errorf("white space: exit code %d, %q", code, errOut)
	}
}

// What a client's clock and a console's strings may be.
func TestClientInWords(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)
	c := &console.ClientStatus{Server: "Ball", Now: noon, Age: 3725, AT: "AT \\x1b", Record: console.Record{
		ClientID: console.ClientID{ID: `\x1b`}, Time: "1772445475", Lat: -33.9, Lng: 18.4, Origin: "Alford", Diff: "+0.25",
		Applied: noon.Add(-time.Hour), Source: "neighbor", Neighbor: "Welsh",
	}}
	for _, test := range []struct {
		change func()
		want   string // a line
	}{
		{func() {}, "client    \\x1b"},
		{func() {}, "position  -33.900000,18.400000"},
		{func() {}, "age       1h2m (time 1772445475)"},
		{func() {}, "told      Alford at 10:57:55.250 ZONE, 250 ms after its time"},
		{func() {}, "stored    at Ball since 11:00:00.000 ZONE, from Welsh"},
		{func() { c.Neighbor = "" }, "stored    at Ball since 11:00:00.000 ZONE, from a neighbor"},
		{func() { c.Source = "journal" }, "stored    at Ball since 11:00:00.000 ZONE, from the journal"},
		{func() { c.Source = "bucket" }, "stored    at Ball since 11:00:00.000 ZONE, from the bucket"},
		{func() { c.Source = "client" }, "stored    at Ball since 11:00:00.000 ZONE, from the client"},
		{func() { c.Age, c.Diff = -2, "-2.5" }, "age       2s in the future (time 1772445475)"},
		{func() {}, "told      Alford at 11:59:59.500 ZONE, 2.5 s before its time"},
		{func() { c.Age, c.Diff = 3, "+0.000057638" }, "told      Alford at 11:59:57.000 ZONE, 0.058 ms after its time"},
		{func() { c.Age, c.Diff = 3, "+0.000000001" }, "told      Alford at 11:59:57.000 ZONE, 0 ms after its time"},
		{func() { c.Age, c.Diff = 5e9, "+4999999990" }, "told      Alford at 11:59:50.000 ZONE, 57870d after its time"},
		{func() { c.Applied = noon.Add(-24 * time.Hour) }, "stored    at Ball since 2026-03-01 12:00:00 ZONE, from the client"},
		{func() { c.Age, c.Diff = 1e300, "1e300" }, "told      Alford, long before or after its time"},
		{func() { c.Diff, c.Origin = "\x1b", "\x1b[31m\n" }, `told      \x1b[31m\n, long before or after its time`},
	} {
		test.change()
		test.want = strings.ReplaceAll(test.want, "ZONE", noon.Format("MST"))
		var out bytes.Buffer
		if err := printClient(&out, c); err != nil || !slices.Contains(strings.Split(out.String(), "\n"), test.want) {
			t.Errorf("%v: no line %q in\n%s", err, test.want, &out)
		}
	}
}

// Without a console in herd.toml, or with one that is down or is something else, both commands fail in one line.
func TestExportFromBadConsoles(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(nil)
	down.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"down": nil, "none": nil,
		"HTML": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[31m") },
		"another": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"server":"Ball","epoch":"1","after":0}`+"\n")
		},
		"empty": func(http.ResponseWriter, *http.Request) {},
		"long":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2<<20)) },
		"error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"\u001b[31m"}`, http.StatusServiceUnavailable)
		},
	} {
		addr := down.Listener.Addr().String()
		if handler != nil {
			s := httptest.NewServer(handler)
			defer s.Close()
			addr = s.Listener.Addr().String()
		}
		text := "[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\nneighbors = []\n"
		if name != "none" {
			text += "console = \"" + addr + "\"\n"
		}
		file := filepath.Join(t.TempDir(), "herd.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"export"}, {"client", "kiwi"}} {
			var out, errOut bytes.Buffer
			code := run(append(args, "--config", file), strings.NewReader(""), &out, &errOut)
			if code != 1 || out.Len() > 0 || strings.Count(errOut.String(), "\n") != 1 || strings.Contains(errOut.String(), "\x1b") {
				t.Errorf("%s, %s: exit code %d, %.200q, %.200q", name, args[0], code, out.String(), errOut.String())
			}
		}
	}
}

// Lines of an export are requests with any bytes in the id, and never more than one request each.
func TestIamatOfAnExport(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line + "\n\n" }))
	const good = `{"id":"a","id_b64":"YQ==","coords":"+1-1","time":"5","lat":1,"lng":-1,"seq":7}` + "\n"
	for _, c := range []struct{ bad, want string }{ // want: none is no mistake
		{`{"server":"Alford","epoch":"1","after":0,"records":2}`, ""},
		{`{"server":"Alford","epoch":"1","after":7,"records":2,"complete":true}`, ""},
		{`{}`, "id_b64 is missing, or contains white space"},
		{`{"id":"a","coords":"+1-1","time":"5"}`, "id_b64 is missing"},
		{`{"id_b64":"YQ==","time":"5"}`, "coords is missing"},
		{`{"id_b64":"YQ==","coords":"+1-1"}`, "time is missing"},
		{`{"id_b64":"YSBi","coords":"+1-1","time":"5"}`, "id_b64 is missing, or contains white space"},
		{`{"id_b64":"YQpi","coords":"+1-1","time":"5"}`, "id_b64 is missing, or contains white space"},
		{`{"id_b64":"YQ==","coords":"+1-1","time":"5\nIAMAT b +1-1 5"}`, "time is missing, or contains white space"},
		{`{"id_b64":"YQ==","coords":" +1-1","time":"5"}`, "coords is missing, or contains white space"},
		{`{"id_b64":"?","coords":"+1-1","time":"5"}`, "not a line of herd export: illegal base64"},
		{`{"id_b64":7,"coords":"+1-1","time":"5"}`, "not a line of herd export: json"},
		{`{"id_b64"}`, "not a line of herd export: invalid character"},
	} {
		out, errOut, code := runAt(addr, good+c.bad+"\n"+"{\"x\": +2-2 6\n", "iamat", "-")
		if c.want == "" {
			if out != "AT IAMAT a +1-1 5\nAT IAMAT {\"x\": +2-2 6\n" || code != 0 {
				t.Errorf("%s: exit code %d, %q, %q", c.bad, code, out, errOut)
			}
		} else if out != "AT IAMAT a +1-1 5\n" || code != 1 || !strings.Contains(errOut, "line 2: "+c.want) {
			t.Errorf("%s: exit code %d, %q, %q, want %q", c.bad, code, out, errOut, c.want)
		}
	}
}

// script answers one request for /clients.ndjson after the other.
type script struct {
	t       *testing.T
	answers []func(w http.ResponseWriter, after string)
	epoch   string // as /status.json says
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/status.json" {
		fmt.Fprintf(w, `{"server":"Alford","epoch":%q}`, s.epoch)
		return
	}
	if len(s.answers) == 0 {
		s.t.Errorf("one more request: %s", r.URL)
		return
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	next(w, r.URL.Query().Get("after"))
}

// part writes an answer of records from to to, complete or not.
func part(t *testing.T, epoch, after string, from, to int, complete bool) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, got string) {
		if got != after {
			t.Errorf("after=%s, want %s", got, after)
		}
		mark := fmt.Sprintf(`{"server":"Alford","epoch":%q,"after":%d,"records":9`, epoch, to)
		fmt.Fprintln(w, mark+"}")
		for i := from; i <= to; i++ {
			fmt.Fprintf(w, `{"id":"c%d","id_b64":"YQ==","seq":%d}`+"\n", i, i)
		}
		if complete {
			fmt.Fprintln(w, mark+`,"complete":true}`)
		} else {
			fmt.Fprint(w, `{"id":"cut`)
		}
	}
}

// exportFrom runs an export from a console and returns which records it wrote.
func exportFrom(t *testing.T, handler http.Handler, timeout time.Duration) (ids []string, err error) {
	t.Helper()
	s := httptest.NewServer(handler)
	defer s.Close()
	var out bytes.Buffer
	e := &export{
		server: config.Server{Name: "Alford", Console: s.Listener.Addr().String()}, client: ask.New(ask.Options{}),
		timeout: timeout, pause: time.Millisecond, out: bufio.NewWriter(&out), say: func(string) {},
	}
	err = e.run(t.Context())
	for line := range strings.Lines(out.String()) {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		ids = append(ids, r.ID)
	}
	return ids, err
}

// An export whose connection breaks continues behind the last record. If the server was restarted, it begins again.
func TestExportContinues(t *testing.T) {
	for name, test := range map[string]struct {
		answers []func(http.ResponseWriter, string)
		epoch   string
		want    string
		err     string
	}{
		"at once": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 3, true)}, "1", "[c1 c2 c3]", ""},
		"broken": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 2, false), part(t, "1", "2", 3, 2, false),
			part(t, "1", "2", 3, 4, true)}, "1", "[c1 c2 c3 c4]", ""},
		"often broken": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 1, false), part(t, "1", "1", 2, 2, false),
			part(t, "1", "2", 3, 3, false), part(t, "1", "3", 4, 4, false), part(t, "1", "4", 5, 5, false),
			part(t, "1", "5", 6, 6, true)}, "1", "[c1 c2 c3 c4 c5 c6]", ""},
		"restarted": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 3, false), part(t, "2", "0", 1, 2, true)},
			"2", "[c1 c2 c3 c1 c2]", ""},
		"restarted before a record": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 0, false), part(t, "2", "0", 1, 2, true)},
			"2", "[c1 c2]", ""},
		"restarted between two questions": {[]func(http.ResponseWriter, string){part(t, "1", "0", 1, 3, false),
			part(t, "2", "3", 4, 5, true), part(t, "1", "3", 4, 4, true)}, "1", "[c1 c2 c3 c4]", ""},
		"backward": {[]func(http.ResponseWriter, string){part(t, "1", "0", 3, 4, false), part(t, "1", "4", 4, 5, true),
			part(t, "1", "4", 5, 5, true)}, "1", "[c3 c4 c5]", ""},
		"for ever broken": {slices.Repeat([]func(http.ResponseWriter, string){part(t, "1", "0", 1, 0, false)}, exportAttempts),
			"1", "[]", "Alford: console at"},
	} {
		s := &script{t, test.answers, test.epoch}
		ids, err := exportFrom(t, s, time.Minute)
		if fmt.Sprint(ids) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) || len(s.answers) > 0 {
			t.Errorf("%s: %v, %v, want %s; %d answers are left", name, ids, err, test.want, len(s.answers))
		}
	}
}

// A console that stops in the middle of an answer is not waited for.
func TestExportFromASilentConsole(t *testing.T) {
	asked := 0
	_, err := exportFrom(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprintln(w, `{"server":"Alford","epoch":"1"}`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}), 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "within 10ms; is the server running? see herd status; not complete: 0 records written") || asked != exportAttempts {
		t.Errorf("%v after %d requests", err, asked)
	}
}

// The progress of an export names the number of all clients, but of some it is unknown.
func TestExportProgress(t *testing.T) {
	for prefix, want := range map[string]string{"": "1 of 1,234 clients", "k": "1 record"} {
		said := ""
		e := &export{prefix: prefix, records: 1, known: 1234, say: func(text string) { said = text }}
		if e.progress(true); said != want {
			t.Errorf("prefix %q: %q, want %q", prefix, said, want)
		}
	}
}

// A server that is killed in the middle of an answer is said in our words.
func TestExportOfAServerThatIsKilled(t *testing.T) {
	_, err := exportFrom(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"server":"Alford","epoch":"1"}`)
		_ = http.NewResponseController(w).Flush()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	}), time.Minute)
	if want := "Alford: the server closed the connection; not complete: 0 records written"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
