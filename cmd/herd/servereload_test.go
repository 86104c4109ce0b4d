package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/logging"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// What is requested while a reload runs is one more reload after it, whoever requests it. Nobody is forgotten.
func TestReloadsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloads()
		var by []string
		running := 0
		go r.serve(func(who string) console.Reloaded {
			if running++; running != 1 {
				t.Errorf("%d reloads at once", running)
			}
			by = append(by, who)
			<-time.After(time.Second)
			running--
			return console.Reloaded{Server: fmt.Sprint(len(by))}
		})
		first := r.ask("a")
		synctest.Wait()
		var later []*console.PendingReload
		for i := range 50 {
			later = append(later, r.ask([]string{"b", "a", "c"}[i%3]))
			r.request("SIGHUP")
		}
		if r.ask("nobody who waits") != later[0] {
			t.Error("who asks and leaves leaves something behind")
		}
		if <-first.Done(); first.Result().Server != "1" {
			t.Errorf("%+v", first.Result())
		}
		for _, l := range later {
			if <-l.Done(); l.Result().Server != "2" {
				t.Errorf("%+v", l.Result())
			}
		}
		r.request("SIGHUP")
		<-time.After(time.Minute)
		if want := []string{"a", "b, SIGHUP, a, c, nobody who waits", "SIGHUP"}; !slices.Equal(by, want) {
			t.Errorf("reloads by %q, want %q", by, want)
		}
		close(r.wake)
	})
}

// Consoles wait for a moment between two reloads, all that ask meanwhile for the same one. SIGHUP does not wait.
func TestPauseBetweenReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReloads()
		begun, at := time.Now(), map[string]time.Duration{}
		go r.serve(func(who string) console.Reloaded {
			at[who] = time.Since(begun)
			<-time.After(100 * time.Millisecond)
			return console.Reloaded{Server: who}
		})
		<-r.ask("first").Done()
		second, third := r.ask("second"), r.ask("third")
		<-second.Done()
		<-third.Done()
		fourth := r.ask("fourth")
		<-time.After(herd.ConsoleReloadPause / 2)
		r.request("SIGHUP")
		<-fourth.Done()
		<-time.After(time.Hour)
		<-r.ask("fifth").Done()
		want := map[string]time.Duration{
			"first": 0, "second, third": 100*time.Millisecond + herd.ConsoleReloadPause,
			"fourth, SIGHUP": 200*time.Millisecond + 3*herd.ConsoleReloadPause/2,
			"fifth":          300*time.Millisecond + 3*herd.ConsoleReloadPause/2 + time.Hour,
		}
		if !maps.Equal(at, want) {
			t.Errorf("reloads at %v, want %v", at, want)
		}
		close(r.wake)
	})
}

// stillLoop is an engine whose loop does not answer.
type stillLoop struct{ engines.Engine }

func (stillLoop) CallFromThread(func()) {}

// A reload says what is true of each part: also if the event loop hangs, or the log cannot be opened. The log says so, too.
func TestReloadThatIsNotWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := &config.Config{Log: config.Log{Dir: filepath.Join(dir, "logs"), Level: "info", Format: "json"}}
	cfg.Clients.Tokens = filepath.Join(dir, "tokens.toml")
	writeTokens(t, cfg.Clients.Tokens, "", token("first", access.Read))
	var said processtest.Output
	log, err := logging.Open(logging.Options{Config: cfg.Log, Server: "Alford", Now: time.Now, Stderr: &said})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{cfg: cfg, self: config.Server{Name: "Alford"}, log: log, reactor: stillLoop{}, door: door.New(door.Options{})}
	if err := p.loadTokens(); err != nil {
		t.Fatal(err)
	}
	part := func(r console.Reloaded, name string) console.ReloadedPart {
		return r.Parts[slices.IndexFunc(r.Parts, func(p console.ReloadedPart) bool { return p.Part == name })]
	}
	entry := func(want string) {
		t.Helper()
		processtest.Eventually(t, want+" is logged", func() bool { return strings.Contains(said.String(), want) })
	}

	if one := p.reloadLog("nobody"); one.What != console.Unchanged || one.Error != "" {
		t.Errorf("%+v", one)
	}
	file := logging.FileName(&cfg.Log, "Alford")
	processtest.Eventually(t, "the log is reopened by a reload and not before", func() bool {
		if err := os.Rename(file, file+".old"); err != nil {
			t.Fatal(err)
		}
		return p.reloadLog("nobody").What == console.Reopened
	})
	if err := errors.Join(os.Rename(file, file+".old"), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	writeTokens(t, cfg.Clients.Tokens, "", token("first", access.Read), token("second", access.Read))
	r := p.reload("nobody")
	if one := part(r, console.LogPart); one.What != console.Failed || !strings.Contains(one.Error, "directory") {
		t.Errorf("%+v", one)
	}
	if one := part(r, console.TokensPart); one.What != console.Delayed || one.Error == "" || *one.Count != 2 || r.OK {
		t.Errorf("%v %+v", r.OK, one)
	}
	entry("log file reload failed")
	entry("tokens reload delayed")
	entry(`"failed": ["log"], "delayed": ["tokens"]`)
}

