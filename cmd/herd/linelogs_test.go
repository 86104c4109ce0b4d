package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/logging"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// The log size per update that up prints is correct.
func TestBytesPerUpdate(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", processtest.Names...)
	written := func() (n int) {
		for _, name := range processtest.Names {
			n += int(h.Status(name).Log.Written)
		}
		return n
	}
	settled := func() int {
		last := written()
		processtest.Eventually(t, "the logs are written", func() bool {
			before := last
			last = written()
			return last-before < 2000 // occasional PINGs
		})
		return last
	}
	before := settled()
	const updates = 2000
	var lines strings.Builder
	for i := range updates {
		fmt.Fprintf(&lines, "IAMAT kiwi%03d.cs.ucla.edu +34.068930-118.445127 %d.918963997\n", i%1000, 1520023934+i)
	}
	if n := strings.Count(h.Ask("Alford", lines.String()), "\n\n"); n != updates {
		t.Fatalf("%d replies", n)
	}
	h.UntilEqual(1000)
	each := (settled() - before) / updates
	c := config.Log{Lines: true, Level: "info", Format: "json"}
	want := bytesPerUpdate(&c, 5, 10)
	if each < want*2/3 || each > want*2 {
		t.Errorf("%d bytes for an update, want %d to twice that", each, want)
	}
	// Log.Written is the size of the file.
	for _, name := range processtest.Names {
		processtest.Eventually(t, "what is counted is in the log of "+name, func() bool {
			n := int64(h.Status(name).Log.Written)
			info, err := os.Stat(h.Status(name).Log.File)
			return err == nil && info.Size() >= n && info.Size() <= n+2000
		})
	}
}

func TestLogsOf(t *testing.T) {
	c := config.Log{Dir: "logs", Lines: true, Level: "info", Format: "json", MaxSize: 100 << 20, MaxFiles: 5}
	quiet, endless := c, c
	quiet.Level, endless.MaxSize = "warn", 0
	for want, c := range map[string]config.Log{
		"Logs: logs/server-NAME.log, at most 3.1 GB in total (log.max_size)\n" +
			"  1,000 updates/s add 2.8 MB/s to 5.5 MB/s (log.lines = true)": c,
		"Logs: logs/server-NAME.log, at most 3.1 GB in total (log.max_size)": quiet,
		"Logs: logs/server-NAME.log, no size limit (log.max_size = 0)\n" +
			"  1,000 updates/s add 2.8 MB/s to 5.5 MB/s (log.lines = true)": endless,
	} {
		if got := strings.Join(logsOf(&c, 5, 10), "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		for line := range strings.Lines(want) { // up adds a prefix, on a terminal of 80 columns
			if n := len("Hamilton | ") + len(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
	if n := logging.LineSize(&c, len("help")); n != 113 {
		t.Errorf("%d bytes", n)
	}
}

func TestByteCount(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 123456: "123 kB", 31.24e6: "31 MB", 999.6e6: "1.0 GB", 3.1457e9: "3.1 GB",
	} {
		if got := view.Bytes(n); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}

// loadNotes runs a load and returns its standard error.
func loadNotes(t *testing.T, h *processtest.Herd, args ...string) string {
	t.Helper()
	_, errOut, code := h.Command("", append([]string{"load"}, args...)...)
	if code != 0 {
		t.Errorf("%q: exit code %d, %s", args, code, errOut)
	}
	return errOut
}

// load reports where the line logs are, how fast they grow, their size limit, and which clients stay.
func TestLoadTellsOfLogsAndClients(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[log]\nmax_size = 10000000\nmax_files = 2\n", "Alford")
	logs := filepath.Join(h.Dir, "logs", "server-NAME.log")
	notes := loadNotes(t, h, "-c", "2", "-d", "2s", "--clients", "2345", "--mix", "iamat:whatsat=9:1")
	want := regexp.MustCompile(`^line logs: ` + regexp.QuoteMeta(logs) + ` of 1 server, at most 30 MB in total \(log.max_size, log.max_files\)
line logs: ([0-9.]+ [kM]B)/s at this rate, at most 30 MB in total \(log.max_size, log.max_files\)
line logs: [0-9.]+ [kM]B in [0-9.]+ s, ([0-9.]+ [kM]B)/s
2,345 clients load0000000 ... load0002344 stay in the herd until all its servers are stopped
$`)
	if !want.MatchString(notes) || h.Status("Alford").Records != 2345 {
		t.Errorf("%d clients; got\n%swant\n%s", h.Status("Alford").Records, notes, want)
	}
	for _, id := range []string{"load0000000", "load0002344"} {
		if !strings.HasPrefix(h.Ask("Alford", "WHATSAT "+id+" 1 0\n"), "AT ") {
			t.Errorf("%s is not there", id)
		}
	}
	// The reported numbers are correct.
	before := h.Status("Alford").Log.Written
	notes = loadNotes(t, h, "-c", "2", "-d", "1s", "--rate", "500")
	after := h.Status("Alford").Log.Written
	var grown float64
	if _, err := fmt.Sscanf(notes[strings.LastIndex(notes, "line logs: "):], "line logs: %f kB", &grown); err != nil {
		t.Fatalf("%v in %s", err, notes)
	}
	if most := float64(after-before) / 1000; grown > most*1.01 || grown < most/2 {
		t.Errorf("printed %v kB, written %v kB", grown, most)
	}
	// Short connections leave no clients.
	if notes := loadNotes(t, h, "-d", "200ms", "-c", "0", "--churn", "10/s"); strings.Contains(notes, "in the herd") {
		t.Errorf("%s", notes)
	}
	// Clients stay after an interrupted load, too.
	c := exec.Command(processtest.Binary, "load", "-c", "2", "-d", "1h", "--warmup", "0s", "--live", "--config", h.Config())
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "replies/s") })
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if !strings.Contains(out.String(), "1,000 clients load0000000 ... load0000999 stay in the herd until") {
		t.Errorf("%s", out.String())
	}
}

