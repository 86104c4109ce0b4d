package client_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/client"
	"serverherd/herd/access"
	"serverherd/protocol"
)

const patience = 30 * time.Second

// server takes connections and answers each line with reply. close ends the connection behind the reply.
func server(t *testing.T, reply func(n int, line string) (text string, end bool)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewScanner(c)
				for n := 0; lines.Scan(); n++ {
					text, end := reply(n, lines.Text())
					if _, err := io.WriteString(c, text); err != nil || end {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// door answers as a server does whose tokens are those of valid; nil: it has none.
func door(d protocol.Dialect, valid map[string]string) func(n int, line string) (string, bool) {
	return func(n int, line string) (string, bool) {
		b := []byte(line)
		c, err := d.Parse(b, protocol.MaxClientID)
		switch {
		case err != nil && !errors.Is(err, protocol.ErrUnknownVerb):
			return string(d.AppendSyntaxError(nil, b, err)), false
		case c.Verb == protocol.VerbTOKEN && valid == nil:
			return string(d.AppendRefusal(nil, b, protocol.TokenUnused)), false
		case c.Verb == protocol.VerbTOKEN && valid[string(c.Token)] == "":
			return string(d.AppendRefusal(nil, b, protocol.TokenRefused)), true
		case c.Verb == protocol.VerbTOKEN && n > 0 && d == protocol.Paper:
			return string(d.AppendRefusal(nil, b, protocol.TokenTwice)), false
		case c.Verb == protocol.VerbTOKEN:
			return string(d.AppendWelcome(nil, valid[string(c.Token)])), false
		case c.Verb == protocol.VerbHelp:
			return string(d.AppendHelp(nil, b)), false
		case errors.Is(err, protocol.ErrUnknownVerb):
			return string(d.AppendUnknown(nil, b)), false
		}
		return string(d.AppendRefusal(nil, b, protocol.Busy)), false
	}
}

// A token is presented before anything else, and no later reply is lost or belongs to another line.
func TestDialWithAToken(t *testing.T) {
	t.Parallel()
	token := access.New([32]byte{1})
	valid := map[string]string{token: "fleet7"}
	full := func(int, string) (string, bool) { return "> SERVER FULL\n\n", true }
	script := func(reply string, end bool) func(int, string) (string, bool) {
		return func(n int, line string) (string, bool) {
			if n == 0 {
				return reply, end
			}
			return "? " + line + "\n\n", false
		}
	}
	for _, c := range []struct {
		name    string
		dialect protocol.Dialect
		reply   func(int, string) (string, bool)
		token   string
		want    string // error; "" if the connection goes on
	}{
		{"valid", protocol.Paper, door(protocol.Paper, valid), token, ""},
		{"wrong", protocol.Paper, door(protocol.Paper, valid), token + "x", "the server refused the token: unknown or expired"},
		{"unused", protocol.Paper, door(protocol.Paper, nil), token, ""},
		{"an older server", protocol.Paper, script("? TOKEN "+token+"\n\n", false), token, ""},
		{"full", protocol.Paper, full, token, "the server refused the connection: SERVER FULL"},
		{"a limit", protocol.Paper, script("> LIMIT: more than 3 connections of this address\n\n", true), token,
			"the server refused the connection: LIMIT: more than 3 connections of this address"},
		{"cs131, valid", protocol.CS131, door(protocol.CS131, valid), token, ""},
		{"cs131, wrong", protocol.CS131, door(protocol.CS131, valid), token + "x", "the server refused the token"},
		{"cs131, unused", protocol.CS131, door(protocol.CS131, nil), token, ""},
		{"cs131, an older server", protocol.CS131, func(_ int, line string) (string, bool) { return "? " + line + "\n", false }, token, ""},
		{"cs131, closed", protocol.CS131, script("", true), token, client.ErrClosed.Error()},
		{"it echoes", protocol.Paper, script("TOKEN "+token+"\n", false), token, "ADDR is not a herd server: unexpected reply \"TOKEN [redacted]\""},
		{"it echoes otherwise", protocol.Paper, script("you said: "+token+"\n", false), token,
			"ADDR is not a herd server: unexpected reply \"you said: [redacted]\""},
		{"it echoes as a reason", protocol.Paper, script("> no "+token+"\x1b\n\n", false), token,
			"the server refused the connection: no [redacted]\\x1b"},
		{"another reply", protocol.Paper, script("AT "+token+"\n\n", false), token, "unexpected reply \"AT [redacted]\" to TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := server(t, c.reply)
			conn, err := client.Dial(context.Background(), addr, client.Options{Dialect: c.dialect, Timeout: patience, Token: c.token})
			if err != nil {
				got := strings.ReplaceAll(err.Error(), addr, "ADDR")
				if got != c.want {
					t.Errorf("error %q, want %q", got, c.want)
				}
				return
			}
			defer conn.Close()
			if c.want != "" {
				t.Fatalf("no error, want %q", c.want)
			}
			for _, line := range []string{"one", "two", "three"} {
				if reply, err := conn.Ask(line); reply != "? "+line || err != nil {
					t.Errorf("%s: %q, %v", line, reply, err)
				}
			}
		})
	}
}

// Whoever interrupts the exchange need not wait for the timeout.
func TestDialWithATokenIsInterrupted(t *testing.T) {
	t.Parallel()
	came := make(chan struct{}, 1)
	addr := server(t, func(int, string) (string, bool) { came <- struct{}{}; return "", false })
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-came
		cancel()
	}()
	_, err := client.Dial(ctx, addr, client.Options{Timeout: time.Hour, Token: "x"})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A line TOKEN that a person types has a reply in cs131, too: an empty one if the token is valid.
func TestAskTokenInCS131(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, line, want string
		valid            map[string]string
		next             error
	}{
		{"valid", "TOKEN x", "", map[string]string{"x": "fleet7"}, nil},
		{"indented", "\tTOKEN  x ", "", map[string]string{"x": "fleet7"}, nil},
		{"wrong", "TOKEN y", "? TOKEN [redacted]", map[string]string{"x": "fleet7"}, client.ErrClosed},
		{"unused", "TOKEN y", "? TOKEN [redacted]", nil, nil},
		{"without a token", "TOKEN", "? TOKEN", map[string]string{"x": "fleet7"}, nil},
		{"another verb", "Token x", "? Token [redacted]", map[string]string{"x": "fleet7"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := server(t, door(protocol.CS131, c.valid))
			conn, err := client.Dial(context.Background(), addr, client.Options{Dialect: protocol.CS131, Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if reply, err := conn.Ask(c.line); reply != c.want || err != nil {
				t.Errorf("%q, %v, want %q", reply, err, c.want)
			}
			reply, err := conn.Ask("one")
			if c.next == nil && (reply != "? one" || err != nil) || c.next != nil && err == nil {
				t.Errorf("the next one: %q, %v, want error %v", reply, err, c.next)
			}
		})
	}
}

func TestCheckToken(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		access.New([32]byte{}):   "",
		"x":                      "",
		"":                       "the token is empty",
		strings.Repeat("a", 256): "",
		strings.Repeat("a", 257): "the token is longer than 256 bytes",
		"secret two":             "the token contains white space or a control character",
		"secret\n":               "the token contains white space or a control character",
		"secret\x7f":             "the token contains white space or a control character",
	} {
		got := ""
		if err := client.CheckToken(token); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", token, got, want)
		}
	}
}

// The reply to a valid token is no error.
func TestWelcomeIsNoError(t *testing.T) {
	t.Parallel()
	if client.Failed("TOKEN", "> Welcome fleet7") || !client.Failed("TOKEN", "> TOKEN: unknown or expired") ||
		!client.Failed("IAMAT", "> Welcome fleet7") {
		t.Error("the reply to TOKEN is taken for another one")
	}
}

// deadlines remembers the last deadlines.
type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetDeadline(t time.Time) error {
	d.read, d.write = t, t
	return d.Conn.SetDeadline(t)
}
func (d *deadlines) SetReadDeadline(t time.Time) error { d.read = t; return d.Conn.SetReadDeadline(t) }
func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return d.Conn.SetWriteDeadline(t)
}