// reloadHerd starts the servers of a herd with all that can be reloaded.
type reloadHerd struct {
	t *testing.T
	*processtest.Herd
}

const operator = "herd_operator_secret"

func startReloadHerd(t *testing.T, extra string, names ...string) reloadHerd {
	t.Helper()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\ntls = \"optional\"\n"+
		"[console]\nhosts = [\"herd.example.org\"]\n[places]\nprovider = \"file\"\npath = \"mine.csv\"\n"+extra, names...)
	g := reloadHerd{t, h}
	if _, errOut, code := h.Command("", "cert"); code != 0 {
		t.Fatal(errOut)
	}
	g.good(1)
	for _, name := range names {
		h.Start(name, listeners[name]...)
	}
	h.UntilLive()
	return g
}

func (g reloadHerd) write(file, text string) {
	g.t.Helper()
	file = filepath.Join(g.Dir, file)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		g.t.Fatal(err)
	}
}

// good writes files without a mistake, with n places and n tokens beside those of reader and operator.
func (g reloadHerd) good(n int) {
	g.t.Helper()
	places, all := "name,lat,lng,types\n", []access.Token{token("operator", access.Operate), token("reader", access.Console)}
	for i := range n {
		places += fmt.Sprintf("p%d,1,2,cafe\n", i)
		all = append(all, token(fmt.Sprintf("t%d", i), access.Read))
	}
	g.write("mine.csv", places)
	writeTokens(g.t, filepath.Join(g.Dir, "tokens.toml"), "", all...)
}

// post sends a POST to /reload of Alford as its page does, or from beyond loopback if there is a token.
func (g reloadHerd) post(token string) (status int, r console.Reloaded, err error) {
	at := g.Server("Alford").Console
	request, err := http.NewRequestWithContext(g.t.Context(), "POST", "http://"+at+"/reload", nil)
	if err != nil {
		return 0, r, err
	}
	if token != "" {
		request.Host = "herd.example.org"
		request.Header.Set("Authorization", "Bearer "+token)
	} else {
		request.Header.Set("Origin", "http://"+at)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, r, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &r)
	}
	return answer.StatusCode, r, err
}

// bySignal sends SIGHUP and returns the messages of the log up to the end of the reload, and its errors.
func (g reloadHerd) bySignal() (messages []string) {
	g.t.Helper()
	if err := g.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		g.t.Fatal(err)
	}
	return g.logged("SIGHUP")
}

// logged waits until the last reload that somebody requested is in the log, and returns its entries: of each the message
// and the error.
func (g reloadHerd) logged(by string) (messages []string) {
	g.t.Helper()
	processtest.Eventually(g.t, "a reload by "+by+" is logged", func() bool {
		begun := false
		messages = nil
		text, _ := os.ReadFile(filepath.Join(g.Dir, "logs", "server-Alford.log"))
		for line := range strings.Lines(string(text)) {
			var e struct {
				Msg, By, Error string
				Failed         []string
			}
			if json.Unmarshal([]byte(line), &e) != nil {
				continue
			}
			if e.Msg == "reloading" {
				begun, messages = e.By == by, nil
			} else if begun && strings.Contains(e.Msg, "reload") {
				messages = append(messages, strings.TrimSpace(e.Msg+" "+e.Error+strings.Join(e.Failed, ",")))
			}
		}
		return begun && slices.ContainsFunc(messages, func(m string) bool { return strings.HasPrefix(m, "reload finished") })
	})
	return messages
}

// Who reloads is logged whatever the level is.
func TestReloadAtLevelError(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "", "Alford")
	if _, errOut, code := g.Command("", "loglevel", "error", "Alford"); code != 0 {
		t.Fatal(errOut)
	}
	_ = g.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP)
	processtest.Eventually(t, "a reload at level error", func() bool {
		_, all := entries(g.Herd, "Alford")
		return strings.Contains(all, `"msg":"reloading","by":"SIGHUP"`)
	})
}

// steady is a result without times.
func steady(r console.Reloaded) console.Reloaded {
	r.Took = 0
	for i := range r.Parts {
		r.Parts[i].Took = 0
	}
	return r
}

