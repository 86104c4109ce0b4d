package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/processtest"
	"serverherd/places"
	"serverherd/places/google/googletest"
)

// Everything that Google may do, at real servers with a marker for a key: one reply each, within the
// timeout; a bystander notices nothing; the next question is answered; and the key is nowhere.
func TestGooglesFaults(t *testing.T) {
	for _, d := range []googletest.Dialect{googletest.LegacyAPI, googletest.NewAPI} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			google := googletest.Start(t)
			// A refused key is asked again after a minute only, so there is a server for it alone.
			h, refused := startGoogle(t, d, google.URL), startGoogle(t, d, google.URL)
			bystander, err := askWithoutPause(h.Server("Alford").Address, "IAMAT kiwi +1.0+2.0 5\n")
			if err != nil {
				t.Fatal(err)
			}
			ask := func(h *processtest.Herd) string { return h.Ask("Alford", "WHATSAT puma 1 2\n") }
			for _, h := range []*processtest.Herd{h, refused} {
				h.Ask("Alford", "IAMAT puma +3.0+4.0 5\n")
			}
			// Trouble that passes is not seen by the client; and kilometres become metres.
			google.Set(googletest.InTurn(d.Status("UNKNOWN_ERROR"), googletest.Recorded))
			if reply := ask(h); !strings.HasPrefix(reply, "AT ") {
				t.Errorf("after one UNKNOWN_ERROR: %q", reply)
			}
			want := googletest.Question{Dialect: d, Query: places.Query{Lat: 3, Lng: 4, RadiusM: 1000}, Fields: askedFor(d)}
			if asked := google.Questions(); !reflect.DeepEqual(asked, []googletest.Question{want, want}) {
				t.Errorf("asked %+v, want twice %+v", asked, want)
			}
			seen := &bytes.Buffer{}
			for _, f := range d.Faults() {
				google.Set(f.Answer)
				reply := ask(h)
				if !strings.HasPrefix(reply, "> WHATSAT PLACES: "+f.Want) || strings.Count(reply, "\n") != 2 {
					t.Errorf("%s: the reply is %q, want %q", f.Name, reply, f.Want)
				}
				google.Set(nil)
				next := ask(h)
				if !strings.HasPrefix(next, "AT ") || !strings.Contains(next, `"status": "OK"`) {
					t.Errorf("after %s: %q", f.Name, next)
				}
				seen.WriteString(reply + next)
			}
			google.Set(d.Status("REQUEST_DENIED"))
			for _, want := range []string{
				"the answer was REQUEST_DENIED", string(d) + " refuses the key and is asked again after 1m0s",
			} {
				if reply := ask(refused); reply != "> WHATSAT PLACES: "+want+"\n\n" {
					t.Errorf("%q, want %s", reply, want)
				}
			}
			if bystander.asked.Load() == 0 {
				t.Error("the bystander was not answered at all")
			}
			close(bystander.stop)
			if err := <-bystander.failed; err != nil {
				t.Errorf("a bystander: %v", err)
			}
			look(t, h, seen)
			look(t, refused, seen)
			checkSecret(t, seen.Bytes(), googletest.Key)
		})
	}
}

// startGoogle starts a server that asks the scripted one, and logs all it can.
func startGoogle(t *testing.T, d googletest.Dialect, base string) *processtest.Herd {
	t.Helper()
	h, listeners := processtest.NewHerd(t, fmt.Sprintf("[places]\nprovider = %q\nbase_url = %q\n"+
		"key_file = \"key\"\ntimeout = \"1s\"\nfields = %s\n[log]\nlevel = \"debug\"\n", d, base, moreFields(d)), "Alford")
	if err := os.WriteFile(filepath.Join(h.Dir, "key"), []byte(googletest.Key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Flags = []string{"--pprof"}
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	return h
}

func moreFields(d googletest.Dialect) string {
	if d == googletest.NewAPI {
		return `["rating", "priceLevel"]`
	}
	return "[]"
}

// askedFor are all fields that it then asks for.
func askedFor(d googletest.Dialect) []string {
	if d == googletest.NewAPI {
		return append(slices.Clone(googletest.Fields), "rating", "priceLevel")
	}
	return nil
}

// look collects all that a server shows of itself, and ends it with a dump of its stacks.
func look(t *testing.T, h *processtest.Herd, seen *bytes.Buffer) {
	t.Helper()
	const name = "Alford"
	r := h.Running[name]
	for _, page := range []string{
		"/", "/status.json", "/healthz", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2",
	} {
		resp, err := http.Get("http://" + h.Server(name).Console + page)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(seen, resp.Body)
		resp.Body.Close()
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.Cmd.Process.Pid))
	if err != nil {
		t.Errorf("NOT RUN: the title of the process: %v", err)
	}
	seen.Write(title)
	if err := r.Cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	h.Wait(r)
	delete(h.Running, name)
	said := r.Stderr.String()
	if !strings.Contains(said, "goroutine ") {
		t.Errorf("no dump of the stacks in %q", said)
	}
	seen.WriteString(said)
	entries, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-"+name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(entries, []byte("places lookup")) {
		t.Error("the log has no lookups at level debug")
	}
	seen.Write(entries)
}

