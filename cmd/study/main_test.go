package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// built is the study binary, next to the herd binary.
var built = sync.OnceValues(func() (binary string, err error) { return processtest.Build("study") })

// study runs the command in dir.
func study(t *testing.T, dir string, args ...string) (out, said string, code int) {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return processtest.Run(t, dir, "", append([]string{binary}, args...)...)
}

// Rows with real servers on every engine, a blocking handler, and a simulated herd have figures, and the
// report can be written again.
func TestStudy(t *testing.T) {
	dir := t.TempDir()
	out, said, code := study(t, dir, "--quick", "--rounds", "1",
		"--only", "slow-handler,correctness", "--out", "report")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, said)
	}
	report := readFile(t, dir, "report/report.md")
	for _, want := range []string{
		"| p99, ms, of other clients | loop | goroutines |", "| 10 ms in the handler | ",
		"| 10 ms in another thread | ", "| 3,000 lines | 3001 | 3001 | 3001 |", "| 3,000 lines | 0 | 0 | 0 |",
		"## Method and rules", "Nothing is decided: ", "too few rounds",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	if !regexp.MustCompile(`(?s)Rules for conclusions:.*\n7 runs, about 0m\d\ds\.\n` +
		`1/7, 0m0\ds elapsed, 0m\d\ds left: slow-handler, round 1, loop, .*` +
		`\nWritten:\n  report/report.md\n  report/report.html\n  report/raw.json\n  report/charts/`).MatchString(said) {
		t.Errorf("the progress is\n%s", said)
	}
	page := readFile(t, dir, "report/report.html")
	if !strings.Contains(page, "<svg role=") || !strings.Contains(page, "Method and rules</h2>") {
		t.Error("the page has no chart or no rules")
	}
	if strings.Contains(report, "failed:") || strings.Contains(report, "void:") {
		t.Errorf("not every run came about:\n%s", report)
	}
	_, said, code = study(t, dir, "--from", "report/raw.json", "--out", "again")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	if again := readFile(t, dir, "again/report.md"); again != report {
		t.Errorf("made of raw.json, the report is\n%s", again)
	}
}

// A row is measured with two binaries.
func TestStudyAgainst(t *testing.T) {
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	herd, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(binary), "herd"))
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, herd) // the runs have other directories
	if err != nil {
		t.Fatal(err)
	}
	out, said, code := study(t, dir, "--quick", "--only", "copy", "--out", "report", "--herd", relative,
		"--against", relative)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, said)
	}
	report := readFile(t, dir, "report/report.md")
	for _, want := range []string{
		`\| longest turn, ms \| herd \| against \|\n.*\n\| 100 k records \| [0-9.]+ \| [0-9.]+ \|`,
		`Compared with herd `,
	} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the report does not match %q:\n%s", want, report)
		}
	}
}

// A herd of five is measured at a rate and saturated.
func TestStudyOfUpdates(t *testing.T) {
	dir := t.TempDir()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	// Ten servers with the race detector are started, each of which loads the embedded places.
	ctx, cancel := context.WithTimeout(context.Background(), 5*processtest.Patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "--quick", "--only", "herd", "--out", "report")
	c.Dir = dir
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	report := readFile(t, dir, "report/report.md")
	for _, figure := range []string{"CPU per application, us of all servers", "propagation p99, ms"} {
		want := `\| ` + figure + ` \| herd \|\n.*\n\| 2 k/s, logged \| [0-9.]+ \|\n\| saturated, not logged \| [0-9.]+ \|`
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the report does not match %q:\n%s", want, report)
		}
	}
}

