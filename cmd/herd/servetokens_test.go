package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/access"
)

// token is one with the text herd_NAME_secret.
func token(name string, rights access.Right) access.Token {
	return access.Token{Name: name, Rights: rights, Hash: access.Hash([]byte("herd_" + name + "_secret"))}
}

// writeTokens replaces a tokens file.
func writeTokens(t *testing.T, file, more string, all ...access.Token) {
	t.Helper()
	text := ""
	for _, one := range all {
		text += one.Line()
	}
	if err := os.WriteFile(file+".new", []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// conversationWith sends lines on one connection, one at a time.
type conversationWith struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func talkTo(t *testing.T, address string) *conversationWith {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
	return &conversationWith{t, conn, bufio.NewReader(conn)}
}

func (c *conversationWith) say(line string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.next()
}

// next is the next reply.
func (c *conversationWith) next() (reply string) {
	c.t.Helper()
	for !strings.HasSuffix(reply, "\n\n") {
		text, err := c.r.ReadString('\n')
		if reply += text; err != nil {
			c.t.Fatalf("%q: %v", reply, err)
		}
	}
	return strings.TrimSpace(reply)
}

// tokensStatus is what the server Alford says about its tokens; empty if it does not answer in time.
func tokensStatus(h *processtest.Herd) herd.TokensStatus {
	if s := h.Status("Alford"); s != nil && s.Tokens != nil {
		return *s.Tokens
	}
	return herd.TokensStatus{}
}

// SIGHUP reads the tokens again. A file with a mistake changes nothing, and status and log say where it is.
func TestTokensAreReadAgain(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\n[log]\nlevel = \"debug\"\n", "Alford")
	file := filepath.Join(h.Dir, "tokens.toml")
	fleet, reader := token("fleet", access.Write), token("reader", access.Read)
	writeTokens(t, file, "", fleet, reader)
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	address := h.Server("Alford").Address
	reload := func() {
		t.Helper()
		if err := h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	stays, goes := talkTo(t, address), talkTo(t, address)
	if got := stays.say("TOKEN herd_fleet_secret"); got != "> Welcome fleet" {
		t.Errorf("got %q", got)
	}
	if got := goes.say("TOKEN herd_reader_secret"); got != "> Welcome reader" {
		t.Errorf("got %q", got)
	}
	if got := talkTo(t, address).say("TOKEN herd_nobody_secret"); got != "> TOKEN: unknown or expired" {
		t.Errorf("got %q", got)
	}
	if s := tokensStatus(h); s.Count != 2 || s.Connections != 2 || s.Loaded.IsZero() || s.Error != "" {
		t.Errorf("%+v", s)
	}

	writeTokens(t, file, "herd_mistake_secret\n", fleet)
	reload()
	processtest.Eventually(t, "the mistake is shown", func() bool { return tokensStatus(h).Error != "" })
	const where = "tokens.toml:2: not valid TOML"
	if s := tokensStatus(h); !strings.Contains(s.Error, where) || s.Count != 2 {
		t.Errorf("%+v", s)
	}
	if out, _, code := h.Command("", "status"); code != 1 || !strings.Contains(out, "Alford: serving the tokens read at ") ||
		!strings.Contains(strings.ReplaceAll(out, "\n  ", " "), where) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if got := goes.say("WHATSAT moa 1 1"); !strings.HasPrefix(got, "> WHATSAT REQUEST:") {
		t.Errorf("after a reload that failed: %q", got)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	reload()
	processtest.Eventually(t, "the mode is shown", func() bool { return strings.Contains(tokensStatus(h).Error, "readable by others") })

	writeTokens(t, file, "", fleet)
	reload()
	if got := goes.next(); got != "> TOKEN: revoked" {
		t.Errorf("got %q", got)
	}
	if text, err := io.ReadAll(goes.r); len(text) > 0 || err != nil {
		t.Errorf("then %q, %v", text, err)
	}
	if got := stays.say("IAMAT kiwi +1+2 5"); !strings.HasPrefix(got, "AT Alford ") {
		t.Errorf("another token: %q", got)
	}
	if s := tokensStatus(h); s.Count != 1 || s.Error != "" {
		t.Errorf("%+v", s)
	}
	stderr := h.Running["Alford"].Stderr
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-Alford.log"))
	if err != nil {
		t.Fatal(err)
	}
	all := string(log) + stderr.String()
	if strings.Contains(all, "_secret") {
		t.Error("a token is in the log")
	}
	for _, entry := range []string{"tokens reload failed, keeping the old tokens", where, "tokens reloaded", "token accepted", "token refused"} {
		if !strings.Contains(all, entry) {
			t.Errorf("not logged: %s", entry)
		}
	}
}

// A tokens file that is missing or has a mistake prevents the start.
func TestTokensWrongAtTheStart(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\n", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	for _, c := range []struct{ text, want string }{
		{"", "no such file or directory; herd token NAME --add creates it"},
		{"\n\nherd_mistake_secret = 1\n", "tokens.toml:3: "},
	} {
		if c.text != "" {
			writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), c.text)
		}
		_, errOut, code := h.Command("", "serve", "Alford")
		if code != 1 || !strings.Contains(errOut, "clients.tokens: ") || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("exit code %d, %q", code, errOut)
		}
	}
}
