package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/journal"
)

// entries returns the messages in a server's log file and checks that all entries are JSON objects.
func entries(h *processtest.Herd, name string) (messages []string, all string) {
	h.T.Helper()
	text, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-"+name+".log"))
	if err != nil {
		h.T.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct{ Level, Time, Msg string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Level == "" || e.Time == "" || e.Msg == "" {
			h.T.Fatalf("%v in entry %q", err, line)
		}
		messages = append(messages, e.Msg)
	}
	return messages, string(text)
}

// A server that has too little memory for max_clients says so at its start, and no other one does.
func TestLittleMemory(t *testing.T) {
	for limit, want := range map[string]int{"1GiB": 0, "200MiB": 1} {
		h, listeners := processtest.NewHerd(t, processtest.Embedded, "Alford")
		h.Env = append(h.Env, "GOMEMLIMIT="+limit)
		h.Start("Alford", listeners["Alford"]...)
		h.UntilLive()
		h.Stop("Alford")
		const entry = `"msg":"max_clients may need more memory than there is","max_clients":1000000,` +
			`"needed":222428800,"memory":209715200}`
		_, all := entries(h, "Alford")
		if strings.Count(all, entry) != want || strings.Count(all, littleMemoryMessage) != want {
			t.Errorf("with %s:\n%s", limit, all)
		}
	}
}

// The log of a server from start to stop, with all lines.
func TestLog(t *testing.T) {
	h := processtest.StartHerd(t, processtest.Embedded, "Alford")
	h.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 5\nWHATSAT kiwi 10 2\nred \x1b[31m\u202e\n")
	r := h.Running["Alford"]
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	got, all := entries(h, "Alford")
	want := []string{
		"started", "connection made", "line received", "line received", "line received", "line sent",
		"lookup sent", "line sent", "connection lost", "stopping", "records not handed over", "stopped",
	}
	slices.Sort(got) // the time of a lookup varies
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	for _, part := range []string{
		`"line":"IAMAT kiwi +34.068930-118.445127 5","length":34`,
		`"line":"red \u001b[31m\u202e","length":12`,
		`"status":"OK","results":2,"bytes":`,
	} {
		if !strings.Contains(all, part) {
			t.Errorf("the log lacks %s:\n%s", part, all)
		}
	}
	if s := r.Stderr.String(); !strings.Contains(s, "\tstarted\t") || strings.Contains(s, "kiwi") {
		t.Errorf("stderr has lines, or no entries: %s", s)
	}
}

// A log file that is a symbolic link is an error of one line. The directory may be one.
func TestServeOfALinkedLog(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford")
	logs, elsewhere := filepath.Join(h.Dir, "logs"), filepath.Join(h.Dir, "elsewhere")
	file := filepath.Join(elsewhere, "server-Alford.log")
	for _, err := range []error{os.Mkdir(elsewhere, 0o750), os.Symlink(elsewhere, logs), os.Symlink("/dev/null", file)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, stderr, code := h.Command("", "serve", "Alford")
	if want := "is a symbolic link, which is not followed"; code != 1 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, %q, want %q", code, stderr, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	h.Stop("Alford")
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `"msg":"started"`) {
		t.Errorf("%v, %s", err, text)
	}
}

// stuckClient connects a client that sends many requests and never reads.
func stuckClient(h *processtest.Herd, name string) {
	h.T.Helper()
	c, err := net.Dial("tcp", h.Server(name).Address)
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	const questions = 4000 // 40 MB of replies, more than socket buffers
	text := "IAMAT kiwi +34.068930-118.445127 5\n" + strings.Repeat("WHATSAT kiwi 50 20\n", questions)
	if _, err := io.WriteString(c, text); err != nil {
		h.T.Fatal(err)
	}
	before := uint64(0)
	processtest.Eventually(h.T, "the server waits for its reader", func() bool {
		s := h.Status(name)
		if s == nil || s.Counters.WHATSAT == 0 {
			return false
		}
		same := s.Counters.WHATSAT == before
		before = s.Counters.WHATSAT
		return same
	})
	if before == questions {
		h.T.Fatal("all requests were answered, but nobody reads")
	}
}

// signalUntil sends signals to a process until stop is called. The first ones may count as one with a
// previous signal.
func signalUntil(p *os.Process) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			_ = p.Signal(os.Interrupt)
			select {
			case <-done:
				return
			case <-time.After(oneSignal / 2):
			}
		}
	}()
	return func() { close(done) }
}