// checkSecret looks for a secret in every dress that it might wear.
func checkSecret(t *testing.T, text []byte, secret string) {
	t.Helper()
	low := bytes.ToLower(text)
	half := secret[len(secret)/2:]
	for what, form := range map[string]string{
		"plain": secret, "half": half, "hex": hex.EncodeToString([]byte(secret)),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)],
		"URL":    url.QueryEscape(secret), "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"bytes": strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	} {
		if i := bytes.Index(low, []byte(strings.ToLower(form))); i >= 0 {
			t.Errorf("the key, %s, is in %q", what, text[max(0, i-200):min(len(text), i+200)])
		}
	}
	if len(text) < 10_000 {
		t.Errorf("only %d bytes were looked at", len(text))
	}
}

// The key comes from a file that nobody else can read, or from the environment.
func TestKey(t *testing.T) {
	s := googletest.Start(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	foreign := httptest.NewTLSServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(foreign.Close)
	key := func(mode os.FileMode, text string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := key(0o600, googletest.Key+"\n")
	for _, c := range []struct{ name, env, file, base, want string }{
		{"from the environment", googletest.Key, "", s.URL, ""},
		{"from a file", "", good, s.URL, ""},
		{"none", "", "", s.URL, "a key is needed: set $GOOGLE_PLACES_API_KEY or places.key_file"},
		{"an empty file", googletest.Key, key(0o600, "\n"), s.URL, "a key is needed"},
		{"a file that others read", "", key(0o644, googletest.Key), s.URL, "chmod 600"},
		{"no file", "", "/nowhere/key", s.URL, "no such file"},
		{"two lines", "", key(0o600, googletest.Key+"\nmore"), s.URL, "the key holds spaces or signs that no key has"},
		{"nobody there", "", good, nobody, "places, by google: the server could not be reached"},
		{"a foreign certificate", "", good, foreign.URL, "places, by google: the certificate of the server is not valid for it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := processtest.New(t, fmt.Sprintf("[places]\nprovider = \"google\"\nbase_url = %q\nkey_file = %q\n"+
				"timeout = \"1s\"\n[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\n", c.base, c.file))
			t.Setenv(keyVariable, c.env)
			out, errOut, code := h.Command("", "places", "35.68,139.76")
			switch {
			case strings.Contains(out+errOut, googletest.Key):
				t.Errorf("the key is shown: %s%s", out, errOut)
			case c.want == "" && (code != 0 || !strings.Contains(out, "train_station")):
				t.Errorf("exit %d\n%s%s", code, out, errOut)
			case c.want != "" && (code != 1 || !strings.Contains(errOut, c.want)):
				t.Errorf("exit %d, %q, want %q", code, errOut, c.want)
			}
		})
	}
}

// The budget of a day is one for a server and whoever asks in its name, and outlives both.
func TestBudgetOutlivesTheServer(t *testing.T) {
	google := googletest.Start(t)
	extra := fmt.Sprintf("[places]\nprovider = \"google\"\nbase_url = %q\ndaily_budget = 3\nfallback = \"embedded\"\n", google.URL)
	t.Setenv(keyVariable, googletest.Key)
	h := processtest.StartHerd(t, extra, "Alford")
	h.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 5\n")
	whatsat := func() string { return h.Ask("Alford", "WHATSAT kiwi 10 1\n") }
	if reply := whatsat(); !strings.Contains(reply, "ChIJLQjF8X6LGGARVaYYiaVzCoA") {
		t.Error(reply)
	}
	if out, errOut, code := h.Command("", "places", "1,2", "--json"); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	h.Kill("Alford")
	h.Start("Alford")
	h.UntilLive()
	h.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 5\n")
	whatsat()
	const spent = "google could not answer: the daily budget of lookups is spent. These places are from the data built into the server."
	if reply := whatsat(); !strings.HasPrefix(reply, "AT ") || !strings.Contains(reply, spent) || !strings.Contains(reply, "GeoNames") {
		t.Errorf("beyond the budget: %s", reply)
	}
	if n := google.Asked(); n != 3 {
		t.Errorf("%d lookups were paid for, want 3", n)
	}
	n := h.Status("Alford").Places.Network
	if n.Fallbacks != 1 || n.BudgetRefused != 1 || n.Attempts != 1 || n.Budget.Spent != 3 || n.Budget.Limit != 3 {
		t.Errorf("%+v", n)
	}
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