// Later writes are not bounded by the timeout of the exchange.
func TestPresentLeavesNoDeadline(t *testing.T) {
	t.Parallel()
	c, err := net.Dial("tcp", server(t, door(protocol.Paper, map[string]string{"x": "fleet7"})))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := &deadlines{Conn: c}
	if err := client.Present(context.Background(), d, client.Options{Timeout: patience, Token: "x"}); err != nil {
		t.Fatal(err)
	}
	if !d.read.IsZero() || !d.write.IsZero() {
		t.Errorf("deadlines %v, %v", d.read, d.write)
	}
}

// A token that a person types is neither in the reply nor in an error, whatever the server repeats.
func TestAskHidesATypedToken(t *testing.T) {
	t.Parallel()
	for _, d := range []protocol.Dialect{protocol.Paper, protocol.CS131} {
		for _, line := range []string{"TOKEN herd_s3cret", "token  herd_s3cret", " \tToken herd_s3cret x", "TOKENherd_s3cret", "\"TOKEN\" herd_s3cret"} {
			for _, echo := range []string{"? ", "> TOKEN FIELDS: 3 instead of 2\n? ", "you said ", ""} {
				addr := server(t, func(_ int, line string) (string, bool) { return echo + line + "\n\n", false })
				conn, err := client.Dial(context.Background(), addr, client.Options{Dialect: d, Timeout: patience})
				if err != nil {
					t.Fatal(err)
				}
				reply, err := conn.Ask(line)
				if text := reply + " " + errorText(err); strings.Contains(text, "s3cret") {
					t.Errorf("%v, %q, %q: %q, %v", d, line, echo, reply, err)
				}
				conn.Close()
			}
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