// Signals in quick succession count as one.
func TestAnotherSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, begun := make(chan os.Signal, 2), time.Now()
		go func() {
			for range 3 {
				signals <- syscall.SIGTERM
				time.Sleep(oneSignal / 2)
			}
			signals <- os.Interrupt
			close(signals)
		}()
		if s, took := anotherSignal(signals), time.Since(begun); s != syscall.SIGTERM || took != oneSignal {
			t.Errorf("%v after %v", s, took)
		}
		anotherSignal(signals)
	})
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	manager := processtest.ListenNotify(t, processtest.NotifySocket(t, ""))
	h, listeners := processtest.NewHerd(t, "[limits]\ndrain = \"1h\"\n"+processtest.Embedded, "Alford")
	h.Env = []string{"NOTIFY_SOCKET=" + manager.Socket}
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	stuckClient(h, "Alford")
	r := h.Running["Alford"]
	_ = r.Cmd.Process.Signal(syscall.SIGTERM)
	processtest.Eventually(t, "stopping", func() bool { return strings.Contains(r.Stderr.String(), "stopping") })
	stop := signalUntil(r.Cmd.Process)
	h.Wait(r)
	stop()
	if code := r.Cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	// The loop continues until the process exits, so more entries may follow.
	if got, _ := entries(h, "Alford"); !slices.Contains(got, "forced exit") {
		t.Errorf("there is no entry about the forced exit; its last entry is %q", got[len(got)-1])
	}
	processtest.Eventually(t, "the service manager knows why", func() bool {
		states := manager.States()
		return len(states) > 0 && strings.HasPrefix(states[len(states)-1], "STATUS=forced exit: second signal: ")
	})
}

// A client that does not read delays a stop by at most the drain time.
func TestDrainTime(t *testing.T) {
	h := processtest.StartHerd(t, "[limits]\ndrain = \"100ms\"\n"+processtest.Embedded, "Alford")
	stuckClient(h, "Alford")
	if code := h.Stop("Alford"); code > 1 {
		t.Errorf("exit code %d", code)
	}
	if _, all := entries(h, "Alford"); !strings.Contains(all, "drain timed out") {
		t.Errorf("the log does not say that the drain timed out")
	}
}

// A server survives the end of its terminal.
func TestServeOutlivesItsOutput(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(processtest.Binary, "serve", "Alford", "--config", h.Config())
	c.Dir, c.Stdout, c.Stderr = h.Dir, w, w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close()
	for i := range 3 { // each logs entries
		processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
		if got := h.Ask("Alford", fmt.Sprintf("IAMAT kiwi +1-1 %d\n", i)); !strings.HasPrefix(got, "AT Alford ") {
			t.Errorf("Alford answered %q", got)
		}
	}
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil {
		t.Errorf("serve after SIGINT: %v", err)
	}
}

func TestHelp(t *testing.T) {
	out, _, code := processtest.Command(t, t.TempDir(), "", "--help")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	at := 0
	for _, command := range newRoot().Commands() {
		name := command.Name()
		if command.Hidden || name == "help" {
			continue
		}
		i := strings.Index(out[at:], "\n  "+name+" ")
		if i < 0 {
			t.Errorf("help does not list %s in its place:\n%s", name, out)
			break
		}
		at += i
		if text, _, code := processtest.Command(t, t.TempDir(), "", name, "--help"); code != 0 ||
			name != "completion" && (!strings.Contains(text, "Examples:\n") || !strings.Contains(text, "\n  herd "+name)) {
			t.Errorf("help of %s has no example: %d %s", name, code, text)
		}
	}
	for _, later := range []string{"study"} {
		if strings.Contains(out, "\n  "+later) {
			t.Errorf("help lists %s", later)
		}
	}
}

// Help fits on a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Parent() == nil || c.Parent().Name() != "completion" { // cobra's own text
			c.InitDefaultHelpFlag()
			var text bytes.Buffer
			c.SetOut(&text)
			_ = c.Help()
			for line := range strings.Lines(text.String()) {
				if n := view.Width(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("help of %s: %d columns: %s", c.CommandPath(), n, line)
				}
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}

