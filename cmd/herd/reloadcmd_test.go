package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/statusview"
	"serverherd/herd/access"
)

// What herd reload says fits on a screen of 80 columns, whatever servers are called, and has each problem.
func TestReloadLines(t *testing.T) {
	t.Parallel()
	n := 123_456_789
	r := func(server, err string) reloadResult {
		parts := []console.ReloadedPart{{Part: console.LogPart, What: console.Unchanged},
			{Part: console.TokensPart, What: console.Reread, Count: &n, Error: err}, {Part: console.PlacesPart, What: console.Reread, Count: &n}}
		return reloadResult{Server: server, Reloaded: &console.Reloaded{Server: server, OK: err == "", Parts: parts, Took: 1.5}}
	}
	long := strings.Repeat("a-long-name-", 10)
	all := []reloadResult{r("Alford", ""), r(long, strings.Repeat("a mistake ", 20)), {Server: "Ball", Error: "no answer at 127.0.0.1:1 within 5s"},
		{Server: "Hamilton", Error: "403 Forbidden", Code: http.StatusForbidden}, {Server: "Welsh", NoConsole: true, Error: "no console in herd.toml"}}
	lines := reloadLines(statusview.Screen{Width: 80}, all)
	for _, line := range lines {
		if view.Width(line) > 80 {
			t.Errorf("%d columns: %s", view.Width(line), line)
		}
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"! " + long[:60], "! Ball: no answer at 127.0.0.1:1 within 5s\n", "! Hamilton: 403 Forbidden\n", "no answer", "no access",
		"no console", "- Welsh: no console in herd.toml: send SIGHUP to its process", "123M"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, test := range []struct {
		all   []reloadResult
		named bool
		want  bool
	}{{all[:1], true, true}, {all[:2], false, false}, {all[2:3], false, false}, {[]reloadResult{all[0], all[4]}, false, true},
		{[]reloadResult{all[0], all[4]}, true, false}, {all[4:], false, false}, {nil, false, false}} {
		if got := allDone(test.all, test.named); got != test.want {
			t.Errorf("%+v, named %v: done %v", test.all, test.named, got)
		}
	}
}

// The level changes while the server runs, and holds at a reload, but not after a restart. Each change is logged. At level
// debug no token is logged.
func TestLogLevelOfARunningServer(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\n", "Alford")
	writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "", token("client", access.Read|access.Write))
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	level := func(want string, args ...string) {
		t.Helper()
		out, errOut, code := h.Command("", append([]string{"loglevel"}, args...)...)
		if code != 0 || out != "Alford: "+want+"\n" {
			t.Errorf("%q: exit code %d, %q %q, want %q", args, code, out, errOut, want)
		}
	}
	level("info")
	level("debug, was info; herd.toml: info, from the next start on", "debug")
	c := talkTo(t, h.Server("Alford").Address)
	for _, line := range []string{"toKEN herd_client_secret x", "TOKEN herd_client_secret", "TOKEN herd_client_secret", "IAMAT kiwi +1+2 5", "WHATSAT kiwi 1 1"} {
		c.say(line)
	}
	if out, _, code := h.Command("", "reload", "--token", "herd_unknown_secret"); code != 1 || !strings.Contains(out, "no access") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, errOut, code := h.Command("", "reload"); code != 0 {
		t.Errorf("%s%s", out, errOut)
	}
	level("debug, as before; herd.toml: info, from the next start on", "debug", "Alford", "Alford")
	if out, _, _ := h.Command("", "status", "Alford"); !strings.Contains(strings.Join(strings.Fields(out), " "), "level debug until the restart") {
		t.Error(out)
	}
	level("error, was debug; herd.toml: info, from the next start on", "error")
	out, _, _ := h.Command("", "loglevel", "--json")
	var all []levelResult
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 || all[0] != (levelResult{Server: "Alford", Level: "error", Configured: "info"}) {
		t.Errorf("%v %s", err, out)
	}
	for _, args := range [][]string{{"loud"}, {"info", "Ball"}, {"Alford"}} {
		if _, errOut, code := h.Command("", append([]string{"loglevel"}, args...)...); code != exitUsage || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: exit code %d, %s", args, code, errOut)
		}
	}
	h.Stop("Alford")
	text, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-Alford.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"from":"info","to":"debug","by":"console on loopback"`, `"from":"debug","to":"error"`, `"reply":"`, "TOKEN [redacted]"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the log has no %s", want)
		}
	}
	if bytes.Contains(text, []byte("_secret")) {
		t.Errorf("the log has a token:\n%s", text)
	}
	h.Start("Alford")
	h.UntilLive()
	level("info")
}
