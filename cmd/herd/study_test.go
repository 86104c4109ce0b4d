package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// Real servers on every engine, one of them with a handler that blocks, and a simulated herd: each
// row has figures, and a report is made of them, twice.
func TestStudy(t *testing.T) {
	dir := t.TempDir()
	out, said, code := processtest.Command(t, dir, "", "study", "--quick", "--rounds", "1",
		"--only", "slow-handler,correctness", "--out", "report")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, said)
	}
	report := readFile(t, dir, "report/report.md")
	for _, want := range []string{
		"| p99, ms, of other clients | loop | goroutines | owner |", "| 10 ms in the handler | ",
		"| 10 ms in another thread | ", "| 3,000 lines | 3001 | 3001 | 3001 |", "| 3,000 lines | 0 | 0 | 0 |",
		"## Rules", "## Conclusions", "too few runs",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	if strings.Contains(report, "failed:") || strings.Contains(report, "void:") {
		t.Errorf("not every run came about:\n%s", report)
	}
	_, said, code = processtest.Command(t, dir, "", "study", "--from", "report/raw.json", "--out", "again")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	if again := readFile(t, dir, "again/report.md"); again != report {
		t.Errorf("made of raw.json, the report is\n%s", again)
	}
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What cannot be is refused, and says why.
func TestStudyUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "throughput,swimming"}, `--only: no row is called "swimming"; there are throughput, latency,`},
		{[]string{"--from", "raw.json", "--quick"}, "--from measures nothing"},
		{[]string{"--rounds=-1"}, "--rounds: want a whole number from 1 to 1000, got -1"},
	} {
		_, said, code := processtest.Command(t, t.TempDir(), "", append([]string{"study"}, c.args...)...)
		if code != exitUsage || !strings.Contains(said, c.want) {
			t.Errorf("%q: exit code %d: %s", c.args, code, said)
		}
	}
	_, said, code := processtest.Command(t, t.TempDir(), "", "study", "--from", "nothing.json")
	if code != exitFailed || !strings.Contains(said, "nothing.json") {
		t.Errorf("without its file: exit code %d: %s", code, said)
	}
	out, _, code := processtest.Command(t, t.TempDir(), "", "study", "--list")
	if code != 0 || !strings.Contains(out, "\nflood-or-ask ") {
		t.Errorf("the list of rows: exit code %d:\n%s", code, out)
	}
}
