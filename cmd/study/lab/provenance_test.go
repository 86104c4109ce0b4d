package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commit of the rules is the last one that changed them, and rules that no commit has are not called its.
func TestStated(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CEILING_DIRECTORIES", os.TempDir())
	for _, key := range []string{"GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"} {
		t.Setenv(key, "study")
	}
	t.Setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05+01:00")
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := stated(dir); got.Commit != "" || got.text() != "the commit of the rules is unknown" || got.command() != "" {
		t.Errorf("outside a checkout: %+v", got)
	}
	git("init", "-q")
	folder := filepath.Join(dir, rulesFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := ruleFiles.ReadDir(".")
	if err != nil || len(files) != 7 {
		t.Fatalf("%d files have rules: %v", len(files), err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", ".")
		git("commit", "-q", "-m", name)
	}
	for _, f := range files {
		text, _ := ruleFiles.ReadFile(f.Name())
		put(f.Name(), string(text))
	}
	rules := git("rev-parse", "HEAD")
	put("another.go", "package lab")
	got := stated(folder)
	if got.Commit != rules || got.Changed || got.Date.Format("2006-01-02 15:04") != "2026-01-02 02:04" {
		t.Errorf("%+v, want commit %s", got, rules)
	}
	if want := "git show " + rules[:12] + ":cmd/study/lab/rules.go"; got.command() != want {
		t.Errorf("the command is %q, want %q", got.command(), want)
	}
	if shown := git(strings.Fields(got.command())[1:]...); !strings.Contains(shown, "var Rules =") {
		t.Errorf("the command shows %q", shown)
	}
	if got.since() != "" {
		t.Errorf("the same rules: %q", got.since())
	}
	older := got
	older.Digest = "of other rules"
	if want := "git diff " + rules[:12] +
		" -- cmd/study/lab/{comparisons,growth,plan,rules,statistics,targets,workloads}.go"; older.since() != want {
		t.Errorf("other rules compute the report: %q, want %q", older.since(), want)
	}
	d := &document{}
	reportRules(d, &Results{Rules: Rules, Rows: []*Data{{Row: Row{Name: "race"}, Stated: older}}})
	if text := string(d.markdown()); !strings.Contains(text, "`"+older.since()+"` shows how.") {
		t.Errorf("the report does not say that the rules changed:\n%s", text)
	}
	put("rules.go", "package lab // other rules")
	if got := stated(dir); !got.Changed || got.command() != "" || !strings.Contains(got.text(), "differ from those of commit") {
		t.Errorf("with other rules: %+v, %s", got, got.text())
	}
}
