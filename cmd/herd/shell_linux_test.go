package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/term"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
)

// startShell runs herd shell on a terminal, with a state directory of its own.
func startShell(t *testing.T, h *processtest.Herd, args ...string) *screen {
	t.Helper()
	s := onTerminal(t, h, []string{"XDG_STATE_HOME=" + filepath.Join(h.Dir, "state")}, append([]string{"shell"}, args...)...)
	s.sees("> ")
	return s
}

// A user types lines, clears one, completes others, goes to another server and ends.
func TestShellOnATerminal(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	s := startShell(t, h)
	s.sees("Connected to Alford.")
	s.types("IAMAT ki\xffwi +1+1 half a line\x03") // the byte is not a character: dropped
	s.sees("^C")
	s.types("i\tkiwi.cs.ucla.edu +1+1 \t\r")
	s.sees("AT Alford +")
	h.Ask("Alford", "IAMAT kakapo +1+1 1\nIAMAT \x1b[2J +1+1 1\n")
	s.types("WHATSAT kaka\t0 0\r") // the console knows it
	s.sees("AT Alford +")
	s.sees(" kakapo +1+1 1\r\n")
	s.types("WHATSAT kiwi.\t1 0\r")
	s.sees(`"status": `)
	s.types("hello \x1b[31m?\r") // not a key; [31m is typed
	s.sees("? hello ")
	s.types(".at w\t\r")
	s.sees("Welsh> ")
	s.types("help\r")
	s.sees("Available commands:")
	s.sees("Tab completes")
	s.types(".exit\r")
	s.sees("herd: unknown command .exit; type .help for help")
	s.types(".at nobody\r")
	s.sees(`herd: --at: unknown server "nobody"; servers in herd.toml: Alford, Welsh`)
	s.types("quit\r")
	s.sees("> Goodbye")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	file := filepath.Join(h.Dir, "state", "herd", "history")
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), "IAMAT kiwi.cs.ucla.edu +1+1 1") || strings.Contains(string(text), "half") {
		t.Errorf("history %q, %v", text, err)
	}
	s = startShell(t, h)
	s.types("\x1b[A\x1b[A\r") // up, up: .at nobody
	prompted(s, "unknown server")
	s.types("\x04")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A server that was restarted is connected again, and the line is sent there. A reply is given up with Ctrl-C.
