package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/trace"
)

// Five real servers: the tree has each server once, below the one that it has the update from, and counts every AT line.
func TestTrace(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", processtest.Names...)
	ids := []string{"kiwi.cs.ucla.edu", "<img/src=x>", "\x1b[31m\xff", "a&b=c%41+#", "\u202eltr"}
	for _, id := range ids {
		before := h.ATSent()
		h.Ask("Ball", "IAMAT "+id+" +34.068930-118.445127 1520023934\n")
		processtest.Eventually(t, "all have it, and nothing is on its way", func() bool {
			out, _, code := h.Command("", "trace", "--json", id)
			var tree trace.Tree
			return code == 0 && json.Unmarshal([]byte(out), &tree) == nil && uint64(tree.Received) == h.ATSent()-before &&
				tree.Complete()
		})
		out, stderr, code := h.Command("", "trace", id)
		if code != 0 || stderr != "" || strings.ContainsAny(out, "\x1b\u202e\ufffd") {
			t.Fatalf("%q: exit code %d, %s%s", id, code, out, stderr)
		}
		const took = `[\d.]+ (us|ms|s)`
		wants := []string{`(?m)^Ball +from a client`, `(?m)^5 of 5 servers have it, the last one after ` + took + `$`,
			`(?m)^AT lines: [456] received, [012] of them duplicates; a flood needs at most 6$`}
		for name, neighbors := range map[string]string{"Holiday": "Ball|Hamilton", "Welsh": "Ball|Alford", "Alford": "Welsh|Hamilton",
			"Hamilton": "Alford|Holiday"} {
			wants = append(wants, `(?m)^[ │]*[├└]─ `+name+` +from (`+neighbors+`) after `+took)
		}
		for _, want := range wants {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%q: no %s in\n%s", id, want, out)
			}
		}
		for line := range strings.Lines(out) {
			if strings.Count(line, "")-2 > 80 && !strings.HasPrefix(line, "AT ") {
				t.Errorf("wider than 80: %q", line)
			}
		}
		sameFlood(t, h, id)
	}
	// One is stopped, misses an update, and is said not to answer.
	h.Kill("Holiday")
	h.Ask("Ball", "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023935\n")
	processtest.Eventually(t, "four have it", func() bool {
		out, _, code := h.Command("", "trace", "kiwi.cs.ucla.edu")
		return code == 1 && strings.Contains(out, "4 of 5 servers have it") && strings.Contains(out, "AT lines: 3 are known") &&
			regexp.MustCompile(`(?m)^Holiday +no answer at 127[.0-9]+:\d+$`).MatchString(out)
	})
	// It comes back empty, and has everything from a neighbor's copy.
	h.Start("Holiday")
	processtest.Eventually(t, "Holiday has a copy", func() bool {
		out, _, code := h.Command("", "trace", "kiwi.cs.ucla.edu")
		return code == 0 && regexp.MustCompile(`Holiday +from (Ball|Hamilton) in a copy or resume`).MatchString(out)
	})
	_, stderr, code := h.Command("", "trace", "nobody")
	if code != 1 || stderr != "herd: nobody: no server knows this client\n" {
		t.Errorf("an unknown client: exit code %d, %q", code, stderr)
	}
}

