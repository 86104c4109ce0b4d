package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
)

// A server's console has the tokens of herd.toml, also after SIGHUP, when the requests of one that is gone end. What was
// refused is in the status, and once in the log. The consoles ask each other with the herd's secret.
func TestDoorOfTheConsole(t *testing.T) {
	t.Parallel()
	const host, reader, other = "herd.example.org", "herd_the-token-of-a-reader", "herd_the-token-of-another"
	extra := "[herd]\nsecret_file = \"secret\"\n[clients]\ntokens = \"tokens.toml\"\n[console]\nhosts = [\"" + host + "\"]\n"
	h, listeners := processtest.NewHerd(t, extra, "Alford", "Ball")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := func(name, text string) string {
		return (&access.Token{Name: name, Hash: access.Hash([]byte(text)), Rights: access.Console}).Line()
	}
	write("secret", "the secret of this herd\n")
	write("tokens.toml", line("reader", reader)+line("other", other))
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()
	// get asks Alford from beyond loopback: for a console, that is what a proxy passes on.
	get := func(path, token string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.Server("Alford").Console+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	for token, want := range map[string]int{"": 401, "herd_guess": 401, reader: 200, other: 200} {
		if r := get("/status.json", token); r.StatusCode != want {
			t.Errorf("%q: %s", token, r.Status)
		}
	}
	var all console.HerdStatus
	if err := json.NewDecoder(get("/herd.json", reader).Body).Decode(&all); err != nil || all.Answered != 2 {
		t.Errorf("%d servers answered: %+v, %v", all.Answered, all.Problems, err)
	}
	watch := bufio.NewReader(get("/watch", reader).Body)
	if first, err := watch.ReadString('\n'); err != nil {
		t.Fatal(first, err)
	}
	write("tokens.toml", line("other", other))
	if err := h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, watch); err != nil { // it ends
		t.Error(err)
	}
	for token, want := range map[string]int{reader: 401, other: 200} {
		if r := get("/status.json", token); r.StatusCode != want {
			t.Errorf("after SIGHUP, %q: %s", token, r.Status)
		}
	}
	if s := h.Status("Alford").Console; s == nil || s.Denied != 3 || s.SignaturesRefused != 0 {
		t.Errorf("%+v", s)
	}
	h.Stop("Alford")
	_, log := entries(h, "Alford")
	if n := strings.Count(log, `"msg":"console request refused"`); n != 2 { // a kind each
		t.Errorf("%d entries:\n%s", n, log)
	}
	for _, secret := range []string{reader, other, "herd_guess", "the secret of this herd"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %s:\n%s", secret, log)
		}
	}
}