func TestShellAndARestart(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	s := startShell(t, h)
	h.Kill("Alford")
	s.types("IAMAT kiwi +1+1 5\r")
	s.sees("herd: connection to Alford lost, reconnecting")
	h.Start("Alford")
	s.sees("connected to Alford again")
	s.sees("AT Alford +")
	processtest.Suspend(t, h.Running["Alford"].Cmd.Process.Pid)
	s.types("help\r")
	s.sees("> help\r\n")
	const interrupted = "interrupted: the line may have been executed"
	processtest.Eventually(t, interrupted, func() bool { // the first Ctrl-C may come while the line editor still reads
		s.types("\x03")
		return strings.Contains(s.shown.String(), interrupted)
	})
	_ = h.Running["Alford"].Cmd.Process.Signal(syscall.SIGCONT)
	s.types("again\r")
	prompted(s, "? again")
	h.Kill("Alford")
	s.types("\x04")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Bytes of a reply that a terminal would interpret are shown as escapes.
func TestShellAndHostileReplies(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Ask("Alford", "IAMAT \x1b]0;title\x07\x1b[2J\u202e +1+1 5\n")
	evil := fakeServer(t, answering(func(string) string { return "AT Alford +1 \x1b]0;title\x07\x1b[2J\u202e\xff +1+1 5\n\n" }))
	s := startShell(t, h, "--at", evil)
	s.types("WHATSAT x 1 1\r")
	prompted(s, `AT Alford +1 \x1b]0;title\a\x1b[2J\u202e\xff +1+1 5`)
	s.types("\x04")
	if code := s.ends(); code != 0 || strings.Contains(s.shown.String(), "\x1b]") {
		t.Errorf("exit code %d, %q", code, s.shown.String())
	}
}

// A signal that ends the shell leaves the terminal as it was.
func TestShellAndSignals(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		s := startShell(t, h)
		before, err := term.GetState(int(s.person.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Process.Signal(signal)
		if code := s.ends(); code != exitSignal+int(signal) {
			t.Errorf("%v: exit code %d", signal, code)
		}
		after, err := term.GetState(int(s.person.Fd()))
		if err != nil || *before == *after {
			t.Errorf("%v: the terminal is still in raw mode, %v", signal, err)
		}
	}
}

// In a pipe all replies go to standard output, and the exit code says whether one was an error.
func TestShellInAPipe(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	cs131 := processtest.StartHerd(t, "[herd]\ndialect = \"cs131\"\n", "Alford")
	const update, help = "IAMAT kiwi +1+1 5\n", "> help\n> quit\n"
	for _, c := range []struct {
		name, in string
		herd     *processtest.Herd
		code     int
		out, err string
	}{
		{"no line", "", h, 0, "", ""},
		{"lines", update + "help\n", h, 0, help, ""},
		{"an error", "x\n" + update + "help", h, 1, help, ""},
		{"quit", "quit\nx\n", h, 0, "> Goodbye\n", ""},
		{"no reply", "POST / HTTP/1.1\nhelp\n", h, 1, "", "herd: standard input, line 1: the server closed the connection"},
		{"cs131", "WHATSAT kiwi 1 0\n" + update + "WHATSAT kiwi 1 0\n" + update, cs131, 1, "kiwi +1+1 5\n", ""},
		{"cs131, WHATSAT", update + "WHATSAT kiwi 1 0\n", cs131, 0, "}\n", ""},
	} {
		out, errOut, code := c.herd.Command(c.in, "shell")
		if code != c.code || !strings.HasSuffix(out, c.out) || !strings.HasPrefix(errOut, c.err) || c.err == "" && errOut != "" {
			t.Errorf("%s: exit code %d, %q, %q", c.name, code, out, errOut)
		}
	}
	// In this dialect help is answered by an error, which is an answer to a ping.
	if out, errOut, code := cs131.Command("", "ping", "-c", "3", "--interval", "1ms"); code != 0 {
		t.Errorf("ping: exit code %d, %q, %q", code, out, errOut)
	}
}

// startWithTokens starts servers that need tokens: fleet may read and write.
func startWithTokens(t *testing.T, extra string, names ...string) *processtest.Herd {
	t.Helper()
	h, listeners := processtest.NewHerd(t, extra+"[clients]\ntokens = \"tokens.toml\"\n", names...)
	writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "", token("fleet", access.Read|access.Write))
	for _, name := range names {
		h.Start(name, listeners[name]...)
	}
	h.UntilLive()
	return h
}

// prompted waits until the shell reads a line behind a text that it has shown. Ctrl-D before would be lost: the terminal
// takes it, and not the line editor.
func prompted(s *screen, behind string) {
	s.t.Helper()
	processtest.Eventually(s.t, "a prompt behind "+behind, func() bool {
		text := s.shown.String()
		i := strings.LastIndex(text, behind)
		return i >= 0 && strings.Contains(text[i:], "> ")
	})
}

// A token that is typed is presented, and kept nowhere: neither Up nor Ctrl-R finds it, nor the file.
func TestShellKeepsNoToken(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"paper", "cs131"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			h := startWithTokens(t, "[herd]\ndialect = \""+dialect+"\"\n", "Alford")
			s := startShell(t, h)
			s.types("IAMAT early +1+1 5\r")
			if dialect == "paper" {
				prompted(s, "> TOKEN: required: the first line must be TOKEN and your token")
			} else {
				prompted(s, "? IAMAT early")
			}
			s.types("TOKEN herd_fleet_secret\r")
			if dialect == "paper" {
				prompted(s, "> Welcome fleet")
			} else {
				prompted(s, "herd: done; there is no reply to this line")
			}
			s.types("IAMAT kiwi +1+1 5\r")
			prompted(s, "AT Alford +")
			s.types("TOKEN herd_fleet_secret more\r")
			prompted(s, "? TOKEN [redacted]")
			s.types("tok\tfinal +1+1\x01\x0b") // Tab completes nothing, and the line is deleted
			s.types("TOK\x12\x12\x03")         // Ctrl-R finds nothing
			prompted(s, "^C")
			s.types("\x1b[A9\r") // Up: the IAMAT
			prompted(s, " kiwi +1+1 59\r\n")
			s.types("\x04")
			if code := s.ends(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			// The terminal shows what is typed, and nothing else shows it.
			if n := strings.Count(s.shown.String(), "herd_fleet_secret"); n != 2 {
				t.Errorf("the token is shown %d times: %q", n, s.shown.String())
			}
			text := readFile(t, filepath.Join(h.Dir, "state", "herd", "history"))
			if strings.Contains(strings.ToLower(text), "tok") || !strings.Contains(text, "IAMAT kiwi") {
				t.Errorf("history %q", text)
			}
		})
	}
}

