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
	"testing"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/e2e/processtest"
)

func TestReady(t *testing.T) {
	says := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				code = http.StatusTeapot
			}
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}
	ready := says(200, "ready\n")
	for name, test := range map[string]struct {
		alford, ball http.HandlerFunc // nil: no console
		args         []string
		code         int
		want         string // AT is Ball's console
	}{
		"all":         {ready, ready, nil, 0, "Alford: ready\nBall: ready\n"},
		"one is not":  {ready, says(503, "not ready: copying from Alford\n"), nil, 1, "Alford: ready\nBall: not ready: copying from Alford\n"},
		"the other":   {ready, says(503, "not ready: x\n"), []string{"Alford"}, 0, "Alford: ready\n"},
		"this one":    {ready, says(503, "not ready: x\n"), []string{"Ball"}, 1, "Ball: not ready: x\n"},
		"a journal":   {ready, says(200, "ready\njournal: behind by 3 records: disk full\n"), []string{"Ball"}, 0, "Ball: ready: journal: behind by 3 records: disk full\n"},
		"no console":  {ready, nil, nil, 0, "Alford: ready\nBall: unknown: no console in herd.toml\n"},
		"none at all": {nil, nil, nil, 1, "Alford: unknown: no console in herd.toml\nBall: unknown: no console in herd.toml\n"},
		"a stuck loop": {ready, says(503, "the event loop did not answer within 2 s\n"), []string{"Ball"}, 1,
			"Ball: not ready: the event loop did not answer within 2 s\n"},
		"garbage":       {ready, says(200, "<html>"), []string{"Ball"}, 1, "Ball: not ready: bad answer from AT\n"},
		"nothing":       {ready, says(200, ""), []string{"Ball"}, 1, "Ball: not ready: bad answer from AT\n"},
		"another error": {ready, says(500, "ready\n"), []string{"Ball"}, 1, "Ball: not ready: bad answer from AT\n"},
		"hostile":       {ready, says(503, "\x1b[2J\u202e\t\r\n"), []string{"Ball"}, 1, `Ball: not ready: \x1b[2J\u202e\t\r` + "\n"},
		"silent": {ready, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"Ball", "--timeout", "20ms"}, 1,
			"Ball: not ready: no answer at AT within 20ms\n"},
		"endless": {ready, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}, []string{"Ball"}, 1, "Ball: not ready: bad answer from AT\n"},
	} {
		file, at := consolesOf(t, test.alford, test.ball)
		var out, errOut bytes.Buffer
		code := run(append([]string{"ready", "--config", file}, test.args...), nil, &out, &errOut)
		if want := strings.ReplaceAll(test.want, "AT", at); code != test.code || out.String() != want || errOut.String() != "" {
			t.Errorf("%s: exit code %d, want %d\n%s%swant\n%s", name, code, test.code, &out, &errOut, want)
		}
		out.Reset()
		var all []ask.Readiness
		again := run(append([]string{"ready", "--config", file, "--json"}, test.args...), nil, &out, &errOut)
		if err := json.Unmarshal(out.Bytes(), &all); err != nil || again != test.code || len(all) != strings.Count(test.want, "\n") {
			t.Errorf("%s: exit code %d, %v\n%s", name, again, err, &out)
		}
	}
}

// Without a NAME, serve and ready take the server of $HERD_SERVER, if it is not empty.
func TestServerOfTheEnvironment(t *testing.T) {
	ready := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ready\n") }
	file, at := consolesOf(t, ready, ready)
	const unknown = `herd: $HERD_SERVER: unknown server "Kiwi\x1b"; servers in herd.toml: Alford, Ball` + "\n"
	inUse := "herd: console of Ball cannot listen: listen tcp " + at + ": bind: address already in use\n"
	for _, test := range []struct {
		variable string
		args     []string
		code     int
		want     string
	}{
		{"Ball", []string{"ready"}, 0, "Ball: ready\n"},
		{"Ball", []string{"ready", "Alford"}, 0, "Alford: ready\n"},
		{"", []string{"ready"}, 0, "Alford: ready\nBall: ready\n"},
		{"Kiwi\x1b", []string{"ready", "Alford"}, 0, "Alford: ready\n"},
		{"Kiwi\x1b", []string{"ready"}, exitUsage, unknown},
		{"Kiwi\x1b", []string{"serve"}, exitUsage, unknown},
		{"", []string{"serve"}, exitUsage, "herd: no server: name one, or set $HERD_SERVER; see herd serve --help\n"},
		{"Kiwi", []string{"serve", ""}, exitUsage, `herd: unknown server ""; servers in herd.toml: Alford, Ball` + "\n"},
		{"Ball", []string{"serve", "--config", file}, exitFailed, inUse},
		{"Alford", []string{"serve", "Ball", "--config", file}, exitFailed, inUse},
	} {
		t.Run(test.variable+" "+strings.Join(test.args, " "), func(t *testing.T) {
			t.Setenv("HERD_SERVER", test.variable)
			t.Setenv("HERD_CONFIG", file)
			out, errOut, code := processtest.Command(t, t.TempDir(), "", test.args...)
			if got := out + errOut; code != test.code || !strings.HasSuffix(got, test.want) {
				t.Errorf("exit code %d, want %d; %s", code, test.code, got)
			}
		})
	}
}

// consolesOf writes a herd.toml for two servers with the given consoles, nil for none, and returns it and the
// address of the second console.
func consolesOf(t *testing.T, consoles ...http.HandlerFunc) (file, last string) {
	t.Helper()
	var text strings.Builder
	for i, console := range consoles {
		fmt.Fprintf(&text, "[[server]]\nname = %q\naddress = \"127.0.0.1:%d\"\n", []string{"Alford", "Ball"}[i], i+1)
		if console != nil {
			s := httptest.NewServer(console)
			t.Cleanup(s.Close)
			last = s.Listener.Addr().String()
			fmt.Fprintf(&text, "console = %q\n", last)
		}
	}
	file = filepath.Join(t.TempDir(), "herd.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, last
}
