package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/places"
	"serverherd/places/google/googletest"
)

// All faults of Google, with real servers and a marker as the API key: each gets one reply within the
// timeout, other clients are not affected, the next lookup works, and the key does not appear anywhere.
func TestGooglesFaults(t *testing.T) {
	t.Parallel()
	for _, d := range []googletest.Dialect{googletest.LegacyAPI, googletest.NewAPI} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			google := googletest.Start(t)
			// A rejected key opens the breaker for a minute, so it gets a server of its own.
			h, refused := startGoogle(t, d, google.URL), startGoogle(t, d, google.URL)
			bystander, err := keepAsking(h.Server("Alford").Address, "IAMAT kiwi +1.0+2.0 5\n",
				time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			ask := func(h *processtest.Herd) string { return h.Ask("Alford", "WHATSAT puma 1 2\n") }
			for _, h := range []*processtest.Herd{h, refused} {
				h.Ask("Alford", "IAMAT puma +3.0+4.0 5\n")
			}
			// Transient failures are retried and not seen by the client; kilometers become meters.
			google.Set(googletest.InTurn(d.Status("UNKNOWN_ERROR"), googletest.Recorded))
			if reply := ask(h); !strings.HasPrefix(reply, "AT ") {
				t.Errorf("after one UNKNOWN_ERROR: %q", reply)
			}
			query := places.Query{Lat: 3, Lng: 4, RadiusM: 1000}
			want := googletest.Question{Dialect: d, Query: query, Fields: askedFor(d)}
			asked := google.Questions()
			if !reflect.DeepEqual(asked, []googletest.Question{want, want}) {
				t.Errorf("asked %+v, want twice %+v", asked, want)
			}
			whole(t, d, h.Ask("Alford", "WHATSAT puma 1 20\n"))
			pid := h.Running["Alford"].Cmd.Process.Pid
			before := openDescriptors(t, pid)
			seen := &bytes.Buffer{}
			for _, f := range d.Faults() {
				google.Set(f.Answer)
				reply := ask(h)
				if !isRefusal(reply, f.Want) {
					t.Errorf("%s: the reply is %q, want %q", f.Name, reply, f.Want)
				}
				google.Set(nil)
				next := ask(h)
				if !strings.HasPrefix(next, "AT ") || !strings.Contains(next, `"status": "OK"`) {
					t.Errorf("after %s: %q", f.Name, next)
				}
				seen.WriteString(reply + next)
			}
			noMore(t, pid, before)
			google.Set(d.Status("REQUEST_DENIED"))
			for _, want := range []string{
				"the answer was REQUEST_DENIED",
				string(d) + " rejects the API key: circuit breaker open for 1m0s",
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
			if !bytes.Contains(seen.Bytes(), []byte("places lookup")) {
				t.Error("the log has no lookups at level debug")
			}
			look(t, refused, seen)
			checkSecret(t, seen.Bytes(), googletest.Key)
		})
	}
}

// Likewise for network failures. No descriptor stays open.
func TestGoogleOutOfReach(t *testing.T) {
	t.Parallel()
	google := googletest.StartTLS(t)
	h := startGoogle(t, googletest.NewAPI, google.URL, "SSL_CERT_FILE="+googletest.Certificate(t))
	pid := h.Running["Alford"].Cmd.Process.Pid
	h.Ask("Alford", "IAMAT puma +3.0+4.0 5\n")
	ask := func(h *processtest.Herd) string { return h.Ask("Alford", "WHATSAT puma 1 2\n") }
	seen := &bytes.Buffer{}
	answered := func(when string) {
		t.Helper()
		reply := ask(h)
		if !strings.HasPrefix(reply, "AT ") || !strings.Contains(reply, `"status": "OK"`) {
			t.Errorf("%s: %q", when, reply)
		}
		seen.WriteString(reply)
	}
	refused := func(h *processtest.Herd, what, want string) {
		t.Helper()
		reply := ask(h)
		if !isRefusal(reply, want) {
			t.Errorf("%s: the reply is %q, want %q", what, reply, want)
		}
		seen.WriteString(reply)
	}
	answered("at first")
	before := openDescriptors(t, pid)
	for _, trouble := range googletest.Troubles {
		google.SetTrouble(trouble.Serve)
		refused(h, trouble.Name, trouble.Want)
		google.SetTrouble(nil)
		answered("after " + trouble.Name)
	}
	google.Close()
	refused(h, "nobody there", "cannot connect to the server")
	noMore(t, pid, before)
	look(t, h, seen)
	nowhere := startGoogle(t, googletest.LegacyAPI, googletest.Nowhere)
	nowhere.Ask("Alford", "IAMAT puma +3.0+4.0 5\n")
	refused(nowhere, "no such name", "cannot resolve the server's name")
	look(t, nowhere, seen)
	checkSecret(t, seen.Bytes(), googletest.Key)
}

