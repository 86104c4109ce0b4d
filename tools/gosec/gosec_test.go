package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// vet runs go vet with this tool on a module of one file in a package, and returns the findings, without positions.
func vet(t *testing.T, tool, pkg, text string) (found []string, failed bool) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module serverherd\n\ngo 1.26\n", pkg + "/x.go": text,
		pkg + "/x_test.go": "package x\n\nimport \"os\"\n\nfunc inTest(name string) { _, _ = os.Open(name) }\n"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "vet", "-vettool="+tool, "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if m := regexp.MustCompile(`x\.go:(\d+):\d+: (G\d+|.*)`).FindStringSubmatch(line); m != nil {
			if f := m[1] + " " + m[2]; !slices.Contains(found, f) {
				found = append(found, f)
			}
		}
	}
	if (err != nil) != (len(found) > 0) {
		t.Fatalf("%v\n%s", err, out)
	}
	return found, err != nil
}

func TestGosec(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "gosec")
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const noReason = "an exception has rules and a reason: // #nosec G304 -- the reason"
	open := func(comment string) string {
		return "package x\n\nimport \"os\"\n\n" + "func open(name string) {\n\t" + comment + "\n\t_, _ = os.Open(name)\n}\n"
	}
	for _, c := range []struct {
		name, pkg, text string
		want            []string // lines and rules, or messages
	}{
		{"a finding", "herd", open(""), []string{"7 G304"}},
		{"a finding in the laboratory", "cmd/study/lab", open(""), nil},
		{"another name than the laboratory's", "cmd/studyx", open(""), []string{"7 G304"}},
		{"an exception", "herd", open("// #nosec G304 -- the operator names it"), nil},
		{"an exception of another rule", "herd", open("// #nosec G104 -- no"), []string{"7 G304", "6 #nosec G104 excuses nothing"}},
		{"of two rules, one of them for nothing", "herd", open("// #nosec G104 G304 -- no"), []string{"6 #nosec G104 excuses nothing"}},
		{"no reason", "herd", open("// #nosec G304"), []string{"6 " + noReason, "7 G304"}},
		{"an empty reason", "herd", open("// #nosec G304 -- "), []string{"6 " + noReason, "7 G304"}},
		{"no rule", "herd", open("// #nosec -- all is well"), []string{"6 " + noReason, "7 G304"}},
		{"of a function", "herd", "package x\n\nimport \"os\"\n\n// #nosec G304 -- yes\nfunc open(name string) {\n\n\t_, _ = os.Open(name)\n}\n", nil},
		{"from afar", "herd", open("// #nosec G304 -- no\n\n"), []string{"9 G304", "6 #nosec G304 excuses nothing"}},
		{"errors of Close and of others", "herd", "package x\n\nimport \"os\"\n\nfunc f(f *os.File) {\n\tf.Close()\n\tf.Sync()\n}\n",
			[]string{"7 G104"}},
		{"numbers", "herd", "package x\n\nfunc f(b []byte, n uint64) (uint64, uint16, int) {\n\treturn uint64(len(b)),\n\t\tuint16(len(b)),\n\t\tint(n)\n}\n",
			[]string{"5 G115", "6 G115"}},
		{"TLS in the laboratory", "herd/sim", "package x\n\nimport \"crypto/tls\"\n\nvar c = tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}\n",
			[]string{"5 G402"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := vet(t, tool, c.pkg, c.text)
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q\ninstead of %q", got, c.want)
			}
		})
	}
}

// No package of the laboratory is in bin/herd.
func TestLaboratory(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/herd")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "serverherd/herd\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	for path := range strings.Lines(string(out)) {
		if laboratory.MatchString(strings.TrimSpace(path)) {
			t.Errorf("%s is in bin/herd", strings.TrimSpace(path))
		}
	}
}
