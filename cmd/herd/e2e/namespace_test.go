package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inNamespace is set for a run of these tests in a separate network namespace.
const inNamespace = "E2E_IN_NAMESPACE"

// inside runs the calling test again in a new network namespace, which a shell script prepares, and reports whether this is
// that run. Its figures are added to the table. Without support for namespaces the test is NOT RUN.
func inside(t *testing.T, required, script string) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return true
	}
	out, err := exec.Command("unshare", "--net", "sh", "-c", script).CombinedOutput()
	if err != nil {
		notRun(t, required, fmt.Sprintf("no network namespace where this runs: %v %s\n%s", err, bytes.TrimSpace(out), script))
	}
	again := exec.Command("unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v",
		fmt.Sprintf("-e2e.real=%v", *realSize))
	again.Env = append(os.Environ(), inNamespace+"=yes")
	if out, err = again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rows := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, " | ")
		if len(f) == 4 && strings.HasPrefix(line, "| "+strings.TrimPrefix(t.Name(), "Test")) {
			figure(t, strings.HasPrefix(f[3], "met"), f[1], "%s", f[2])
			rows++
		}
	}
	if rows == 0 && *realSize { // otherwise no table is printed
		t.Errorf("no figures in\n%s", out)
	}
	return false
}