// SIGHUP, the console and the command do the same, whatever is wrong with the files, and say so.
func TestReloadResults(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "", "Alford")
	cert := filepath.Join(g.Dir, "tls", "Alford.pem")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	const wrongToken, wrongPlace = "herd_mistake_secret\n", "name,lat,lng,types\nthird,1,200,cafe\n"
	number := func(n int) *int { return &n }
	tokens := func() {
		writeTokens(t, filepath.Join(g.Dir, "tokens.toml"), wrongToken, token("operator", access.Operate))
	}
	const (
		tokensError = "tokens.toml:2: not valid TOML"
		certError   = "Alford.pem"
		placesError = "mine.csv:2:9: lng: \"200\" is not a number"
	)
	for i, test := range []struct {
		name                  string
		spoil                 func()
		tokens, certs, places string // parts of the errors
	}{
		{"nothing", func() {}, "", "", ""},
		{"tokens", tokens, tokensError, "", ""},
		{"certificate", func() { g.write("tls/Alford.pem", "no certificate") }, "", certError, ""},
		{"places", func() { g.write("mine.csv", wrongPlace) }, "", "", placesError},
		{"all", func() { tokens(); g.write("tls/Alford.pem", string(pem[:100])); g.write("mine.csv", wrongPlace) }, tokensError, certError, placesError},
		{"no files", func() {
			for _, name := range []string{"tokens.toml", "tls/Alford.pem", "mine.csv"} {
				if err := os.Remove(filepath.Join(g.Dir, name)); err != nil {
					t.Error(err)
				}
			}
		}, "no such file", "no such file", "no such file"},
		{"nothing any more", func() {}, "", "", ""},
	} {
		n := i + 1
		g.good(n)
		g.write("tls/Alford.pem", string(pem))
		if status, r, err := g.post(""); status != 200 || err != nil || !r.OK {
			t.Fatalf("%s: %d %+v %v", test.name, status, r, err)
		}
		test.spoil()
		bySignal := g.bySignal()
		status, r, err := g.post("")
		byConsole := g.logged("console on loopback")
		out, errOut, code := g.Command("", "reload", "--json")
		var all []reloadResult
		if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 || all[0].Reloaded == nil {
			t.Fatalf("%s: %v %s%s", test.name, err, out, errOut)
		}
		if status != 200 || err != nil || r.Server != "Alford" || !reflect.DeepEqual(steady(r), steady(*all[0].Reloaded)) {
			t.Errorf("%s: %d %v\nthe console says %+v\nthe command   %+v", test.name, status, err, r, all[0].Reloaded)
		}
		if !slices.Equal(bySignal, byConsole) {
			t.Errorf("%s: by SIGHUP %q, by the console %q", test.name, bySignal, byConsole)
		}
		failed := 0
		for k, want := range []struct{ part, what, err, failure string }{
			{"log", "unchanged", "", ""}, {"tokens", "reloaded", test.tokens, "tokens reload failed, keeping the old tokens"},
			{"certificates", "reloaded", test.certs, "certificates reload failed, keeping the old ones"},
			{"places", "reloaded", test.places, "places file reload failed, keeping the old places"},
		} {
			got := r.Parts[k]
			if want.err != "" {
				failed++
				want.what = "failed"
				if !slices.Contains(bySignal, want.failure+" "+got.Error) {
					t.Errorf("%s: %s is not in the log: %q", test.name, got.Error, bySignal)
				}
			}
			if got.Part != want.part || got.What != want.what || (got.Error == "") != (want.err == "") || !strings.Contains(got.Error, want.err) {
				t.Errorf("%s: %+v, want %+v", test.name, got, want)
			}
		}
		if p := r.Parts; !reflect.DeepEqual(p[1].Count, number(2+n)) || p[2].Expires.Before(time.Now()) || !reflect.DeepEqual(p[3].Count, number(n)) {
			t.Errorf("%s: what is in force: %+v", test.name, p)
		}
		if r.OK != (failed == 0) || code != min(failed, 1) {
			t.Errorf("%s: ok %v, exit code %d", test.name, r.OK, code)
		}
		shown, _, _ := g.Command("", "reload", "Alford")
		if strings.Count(shown, "! Alford: ") != failed || !strings.Contains(strings.ReplaceAll(shown, "\n  ", " "), test.tokens) ||
			strings.Contains(shown, "herd_mistake") || strings.Contains(out, "herd_mistake") {
			t.Errorf("%s:\n%s", test.name, shown)
		}
	}
}

