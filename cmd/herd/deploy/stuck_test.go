package deploy

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/engines"
)

// beStuck is the environment variable of a process whose event loop is stuck, see TestStuckLoopIsPrinted.
const beStuck = "HERD_TEST_STUCK"

// stuckCall never returns, and gives no other goroutine its thread.
func stuckCall() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) // as LimitCORE of the unit
	fmt.Println("stuck")
	// Without memory that others see: the race detector's functions for it have no stack that Go could print.
	for n := uint(1); n != 0; n = 2*n | 1 {
	}
}

// stuck is a process whose event loop is stuck.
func stuck() {
	loop := engines.New(engines.Names[0], engines.Options{Workers: 1})
	loop.CallFromThread(stuckCall)
	fmt.Println(loop.Run())
}

// With the environment of the unit, a process that the watchdog ends prints where its loop is stuck, always.
func TestStuckLoopIsPrinted(t *testing.T) {
	set := regexp.MustCompile(`(?m)^Environment=(GOTRACEBACK=.*)$`).FindStringSubmatch(read(t, "systemd/herd@.service"))
	if set == nil || !regexp.MustCompile(`(?m)^LimitCORE=0$`).MatchString(read(t, "systemd/herd@.service")) {
		t.Fatalf("the unit sets %q, or there may be a core", set)
	}
	for range 5 { // each alone could be chance
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), beStuck+"=1", set[1])
		var printed strings.Builder
		c.Stderr = &printed
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "stuck\n" {
			t.Errorf("%q, %v", line, err)
		}
		_ = c.Process.Signal(syscall.SIGABRT)
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
		if c.ProcessState.ExitCode() != -1 || c.ProcessState.Sys().(syscall.WaitStatus).CoreDump() || !strings.Contains(printed.String(), "deploy.stuckCall(") {
			t.Fatalf("%v, without the stack of stuckCall:\n%s", c.ProcessState, printed.String())
		}
	}
}