// A shell with a token presents it by itself, also at another server and when it connects again.
func TestShellPresentsItsToken(t *testing.T) {
	t.Parallel()
	h := startWithTokens(t, "", "Alford", "Welsh")
	s := onTerminal(t, h, []string{"XDG_STATE_HOME=" + filepath.Join(h.Dir, "state"), "HERD_TOKEN=herd_fleet_secret"}, "shell")
	s.sees("> ")
	s.types("IAMAT kiwi +1+1 5\r")
	prompted(s, "AT Alford +")
	s.types(".at Welsh\r")
	s.sees("Welsh> ")
	s.types("IAMAT kiwi +1+1 6\r")
	prompted(s, "AT Welsh +")
	h.Kill("Welsh")
	s.types("IAMAT kiwi +1+1 7\r")
	s.sees("connection to Welsh lost, reconnecting")
	h.Start("Welsh")
	s.sees("AT Welsh +")
	prompted(s, " kiwi +1+1 7\r\n")
	// The token is revoked: one attempt, and its reason.
	writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "", token("other", access.Read))
	h.Kill("Welsh")
	h.Start("Welsh")
	s.types("IAMAT kiwi +1+1 8\r")
	prompted(s, "herd: the server refused the token: unknown or expired\r\n")
	s.types("\x04")
	if code := s.ends(); code != 0 || strings.Contains(s.shown.String(), "herd_fleet_secret") {
		t.Errorf("exit code %d, %q", code, s.shown.String())
	}
}