// Clients stay where the herd keeps its records, besides its servers.
func TestReportStay(t *testing.T) {
	journal, bridge := &herd.Status{Journal: new(herd.JournalStatus)}, &herd.Status{Bridge: new(herd.BridgeStatus)}
	for want, servers := range map[string][]*herd.Status{
		"it stays in the herd until all its servers are stopped":     {{}},
		"it stays in the herd and in its journals":                   {{}, journal},
		"it stays in the herd and in the bucket":                     {{}, bridge},
		"it stays in the herd and in its journals and in the bucket": {bridge, journal},
	} {
		said := ""
		reportStay(func(text string) { said = text }, "it", "stays", logSample{servers: servers}.kept(), nil, false)
		if said != want {
			t.Errorf("%q, want %q", said, want)
		}
	}
}

// Logs without lines are not reported, and clients in a journal survive a restart.
func TestLoadTellsOfJournals(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[log]\nlines = false\n[storage]\ndir = \"journal\"\n", processtest.Names...)
	notes := loadNotes(t, h, "-d", "200ms", "--servers", "Alford,Ball", "--seed", "7", "--replication")
	if want := "client replication-7 stays in the herd and in its journals\n"; notes != want {
		t.Errorf("%q, want %q", notes, want)
	}
	notes = loadNotes(t, h, "-c", "2", "-d", "200ms", "--mix", "whatsat")
	if want := "1,000 clients load0000000 ... load0000999 stay in the herd and in its journals\n"; notes != want {
		t.Errorf("%q, want %q", notes, want)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// The growth of a server that does not answer or was restarted in between is unknown, and not zero.
func TestGrowth(t *testing.T) {
	at := time.Unix(1, 0)
	status := func(name, epoch string, written uint64) *herd.Status {
		return &herd.Status{Server: name, Epoch: epoch, Log: herd.LogStatus{Lines: true, Written: written}}
	}
	before := logSample{at, []*herd.Status{status("A", "a", 1000), status("B", "b", 1000), status("C", "c", 1), {Server: "Quiet"}}}
	after := logSample{at.Add(2 * time.Second), []*herd.Status{status("A", "a", 4000), status("B", "d", 10)}}
	bytes, rate, unknown := after.since(before)
	if bytes != 3000 || rate != 1500 || !slices.Equal(unknown, []string{"B", "C"}) {
		t.Errorf("%v bytes, %v/s, unknown %q", bytes, rate, unknown)
	}
}

// A server that hangs, here a neighbor, does not delay the measurement.
func TestLoadBesideAServerThatHangs(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Hamilton")
	hanging := h.Running["Hamilton"].Cmd.Process
	processtest.Suspend(t, hanging.Pid)
	defer func() { _ = hanging.Signal(syscall.SIGCONT) }()
	rows := func(args ...string) int {
		notes := loadNotes(t, h, append([]string{"--at", "Alford", "-c", "2", "--warmup", "0s", "-d", "4s", "--csv", "s.csv"}, args...)...)
		if !strings.Contains(notes, " of 1 server, ") || strings.Count(notes, "line logs: ") != 3 {
			t.Errorf("%s", notes)
		}
		text, err := os.ReadFile(filepath.Join(h.Dir, "s.csv"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n") - 1
	}
	// Four on an idle machine; two if one of them waits 3 s for the server that hangs.
	if n := rows(); n < 3 {
		t.Errorf("%d seconds of 4", n)
	}
}

// lineLogs.second does not wait for a server that hangs.
func TestLineLogsDoNotWait(t *testing.T) {
	t.Parallel()
	answers, asked := make(chan *herd.Status, 3), make(chan bool, 3)
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- true
		select {
		case s := <-answers:
			_ = json.NewEncoder(w).Encode(s)
		case <-r.Context().Done():
		}
	}))
	defer console.Close()
	written := uint64(0)
	answer := func() {
		written += 1000
		answers <- &herd.Status{Server: "Ball", Epoch: "a", Log: herd.LogStatus{Lines: true, Written: written, File: "server-Ball.log", MaxBytes: 9000}}
	}
	var said []string
	l := lineLogs{client: ask.New(ask.Options{Timeout: sampleTimeout}), cfg: &config.Config{Servers: []config.Server{{Name: "Ball", Console: console.Listener.Addr().String()}}},
		say: func(text string) { said = append(said, text) }}
	answer()
	l.begin()
	<-asked
	l.second(load.Second{}, time.Hour)
	<-asked
	l.second(load.Second{}, time.Hour) // returns without a sample
	if len(said) != 1 {
		t.Errorf("printed %q", said)
	}
	if missing, all := l.end(); !all || !slices.Equal(missing, []string{"Ball"}) {
		t.Errorf("missing %q, all: %v", missing, all)
	}
	want := "line logs: growth unknown: Ball does not answer or was restarted"
	if len(said) != 2 || said[1] != want {
		t.Errorf("printed %q, want %q last", said, want)
	}
}

// If the only server has died, load reports neither zero log growth nor that clients stay.
func TestLoadOfAServerThatDiesTells(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	c := exec.Command(processtest.Binary, "load", "-c", "4", "-d", "1h", "--live", "--warmup", "0s", "--config", h.Config())
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the load has begun", func() bool { return strings.Contains(out.String(), "replies/s") })
	h.Kill("Alford")
	_ = c.Wait()
	const because = "unknown: Alford does not answer or was restarted\n"
	for _, want := range []string{"\nline logs: growth " + because,
		"\nunknown whether 1,000 clients load0000000 ... load0000999 stay in the herd: Alford does not answer or was restarted\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