// Many at once, by all ways: each gets an answer, or is refused as too many wait, and the reloads do not overlap.
func TestManyReloads(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "", "Alford")
	var group sync.WaitGroup
	var done atomic.Int32
	for i := range 50 {
		group.Go(func() {
			token := ""
			if i%2 > 0 {
				token = operator
			}
			status, r, err := g.post(token)
			if err != nil || status != http.StatusServiceUnavailable && (status != 200 || !r.OK || len(r.Parts) != 4) {
				t.Errorf("%d %+v %v", status, r, err)
			}
			if status == 200 {
				done.Add(1)
			}
		})
		_ = g.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP)
	}
	group.Wait()
	if n := done.Load(); n < herd.ConsoleReloads {
		t.Errorf("%d of 50 reloads were done", n)
	}
	for _, token := range []string{"", operator} { // each has one; the SIGHUPs have been handled
		if status, _, err := g.post(token); status != 200 || err != nil {
			t.Errorf("%d %v", status, err)
		}
	}
	g.Stop("Alford")
	text, err := os.ReadFile(filepath.Join(g.Dir, "logs", "server-Alford.log"))
	if err != nil {
		t.Fatal(err)
	}
	begun, by := 0, ""
	for line := range strings.Lines(string(text)) {
		var e struct{ Msg, By string }
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		switch e.Msg {
		case "reloading":
			if begun++; begun != 1 {
				t.Errorf("a reload begins within another: %s", line)
			}
			by += e.By + "\n"
		case "reload finished":
			begun--
		}
	}
	for _, who := range []string{"SIGHUP", "token operator", "console on loopback"} {
		if !strings.Contains(by, who) {
			t.Errorf("no reload by %s:\n%s", who, by)
		}
	}
}

// When a reload has been answered, revoked tokens are refused: that of a client, and the token by which it was requested.
func TestReloadRevokes(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "", "Alford")
	client := talkTo(t, g.Server("Alford").Address)
	if got := client.say("TOKEN herd_t0_secret"); got != "> Welcome t0" {
		t.Error(got)
	}
	if status, _, err := g.post("herd_reader_secret"); status != http.StatusForbidden || err != nil {
		t.Errorf("a token that may not: %d %v", status, err)
	}
	writeTokens(t, filepath.Join(g.Dir, "tokens.toml"), "")
	if status, r, err := g.post(operator); status != 200 || err != nil || !r.OK || *r.Parts[1].Count != 0 {
		t.Errorf("%d %+v %v", status, r, err)
	}
	if got := talkTo(t, g.Server("Alford").Address).say("TOKEN herd_t0_secret"); got != "> TOKEN: unknown or expired" {
		t.Errorf("a client whose token is revoked: %q", got)
	}
	if status, _, err := g.post(operator); status != http.StatusUnauthorized || err != nil {
		t.Errorf("the token that is revoked: %d %v", status, err)
	}
}

// A client that leaves at once ends nothing.
func TestReloadOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "", "Alford")
	at := g.Server("Alford").Console
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	g.good(7)
	fmt.Fprintf(c, "POST /reload HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nContent-Length: 0\r\n\r\n", at, at)
	c.Close()
	g.logged("console on loopback")
	if s := g.Status("Alford"); s.Places.File.Places != 7 || s.Tokens.Count != 9 {
		t.Errorf("%+v %+v", s.Places.File, s.Tokens)
	}
}

// A server that drains still reloads: a neighbor takes nothing, so it does not end meanwhile.
func TestReloadWhileStopping(t *testing.T) {
	t.Parallel()
	g := startReloadHerd(t, "[limits]\ndrain = \"60s\"\n", "Alford", "Ball")
	ball := g.Running["Ball"].Cmd.Process
	processtest.Suspend(t, ball.Pid)
	c := talkTo(t, g.Server("Alford").Address)
	writeTokens(t, filepath.Join(g.Dir, "tokens.toml"), "", token("writer", access.Write))
	if _, r, err := g.post(""); err != nil || !r.OK {
		t.Fatal(r, err)
	}
	if got := c.say("TOKEN herd_writer_secret"); got != "> Welcome writer" {
		t.Fatal(got)
	}
	if got := c.say("IAMAT kiwi +1+2 5"); !strings.HasPrefix(got, "AT Alford ") {
		t.Fatal(got)
	}
	if err := g.Running["Alford"].Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "Alford stops", func() bool {
		return strings.Contains(g.Running["Alford"].Stderr.String(), "\tstopping\t")
	})
	g.good(3)
	if status, r, err := g.post(""); status != 200 || err != nil || !r.OK || *r.Parts[1].Count != 5 || *r.Parts[3].Count != 3 {
		t.Errorf("%d %+v %v", status, r, err)
	}
	if err := ball.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.Wait(g.Running["Alford"])
	if code := g.Running["Alford"].Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	delete(g.Running, "Alford")
}
