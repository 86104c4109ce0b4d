package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
)

// terminal has both ends of a pseudo-terminal: the user's and the program's.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// A telnet user types lines, presses Ctrl-C, and types others.
func TestTelnet(t *testing.T) {
	telnet, err := exec.LookPath("telnet")
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT RUN: TestTelnet: no telnet; apt-get install inetutils-telnet")
		t.Skip("telnet is not installed")
	}
	h := processtest.StartHerd(t, "", "Alford")
	host, port, _ := net.SplitHostPort(h.Server("Alford").Address)
	person, program := terminal(t)
	cmd := exec.Command(telnet, host, port)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var shown processtest.Output
	go func() { _, _ = io.Copy(&shown, person) }() // until the terminal is closed
	see := func(what string) {
		t.Helper()
		processtest.Within(t, 10*time.Second, fmt.Sprintf("telnet shows %q; it shows %q", what, shown.String()),
			func() bool { return strings.Contains(shown.String(), what) })
	}
	enter := func(text string) {
		t.Helper()
		if _, err := io.WriteString(person, text); err != nil {
			t.Fatal(err)
		}
	}
	see("Connected to")
	enter("IAMAT kiwi +1-1 5\n")
	see("AT Alford +")
	for i := range 3 {
		enter(fmt.Sprintf("nonsense%d", i))
		see(fmt.Sprintf("nonsense%d", i))
		enter("\x03") // the terminal discards the line, and telnet sends IAC IP, IAC DO TIMING-MARK
		enter(fmt.Sprintf("IAMAT kiwi%d +1-1 5\n", i))
		see(fmt.Sprintf(" kiwi%d +1-1 5\r\n\r\n", i)) // the reply ends with an empty line
	}
	enter("quit\n")
	see("Goodbye")
	if c := h.Status("Alford").Counters; c.Refused != 0 || c.IAMAT != 4 {
		t.Errorf("%d refused, %d IAMATs", c.Refused, c.IAMAT)
	}
}

// A telnet client sends the second byte of IAC DM as urgent data, which every engine must receive in line.
func TestTelnetSynch(t *testing.T) {
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, "", "Alford")
			h.Flags = []string{"--engine", engine}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			c, err := net.Dial("tcp", h.Server("Alford").Address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(processtest.Patience))
			raw, err := c.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			const times = 3
			for range times {
				_, err := io.WriteString(c, "a\n\xff\xf4\xff")
				if err != nil {
					t.Fatal(err)
				}
				failed := raw.Write(func(fd uintptr) bool {
					err = unix.Sendto(int(fd), []byte{0xf2}, unix.MSG_OOB, nil)
					return err != unix.EAGAIN
				})
				if failed != nil || err != nil {
					t.Fatal(failed, err)
				}
				if _, err := io.WriteString(c, "b\n"); err != nil {
					t.Fatal(err)
				}
			}
			_ = c.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			if want := strings.Repeat("? a\n\n? b\n\n", times); string(got) != want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

// Control characters in a reply are escaped on a terminal.
func TestReplyOnATerminal(t *testing.T) {
	addr := fakeServer(t, answering(func(string) string { return "AT \x1b]0;x\a\xff\n\n" }))
	for _, args := range [][]string{{"iamat", "kiwi", "+1-1", "1"}, {"whatsat", "kiwi"}} {
		person, program := terminal(t)
		if code := run(append(args, "--at", addr), strings.NewReader(""), program, program); code != 0 {
			t.Errorf("%q: exit code %d", args, code)
		}
		const want = `AT \x1b]0;x\a\xff` + "\r\n"
		shown := make([]byte, len(want))
		if _, err := io.ReadFull(person, shown); err != nil || string(shown) != want {
			t.Errorf("%q: %q, %v, want %q", args, shown, err, want)
		}
	}
}