// A server restarts from its journal with all clients, and is copied. A herd is measured idle and loaded.
func TestStudyOfScale(t *testing.T) {
	dir := t.TempDir()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*processtest.Patience) // as TestStudyOfUpdates
	defer cancel()
	c := exec.CommandContext(ctx, binary, "--quick", "--only", "many-clients,many-servers", "--out", "report")
	c.Dir = dir
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	report := readFile(t, dir, "report/report.md")
	for figure, setting := range map[string]string{
		"heap per record": "100 k clients", "update p99": "100 k clients", "GC at first updates": "100 k clients",
		"restart": "100 k clients", "copy": "100 k clients", "longest turn": "100 k clients",
		"idle": "5 servers, 2 k/s", "AT lines per accepted": "5 servers, 2 k/s", "propagation p99": "5 servers, 2 k/s",
	} {
		want := `\n\| ` + figure + `, [^|]* \| herd \|\n.*\n\| ` + setting + ` \| [0-9.]+ \|`
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the report does not match %q:\n%s", want, report)
		}
	}
}

// The committed report is what the program generates from the committed raw.json.
func TestCommittedReport(t *testing.T) {
	dir := t.TempDir()
	raw, err := filepath.Abs("report/raw.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, said, code := study(t, dir, "--from", raw, "--out", "report"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	charts, err := filepath.Glob("report/charts/*.svg")
	if err != nil || len(charts) < 25 {
		t.Fatalf("%d charts: %v", len(charts), err)
	}
	for _, file := range append(charts, "report/report.md") {
		if readFile(t, dir, file) != readFile(t, ".", file) {
			t.Errorf("%s is another one: bin/study --from cmd/study/report/raw.json", file)
		}
	}
	if made, _ := filepath.Glob(filepath.Join(dir, "report/charts/*.svg")); len(made) != len(charts) {
		t.Errorf("%d charts are made, %d are in report/charts", len(made), len(charts))
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

// Invalid command lines.
func TestStudyUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "throughput,swimming"}, `--only: unknown row "swimming"; rows are throughput, latency,`},
		{[]string{"--from", "raw.json", "--quick"}, "--from excludes --quick"},
		{[]string{"--from", "raw.json", "--against", "herd"}, "--from excludes --quick, --only, --rounds and --against"},
		{[]string{"--rounds=-1"}, "--rounds: want a whole number from 1 to 1000, got -1"},
		{[]string{"--rounds", "0"}, "--rounds: want a whole number from 1 to 1000, got 0"},
		{[]string{"--rounds", "x"}, `invalid value "x" for flag -rounds`},
		{[]string{"--fast"}, "not defined: -fast; see study --help"},
		{[]string{"fast"}, `unknown argument "fast"`},
		{[]string{"bare", "gnet"}, "usage: study bare"},
	} {
		_, said, code := study(t, t.TempDir(), c.args...)
		if code != exitUsage || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: exit code %d: %s", c.args, code, said)
		}
	}
	_, said, code := study(t, t.TempDir(), "--from", "nothing.json")
	if code != exitFailed || !strings.Contains(said, "nothing.json") {
		t.Errorf("without its file: exit code %d: %s", code, said)
	}
	_, said, code = study(t, t.TempDir(), "--herd", "/bin/echo")
	if code != exitFailed || !strings.Contains(said, "/bin/echo is not a herd binary") {
		t.Errorf("with another program: exit code %d: %s", code, said)
	}
	_, said, code = study(t, t.TempDir(), "--against", "/bin/echo")
	if code != exitFailed || !strings.Contains(said, "/bin/echo is not a herd binary") {
		t.Errorf("against another program: exit code %d: %s", code, said)
	}
	out, said, code := study(t, t.TempDir(), "--help")
	if code != 0 || said != "" || !strings.Contains(out, "-only rows") {
		t.Errorf("help: exit code %d: %s%s", code, out, said)
	}
	out, _, code = study(t, t.TempDir(), "--list")
	if code != 0 || !strings.Contains(out, " flood-or-ask: ") ||
		!regexp.MustCompile(`\n +3 +\S+ +many-clients: .*\? \(only by --only\)\n`).MatchString(out) ||
		!regexp.MustCompile(`\n +\d+ +[0-9hm]+s +without those that need --only\n$`).MatchString(out) {
		t.Errorf("the list of rows: exit code %d:\n%s", code, out)
	}
}