// sameFlood checks that /flood.json of a console has the same tree as herd trace, and its steps.
func sameFlood(t *testing.T, h *processtest.Herd, id string) {
	t.Helper()
	answer, err := http.Get("http://" + h.Server("Welsh").Console + "/flood.json?id=" + url.QueryEscape(id))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got, want console.FloodStatus
	out, _, _ := h.Command("", "trace", "--json", id)
	if err := errors.Join(json.NewDecoder(answer.Body).Decode(&got), json.Unmarshal([]byte(out), &want)); err != nil {
		t.Fatal(err)
	}
	r := got.Replay
	for _, f := range []*console.FloodStatus{&got, &want} { // each answer has another moment as its now
		f.Replay = nil
		for i := range f.Nodes {
			n := &f.Nodes[i]
			n.At, n.After, n.Hop = nil, nil, nil
			for k := range n.Duplicates {
				n.Duplicates[k].At = time.Time{}
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q: /flood.json %+v, herd trace %+v", id, got, want)
	}
	kinds := make(map[string]int)
	for _, s := range r.Steps {
		kinds[s.Kind]++
	}
	if kinds["stored"] != 1 || kinds["applied"] != 4 || kinds["duplicate"] != got.Duplicates || kinds["sent"] != got.Received || r.Took <= 0 {
		t.Errorf("%q: %+v", id, r)
	}
}

// Consoles may be down or answer anything. What they say is printed safely, and never believed to be another server.
func TestTraceOfHostileConsoles(t *testing.T) {
	good := `{"server":"Alford","now":"2026-01-01T00:00:00Z","hash":"00000000000000ff","links":[{"neighbor":"Ball","state":"down","error":"\u001b[31m\u202e"}],
	  "events":[{"at_ns":1,"kind":"stored","hash":"00000000000000ff","seq":1}],
	  "latest":{"at_b64":"QVQgQWxmb3JkICswLjEga2l3aSArMSsxIDE=","hash":"00000000000000ff","seq":1,"source":"client"}}`
	for name, test := range map[string]struct{ alford, ball, want string }{
		"another is down":       {good, "", "Ball    no answer at"},
		"garbage":               {good, "<html>", "Ball    console at"},
		"another server":        {good, good, "Ball    the console at"},
		"nothing":               {good, `{"server":"Ball"}`, `Ball    behind: link from Alford is down: \x1b[31m\u202e`},
		"an unknown event":      {good, `{"server":"Ball","events":[{"kind":"\u001b[31m"}]}`, "Ball    console at"},
		"a record of another":   {good, `{"server":"Ball","latest":{"at_b64":"QVQgQWxmb3JkICswLjEgcGVhciArMSsxIDk5OTk5","hash":"00000000000000ee"}}`, "Ball    its answer is not about this client"},
		"from itself":           {good, strings.ReplaceAll(strings.Replace(good, `"source":"client"`, `"source":"neighbor","neighbor":"\u001b"`, 1), `"server":"Alford"`, `"server":"Ball"`), "Ball    from a client"},
		"an error of a console": {good, "!", "Ball    500 Internal Server Error from"},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for i, body := range []string{test.alford, test.ball} {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					switch body {
					case "!":
						w.WriteHeader(500)
					case "": // a port that is free again could be another test's
						panic(http.ErrAbortHandler)
					}
					fmt.Fprint(w, body)
				}))
				t.Cleanup(s.Close)
				name, other := "Alford", "Ball"
				if i == 1 {
					name, other = other, name
				}
				fmt.Fprintf(&text, "[[server]]\nname = %q\naddress = \"127.0.0.1:%d\"\nconsole = %q\nneighbors = [%q]\n", name, i+1, s.Listener.Addr(), other)
			}
			file := filepath.Join(t.TempDir(), "herd.toml")
			if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errOut bytes.Buffer
			code := run([]string{"trace", "kiwi", "--config", file}, nil, &out, &errOut)
			if (code == 0) != strings.Contains(test.want, "from a client") || !strings.Contains(out.String(), test.want) || strings.ContainsAny(out.String(), "\x1b\u202e") {
				t.Errorf("exit code %d\n%s%s", code, &out, &errOut)
			}
		})
	}
}

// Without consoles there is nothing to ask.
func TestTraceWithoutConsoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "herd.toml")
	if err := os.WriteFile(file, []byte("[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		id, want string
		code     int
	}{
		{"kiwi", "herd: no server has a console in herd.toml\n", 1},
		{"a b", "herd: contains white space\n", 2},
		{"", "herd: empty\n", 2},
	} {
		var out, errOut bytes.Buffer
		if code := run([]string{"trace", test.id, "--config", file}, nil, &out, &errOut); code != test.code || errOut.String() != test.want || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %q %q", test.id, code, &out, &errOut)
		}
	}
}