// A line TOKEN in a pipe is the first, and send has its own.
func TestTokenLines(t *testing.T) {
	t.Parallel()
	paper, cs131 := startWithTokens(t, "", "Alford"), startWithTokens(t, "[herd]\ndialect = \"cs131\"\n", "Alford")
	const good, bad, update = "TOKEN herd_fleet_secret\n", "TOKEN herd_fleet_guess\n", "IAMAT kiwi +1+1 5\n"
	for _, c := range []struct {
		name, in string
		args     []string
		herd     *processtest.Herd
		code     int
		out, err string // all of it; the time in an AT is missing
	}{
		{"pipe", good + update, []string{"shell"}, paper, 0, "> Welcome fleet\nAT kiwi +1+1 5\n", ""},
		{"pipe, wrong", bad + update, []string{"shell"}, paper, 1, "> TOKEN: unknown or expired\n",
			"herd: standard input, line 2: the server closed the connection before a complete reply\n"},
		{"pipe, twice", good + good + update, []string{"shell"}, paper, 1,
			"> Welcome fleet\n> TOKEN: this connection has one already\nAT kiwi +1+1 5\n", ""},
		{"pipe, with --token", update, []string{"shell", "--token", "herd_fleet_secret"}, paper, 0, "AT kiwi +1+1 5\n", ""},
		{"cs131 pipe", good + update, []string{"shell"}, cs131, 0, "AT kiwi +1+1 5\n", ""},
		{"cs131 pipe, wrong", bad + update, []string{"shell"}, cs131, 1, "? TOKEN [redacted]\n",
			"herd: standard input, line 2: the server closed the connection before a complete reply\n"},
		{"cs131 pipe, twice", good + good + update, []string{"shell"}, cs131, 1, "? TOKEN [redacted]\nAT kiwi +1+1 5\n", ""},
		{"send", "", []string{"send", "TOKEN", "herd_fleet_secret"}, paper, 0, "> Welcome fleet\n", ""},
		{"send, beside --token", "", []string{"send", "TOKEN", "herd_fleet_secret", "--token", "x"}, paper, 0, "> Welcome fleet\n", ""},
		{"send, wrong", "", []string{"send", "TOKEN", "herd_fleet_guess"}, paper, 1, "> TOKEN: unknown or expired\n", ""},
		{"send, JSON", "", []string{"send", "TOKEN", "herd_fleet_secret", "--json"}, paper, 0,
			"{\"server\":\"Alford\",\"line\":\"TOKEN [redacted]\",\"reply\":\"\\u003e Welcome fleet\",\"reply_b64\":\"PiBXZWxjb21lIGZsZWV0\",\"ok\":true}\n", ""},
		{"cs131 send", "", []string{"send", "TOKEN", "herd_fleet_secret"}, cs131, 0, "", ""},
		{"cs131 send, wrong", "", []string{"send", "TOKEN", "herd_fleet_guess"}, cs131, 1, "? TOKEN [redacted]\n", ""},
	} {
		out, errOut, code := c.herd.Command(c.in, c.args...)
		out = regexp.MustCompile(`AT Alford \+[0-9.]+`).ReplaceAllString(out, "AT")
		if code != c.code || out != c.out || errOut != c.err {
			t.Errorf("%s: exit code %d, %q, %q, want %d, %q, %q", c.name, code, out, errOut, c.code, c.out, c.err)
		}
	}
}

// The shell ends when nobody reads its output, and by a signal while its output is blocked.
func TestShellAndItsOutput(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	c := newPasted(t, h).command("yes help | herd shell --config " + h.Config() + " | head -1")
	if out, err := c.Output(); err != nil || !strings.HasPrefix(string(out), "Available") {
		t.Errorf("%q, %v", out, err)
	}
	ours, theirs := blockedPipe(t)
	defer ours.Close()
	c = newPasted(t, h).command("exec herd shell --config " + h.Config())
	c.Stdin, c.Stdout = strings.NewReader("help\n"), theirs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	processtest.Eventually(t, "it has its reply", func() bool {
		s := h.Status("Alford")
		return s != nil && s.Counters.Replies > 0
	})
	_ = c.Process.Signal(syscall.SIGTERM)
	if code := waitUp(t, c); code == 0 {
		t.Error("exit code 0 after SIGTERM")
	}
}

// The shell changes servers over TLS. Each must have its own certificate.
func TestShellOverTLS(t *testing.T) {
	t.Parallel()
	h := startOverTLS(t, "required", "")
	s := startShell(t, h, "--ca", h.CA)
	s.sees("Connected to Alford.")
	s.types("IAMAT kiwi +1+1 5\r")
	s.sees("kiwi +1+1 5\r\nAlford> ")
	s.types(".at Hamilton\r")
	s.sees("Hamilton> ")
	s.types("IAMAT kiwi +1+1 6\r")
	s.sees("kiwi +1+1 6\r\nHamilton> ")
	s.types("\x04")
	s.ends()
}
