package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
)

// The progress line fits on a terminal of 80 columns.
func TestLoadsLineFitsTheTerminal(t *testing.T) {
	f := &loadFlags{Options: load.Options{Duration: time.Hour, Warmup: time.Second}}
	for _, s := range []load.Second{
		{Length: time.Second, Warmup: true},
		{At: time.Hour, Length: time.Second, Latency: load.Latency{P50: 12.345678, P99: 60}, Warmup: true,
			Counts: load.Counts{Replies: 1_234_567, Errors: 123_456_789}},
	} {
		var out bytes.Buffer
		f.progress(&out, true, s)
		line, same := strings.CutPrefix(out.String(), "\r\x1b[K")
		if !same || len(line) > 79 || strings.ContainsAny(line, "\n") || !strings.Contains(line, "replies/s") {
			t.Errorf("%d columns: %q", len(line), out.String())
		}
	}
}

// Ctrl-C ends a load early: it prints the report so far and writes the files.
func TestLoadInterrupted(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	name := filepath.Join(h.Dir, "r.json")
	c := exec.Command(processtest.Binary, "load", "-c", "4", "-d", "1h", "--warmup", "0s", "--live", "--json", name,
		"--config", h.Config())
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the load has begun", func() bool { return strings.Contains(out.String(), "replies/s") })
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "latency, ms") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	var r load.Report
	text, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(text, &r) != nil || r.All.Replies == 0 || r.All.Unanswered != 0 {
		t.Errorf("%v, %s", err, text)
	}
}

// With --find-max and --json - standard output has only the report.
func TestLoadFindMax(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	// Each connection may have a request in flight at the end: with 64 of them the lowest rate tried
	// succeeds on a busy machine, too.
	args := []string{"load", "-c", "64", "-d", "100ms", "--warmup", "0s", "--json", "-", "--find-max"}
	out, errOut, code := h.Command("", append(args, "p50<10s")...)
	var r load.Report
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || r.Rate <= 0 || r.Seed == 0 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	if !strings.Contains(errOut, "closed loop, pipeline 16: ") || !strings.Contains(errOut, ": yes\n") ||
		!strings.Contains(errOut, "highest rate with p50<10s of those tried: ") {
		t.Error(errOut)
	}
	out, errOut, code = h.Command("", append(args, "p50<1ns")...)
	if code != 1 || out != "" || !strings.Contains(errOut, "--find-max: p50<1ns was not met at any rate tried") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

// A file that cannot be created stops a load before it begins. A file that cannot be written, or a closed
// output, does not prevent the others from being written.
func TestLoadsFiles(t *testing.T) {
	h := processtest.StartHerd(t, "", "Alford")
	short := []string{"load", "-c", "2", "-d", "100ms", "--warmup", "0s"}
	out, errOut, code := h.Command("", append(short, "-d", "1h", "--json", "none/r.json")...)
	if code != 1 || !strings.Contains(errOut, "none/r.json: no such file") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	out, errOut, code = h.Command("", append(short, "--json", "/dev/full", "--csv", "a.csv", "--hdr", "a.hdr")...)
	if code != 1 || !strings.Contains(errOut, "/dev/full: ") || !strings.Contains(errOut, "no space left") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	out, _, code = h.Command("", append(short, "--csv", "-")...)
	if code != 0 || !strings.HasPrefix(out, "second,") || strings.Contains(out, "latency, ms") {
		t.Errorf("exit %d\n%s", code, out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	name := filepath.Join(h.Dir, "b.json")
	c := exec.Command(processtest.Binary, append(short, "--json", name, "--config", h.Config())...)
	c.Stdout = w
	if err := c.Run(); err == nil {
		t.Error("no error for a closed output")
	}
	w.Close()
	for _, file := range []string{"a.csv", "a.hdr", "b.json"} {
		if text, err := os.ReadFile(filepath.Join(h.Dir, file)); err != nil || len(text) == 0 {
			t.Errorf("%s: %v, %q", file, err, text)
		}
	}
}