// Lines of a paragraph of help are as long as they can be.
func TestHelpIsFilled(t *testing.T) {
	for _, c := range newRoot().Commands() {
		lines := strings.Split(c.Long, "\n")
		for i, line := range lines[:len(lines)-1] {
			word, _, _ := strings.Cut(lines[i+1], " ")
			if line != "" && word != "" && view.Width(line)+1+view.Width(word) < 76 && c.Name() != "completion" && c.Name() != "help" { // cobra's own
				t.Errorf("help of %s: %q would fit behind %q", c.Name(), word, line)
			}
		}
	}
}

// The names of servers are completed.
func TestCompletion(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", processtest.Names...)
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	t.Setenv("HERD_CONFIG", h.Config())
	for _, args := range [][]string{{"serve", ""}, {"up", "Alford", ""}, {"iamat", "--at", ""}} {
		out, errOut, code := processtest.Command(t, t.TempDir(), "", append([]string{"__complete"}, args...)...)
		if code != 0 || !strings.HasPrefix(out, strings.Join(processtest.Names, "\n")+"\n") {
			t.Errorf("%q: exit code %d, %q, %s", args, code, out, errOut)
		}
	}
	if out, _, code := processtest.Command(t, t.TempDir(), "", "completion", "bash"); code != 0 || !strings.Contains(out, "__start_herd") {
		t.Errorf("completion bash: exit code %d", code)
	}
}

// Profiles are served only with --pprof.
func TestPprof(t *testing.T) {
	for _, flag := range []string{"", "--pprof"} {
		h, listeners := processtest.NewHerd(t, "", "Alford")
		for _, l := range listeners["Alford"] {
			l.Close()
		}
		c := exec.Command(processtest.Binary, strings.Fields("serve Alford --config "+h.Config()+" "+flag)...)
		c.Dir = h.Dir
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
		console, err := net.Dial("tcp", h.Server("Alford").Console)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(console, "GET /debug/pprof/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
		answer, _ := io.ReadAll(console)
		console.Close()
		if got, want := strings.Contains(string(answer), " 200 "), flag != ""; got != want {
			t.Errorf("%q: /debug/pprof answers %v, want %v", flag, got, want)
		}
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
}

// A listener of socket activation beyond loopback requires a secret, too.
func TestAHandedListenerBeyondLoopbackNeedsASecret(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	open, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	r := h.Start("Alford", open)
	h.Wait(r)
	want := "listener of Alford by LISTEN_FDS: "
	if code := r.Cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(r.Stderr.String(), want) ||
		!strings.Contains(r.Stderr.String(), "set herd.secret_file or $HERD_SECRET") {
		t.Errorf("exit code %d, stderr %s", code, r.Stderr)
	}
}

// The forced exit is later than the journal's timeout, however short the drain time is.
func TestHardStopComesAfterTheJournal(t *testing.T) {
	for _, drain := range []time.Duration{time.Millisecond, time.Second, 5 * time.Second, time.Minute} {
		cfg := &config.Config{Limits: config.Limits{Drain: drain}}
		if got := hardStop(cfg); got < drain+journal.MaxClose+time.Second+herd.ConsoleClose || got < 2*drain {
			t.Errorf("drain time %v: ended by force after %v; the journal may take %v", drain, got, journal.MaxClose)
		}
	}
}

// When a server stops, streams of its console end like any answer, and are not cut off.
func TestStreamsEndWhenTheServerStops(t *testing.T) {
	h := processtest.StartHerd(t, "", "Alford")
	var streams []io.Reader
	for i := range 200 { // so that some have not ended when the next thing happens
		query := []string{"", "?id=kiwi"}[i%2]
		r, err := http.Get("http://" + h.Server("Alford").Console + "/watch" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		lines := bufio.NewReader(r.Body)
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "Alford") {
			t.Fatalf("%q, %v", line, err)
		}
		streams = append(streams, lines)
	}
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for i, s := range streams {
		if text, err := io.ReadAll(s); err != nil {
			t.Errorf("stream %d: %q, %v", i, text, err)
		}
	}
}
