package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that is started on a core may use only that, and this process is afterwards as it was.
func TestAffinity(t *testing.T) {
	first, second, err := twoCores()
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT RUN: TestAffinity: "+err.Error())
		t.SkipNow()
	}
	allowed := func() string {
		t.Helper()
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(set)
	}
	before := allowed()
	var out []byte
	if err := onCore(second, func() (err error) {
		out, err = exec.Command("cat", "/proc/self/status").Output()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", second); !strings.Contains(string(out), want) {
		t.Errorf("the child's status is\n%s", out)
	}
	undo, err := selfOnCore(first)
	if err != nil {
		t.Fatal(err)
	}
	if got := allowed(); got != fmt.Sprint(*only(first)) {
		t.Errorf("this process may use %s", got)
	}
	undo()
	if got := allowed(); got != before {
		t.Errorf("afterwards this process may use %s, before %s", got, before)
	}
}
