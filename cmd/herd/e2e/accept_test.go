package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// The whole system is out of files or memory, so nothing can be accepted. strace injects the error.
func TestNothingIsAccepted(t *testing.T) {
	const required = "ENFILE, ENOMEM: others are served, accepting resumes within 1 s"
	scenario(t)
	if _, err := exec.LookPath("strace"); err != nil {
		notRun(t, required, err.Error())
	}
	c := startCluster(t, quiet, "Alford")
	for _, cause := range []syscall.Errno{syscall.ENFILE, syscall.ENOMEM} {
		b := c.bystander("Alford")
		heal := c.inject(required, "Alford", "accept4", cause)
		late := c.dial("Alford") // in the kernel's queue
		_ = late.SetDeadline(time.Now().Add(processtest.Patience))
		fmt.Fprint(late, "nonsense\n")
		waitForLog(c.Herd, "Alford", cause.Error())
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			if _, err := io.ReadFull(late, make([]byte, len("? nonsense\n\n"))); err != nil {
				t.Errorf("%v: a connection made meanwhile is not served afterwards: %v", cause, err)
			}
		}()
		select {
		case <-accepted:
			t.Errorf("%v: a connection was accepted", cause)
		case <-time.After(sized(time.Second, 3*time.Second)): // for a while
		}
		p99, longest := b.done()
		heal()
		begun := time.Now()
		<-accepted
		took := time.Since(begun)
		if c.now("Alford").Counters.AcceptFailures == 0 {
			t.Errorf("%v: not counted", cause)
		}
		figure(t, took <= time.Second, required,
			"%v: accepted %.0f ms after its end; a bystander waits %.1f ms at p99, %.1f at most", cause,
			ms(took), ms(p99), ms(longest))
		late.Close()
	}
}

// inject makes a system call of a server fail until heal is called.
func (c *cluster) inject(required, name, call string, errno syscall.Errno) (heal func()) {
	c.T.Helper()
	names := map[syscall.Errno]string{syscall.ENFILE: "ENFILE", syscall.ENOMEM: "ENOMEM"}
	pid := fmt.Sprint(c.Running[name].Cmd.Process.Pid)
	said := &processtest.Output{}
	strace := exec.Command("strace", "-f", "-p", pid, "-o", "/dev/null", "-e", "trace="+call,
		"-e", "inject="+call+":error="+names[errno])
	strace.Stderr = said
	if err := strace.Start(); err != nil {
		c.T.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = strace.Wait()
		close(ended)
	}()
	heal = func() {
		_ = strace.Process.Signal(syscall.SIGINT)
		<-ended
	}
	c.T.Cleanup(heal)
	processtest.Eventually(c.T, "strace is at work", func() bool {
		select {
		case <-ended:
			notRun(c.T, required, "strace: "+said.String())
		default:
		}
		return said.String() != ""
	})
	return heal
}
