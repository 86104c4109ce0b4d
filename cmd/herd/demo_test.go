package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// startDemo runs herd demo without a terminal, and waits until it moves 50 clients.
func startDemo(t *testing.T, h *processtest.Herd, args ...string) (*exec.Cmd, *processtest.Output) {
	t.Helper()
	c := exec.Command(processtest.Binary, append([]string{"demo", "--clients", "50", "--rate", "200", "--config", h.Config()}, args...)...)
	out := &processtest.Output{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	h.UntilEqual(50)
	return c, out
}

func TestDemo(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", processtest.Names...)
	out, errOut, code := h.Command("", "demo", "--clients", "50", "--rate", "200", "--seed", "7", "--duration", "1s")
	for _, want := range []string{"50 clients, 200 updates/s, 5 servers, seed 7; Ctrl-C ends it\nline logs: ", " updates in ", "s, 0 errors\n",
		"50 clients demo/... stay in the herd until all its servers are stopped\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if code != 0 || errOut != "" || strings.Contains(out, "\x1b") || strings.Contains(out, "other servers") {
		t.Errorf("exit code %d, %q\n%s", code, errOut, out)
	}
	h.UntilEqual(50)
	for _, name := range processtest.Names { // 64 connections, and clients at every server
		if c := h.Status(name).Counters; c.Stored == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if reply := h.Ask("Ball", "WHATSAT demo/KLM1000 0 0\n"); !strings.HasPrefix(reply, "AT ") {
		t.Errorf("%q", reply)
	}
}

// A server that dies and returns is told of, and so is the restart of all. The demo goes on until SIGINT.
func TestDemoAndRestarts(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	c, out := startDemo(t, h, "--timeout", "1m")
	says := func(what string) {
		t.Helper()
		processtest.Eventually(t, what, func() bool { return strings.Contains(out.String(), what) })
	}
	h.Kill("Welsh")
	says("Welsh: connection lost")
	says("; its clients go to other servers\n")
	h.Start("Welsh")
	says("Welsh answers again\n")
	h.Stop("Alford")
	h.Stop("Welsh")
	says("; no server takes updates now\n")
	h.Start("Alford")
	h.Start("Welsh")
	h.UntilLive()
	says("Alford answers again\n")
	processtest.Eventually(t, "Welsh answers again", func() bool { return strings.Count(out.String(), "Welsh answers again\n") == 2 })
	h.UntilEqual(50)
	_ = c.Process.Signal(os.Interrupt)
	if code := waitUp(t, c); code != 0 || !strings.Contains(out.String(), "50 clients demo/... stay in the herd until all its servers are stopped\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestDemoRefuses(t *testing.T) {
	t.Parallel()
	const two = "[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\nneighbors = [\"Ball\"]\n" +
		"[[server]]\nname = \"Ball\"\naddress = \"OTHER:2\"\nneighbors = [\"Alford\"]\n"
	near := processtest.New(t, strings.ReplaceAll(two, "OTHER", "127.0.0.1"))
	far := processtest.New(t, "[herd]\nsecret_file = \"secret\"\n"+strings.ReplaceAll(two, "OTHER", "192.0.2.1")) // TEST-NET-1
	if err := os.WriteFile(far.Dir+"/secret", []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		h    *processtest.Herd
		code int
		want string
		args string
	}{
		{near, 1, "no server can be reached; Alford: connection refused; are the servers running? see herd status\n", ""},
		{far, 2, "Ball at 192.0.2.1:2 may be another machine, and the clients of the demo would stay in its herd: set --yes if that is wanted\n", ""},
		{far, 1, "no server can be reached; Alford: connection refused", "--yes --timeout 2s"},
		{near, 2, "--clients: want a whole number from 1 to 1000000, got 0;", "--clients 0"},
		{near, 2, "--rate: want a whole number from 1 to 100000, got 100001;", "--rate 100001"},
		{near, 2, "--seed: want a whole number from 0 to ", "--seed -1"},
		{near, 2, "usage: herd demo", "Alford"},
	} {
		_, errOut, code := test.h.Command("", append([]string{"demo"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(errOut, test.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q", test.args, code, errOut)
		}
	}
}

// A demo whose output is closed ends, and one on a full disk does not begin.
func TestDemoWithoutOutput(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatalf("NOT RUN, there is no /dev/full here: %v", err)
	}
	defer full.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	read.Close()
	for _, out := range []*os.File{full, write} {
		c := exec.Command(processtest.Binary, "demo", "--config", h.Config())
		var errOut processtest.Output
		c.Stdout, c.Stderr = out, &errOut
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill() })
		code := waitUp(t, c)
		killed := c.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGPIPE
		if out == full && (code != 1 || !strings.Contains(errOut.String(), "no space left on device")) || out == write && !killed {
			t.Errorf("%v, %s", c.ProcessState, &errOut)
		}
	}
	if s := h.Status("Alford"); s.Records != 0 {
		t.Errorf("%d clients", s.Records)
	}
}