// whole checks that a reply contains the complete recorded answer, unchanged except for white space.
func whole(t *testing.T, d googletest.Dialect, reply string) {
	t.Helper()
	answer := []byte(d.Recorded())
	if d == googletest.NewAPI {
		var err error
		if answer, err = os.ReadFile("../../places/google/testdata/translated.json"); err != nil {
			t.Fatal(err)
		}
	}
	_, object, _ := strings.Cut(reply, "\n")
	var got, want bytes.Buffer
	err1, err2 := json.Compact(&got, []byte(object)), json.Compact(&want, answer)
	if err1 != nil || err2 != nil || got.String() != want.String() {
		t.Errorf("%v, %v, the reply is\n%s\nwant\n%s", err1, err2, &got, &want)
	}
}

// isRefusal reports whether a reply consists of an error, or begins with it.
func isRefusal(reply, want string) bool {
	return strings.HasPrefix(reply, "> WHATSAT PLACES: "+want) && strings.Count(reply, "\n") == 2
}

// openDescriptors is the number of open descriptors of a process.
func openDescriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// noMore waits until a process has at most as many open descriptors as before.
func noMore(t *testing.T, pid, before int) {
	t.Helper()
	processtest.Eventually(t, fmt.Sprintf("%d descriptors at most", before), func() bool {
		return openDescriptors(t, pid) <= before
	})
}

// startGoogle starts a server that uses a scripted provider, with log level debug.
func startGoogle(
	t *testing.T, d googletest.Dialect, base string, env ...string,
) *processtest.Herd {
	t.Helper()
	h, listeners := processtest.NewHerd(t, fmt.Sprintf("[places]\nprovider = %q\nbase_url = %q\n"+
		"key_file = \"key\"\ntimeout = \"2s\"\nfields = %s\n[log]\nlevel = \"debug\"\n",
		d, base, moreFields(d)), "Alford")
	path := filepath.Join(h.Dir, "key")
	if err := os.WriteFile(path, []byte(googletest.Key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Flags, h.Env = []string{"--pprof"}, env
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

// askedFor are all fields that it requests.
func askedFor(d googletest.Dialect) []string {
	if d == googletest.NewAPI {
		return append(slices.Clone(googletest.Fields), "rating", "priceLevel")
	}
	return nil
}

// A server and the places command share the daily budget, and it survives both processes.
func TestBudgetOutlivesTheServer(t *testing.T) {
	google := googletest.Start(t)
	extra := fmt.Sprintf("[places]\nprovider = \"google\"\nbase_url = %q\ndaily_budget = 3\n"+
		"fallback = \"embedded\"\n", google.URL)
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
	const spent = "google could not answer: daily lookup budget exhausted. " +
		"These places are from the embedded data."
	reply := whatsat()
	if !strings.HasPrefix(reply, "AT ") || !strings.Contains(reply, spent) ||
		!strings.Contains(reply, "GeoNames") {
		t.Errorf("beyond the budget: %s", reply)
	}
	if n := google.Asked(); n != 3 {
		t.Errorf("%d lookups were paid for, want 3", n)
	}
	n := h.Status("Alford").Places.Network
	if n.Fallbacks != 1 || n.BudgetRefused != 1 || n.Attempts != 1 || n.Budget.Spent != 3 ||
		n.Budget.Limit != 3 {
		t.Errorf("%+v", n)
	}
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
