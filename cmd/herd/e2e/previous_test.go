package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

var previous = flag.String("e2e.previous", "",
	"what is upgraded: a commit, or a herd binary; by default the last commit whose program differed from that of HEAD")

// program are the files that make the program, as arguments of git log.
var program = []string{"--", "go.mod", "*.go", "*.html", "*.js", "*.css", ":(exclude)*_test.go", ":(exclude)cmd/study",
	":(exclude)cmd/herd/e2e", ":(exclude)herd/sim", ":(exclude)cmd/herd/jetstream/natstest"}

// git runs git in the directory of the test, and returns what it says.
func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, text)
	}
	return text, nil
}

// previousCommit is the commit that previous names. An error says why there is none, as in a tarball or a shallow clone.
func previousCommit() (string, error) {
	root, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	if head, err := git("-C", root, "rev-parse", "--git-path", "logs/HEAD"); err == nil {
		_, _ = os.Stat(filepath.Join(root, head)) // go test runs the test again when there is another commit
	}
	commit := *previous
	if commit == "" {
		last, err := git(append([]string{"-C", root, "log", "-1", "--format=%H"}, program...)...)
		if err != nil {
			return "", err
		}
		commit = last + "~1"
	}
	return git("rev-parse", "--verify", "--end-of-options", commit+"^{commit}")
}

// previousFile is the binary that previous names, relative to the root of the module; "" if it names none.
func previousFile() string {
	file := *previous
	if !filepath.IsAbs(file) {
		file = filepath.Join("..", "..", "..", file)
	}
	info, err := os.Stat(file)
	if file, e := filepath.Abs(file); err == nil && e == nil && info.Mode().IsRegular() {
		return file
	}
	return ""
}

// previousBinary builds the binary of previous, and returns how to call it in figures.
func previousBinary(t *testing.T, required string) (binary, name string) {
	t.Helper()
	commit, err := previousCommit()
	switch file := previousFile(); {
	case err == nil:
	case file != "":
		return file, *previous
	case *previous != "":
		t.Fatalf("%q is neither a commit nor a herd binary: %s", *previous, oneLine(err.Error()))
	default:
		notRun(t, required, "there is no earlier commit: "+oneLine(err.Error()))
	}
	root, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := git("clone", "--quiet", "--shared", "--no-checkout", root, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := git("-C", dir, "checkout", "--quiet", "--detach", commit); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "herd-before")
	begun := time.Now()
	// With -trimpath the compiled packages can be used again in another directory.
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-w", "-o", binary, "./cmd/herd")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build of %s: %v: %s", commit, err, out)
	}
	t.Logf("built %s in %.1f s, %.1f s of CPU", commit, time.Since(begun).Seconds(),
		(build.ProcessState.UserTime() + build.ProcessState.SystemTime()).Seconds())
	// Built in a checkout, it knows its commit.
	if out, _, code := processtest.Run(t, dir, "", binary, "version"); code != 0 || !strings.Contains(out, commit[:12]) {
		t.Errorf("herd version of %s: exit code %d, %q", commit, code, out)
	}
	return binary, commit[:12]
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
