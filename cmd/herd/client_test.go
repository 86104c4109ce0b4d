package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// fakeServer answers each connection with serve and returns its address.
func fakeServer(t *testing.T, serve func(c *net.TCPConn)) string {
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
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// answering is a server that gives each line the reply that it finds for it.
func answering(reply func(line string) string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			if _, err := io.WriteString(c, reply(lines.Text())); err != nil {
				return
			}
		}
	}
}

// runAt runs a command in this process against a server at addr.
func runAt(addr, in string, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = run(append(args, "--at", addr), strings.NewReader(in), &o, &e)
	return o.String(), e.String(), code
}

// How a reply ends, in both dialects and however it comes to be cut.
func TestReplies(t *testing.T) {
	const at = "AT Alford +0.5 kiwi +1-1 1"
	whatsat, iamat := []string{"whatsat", "kiwi"}, []string{"iamat", "kiwi", "+1-1", "1"}
	cs131 := func(args []string) []string { return append(args[:len(args):len(args)], "--dialect", "cs131") }
	tests := []struct {
		name, reply string
		args        []string
		code        int
		out, errOut string
	}{
		{"an acknowledgement", at + "\n\n", iamat, 0, at + "\n", ""},
		{"an answer", at + "\n{\n  \"a\": 1\n}\n\n", whatsat, 0, at + "\n{\n  \"a\": 1\n}\n", ""},
		{"an answer, JSON", at + "\n{\n  \"a\": 1\n}\n\n", append(whatsat, "--json"), 0, "{\n  \"a\": 1\n}\n", ""},
		{"two lines", "> IAMAT TIME: x\n? IAMAT x\n\n", iamat, 1, "> IAMAT TIME: x\n? IAMAT x\n", ""},
		{"a reason", "> WHATSAT BUSY: too many lookups\n\n", whatsat, 1, "> WHATSAT BUSY: too many lookups\n", ""},
		{"a reason, JSON", "> WHATSAT BUSY: x\n\n", append(whatsat, "--json"), 1, "", "herd: > WHATSAT BUSY: x\n"},
		{"cs131: an acknowledgement", at + "\n", cs131(iamat), 0, at + "\n", ""},
		{"cs131: no acknowledgement", "? IAMAT x\n", cs131(iamat), 1, "? IAMAT x\n", ""},
		{"cs131: an answer", at + "\n{\n}\n\n", cs131(whatsat), 0, at + "\n{\n}\n", ""},
		{"cs131: no answer", "? WHATSAT kiwi 10 5\n", cs131(whatsat), 1, "? WHATSAT kiwi 10 5\n", ""},
		{"bytes as they are", "AT \xff\x1b\u00a0\n\n", iamat, 0, "AT \xff\x1b\u00a0\n", ""},
	}
	for _, test := range tests {
		for _, chunk := range []int{1, 1 << 20} {
			t.Run(test.name, func(t *testing.T) {
				addr := fakeServer(t, func(c *net.TCPConn) {
					if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
						return
					}
					for text := test.reply; text != ""; text = text[min(chunk, len(text)):] {
						if _, err := io.WriteString(c, text[:min(chunk, len(text))]); err != nil {
							return
						}
					}
					_, _ = io.Copy(io.Discard, c) // a client that waits for more would hang here
				})
				out, errOut, code := runAt(addr, "", test.args...)
				if out != test.out || errOut != test.errOut || code != test.code {
					t.Errorf("exit code %d, %q, %q; want %d, %q, %q", code, out, errOut, test.code, test.out, test.errOut)
				}
			})
		}
	}
}

func TestRepliesThatDoNotEnd(t *testing.T) {
	addr := fakeServer(t, func(c *net.TCPConn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "AT Alford +0.5 kiwi\n{")
	})
	_, errOut, code := runAt(addr, "", "whatsat", "kiwi")
	if want := "herd: the server closed the connection before the end of its reply\n"; code != 1 || errOut != want {
		t.Errorf("exit code %d, %q, want %q", code, errOut, want)
	}
}

// A request is one line of as many fields as there are arguments, whatever these hold.
func TestArguments(t *testing.T) {
	var got []string
	addr := fakeServer(t, answering(func(line string) string {
		got = append(got, line)
		return "ok\n\n"
	}))
	for _, good := range []struct {
		args []string
		want string
	}{
		{[]string{"iamat", "kiwi", "-33.8-70.6", "5"}, "IAMAT kiwi -33.8-70.6 5"},
		{[]string{"iamat", "-5", "+33.8+70.6", "5"}, "IAMAT -5 +33.8+70.6 5"},
		{[]string{"iamat", "--", "--at", "+33.8+70.6", "5"}, "IAMAT --at +33.8+70.6 5"},
		{[]string{"iamat", "ki\u00a0wi\xff", "+1+1", "x"}, "IAMAT ki\u00a0wi\xff +1+1 x"},
		{[]string{"whatsat", "kiwi"}, "WHATSAT kiwi 10 5"},
		{[]string{"whatsat", "kiwi", "-1"}, "WHATSAT kiwi -1 5"},
		{[]string{"whatsat", "kiwi", "50", "20"}, "WHATSAT kiwi 50 20"},
	} {
		got = nil
		var o, e bytes.Buffer
		args := append([]string{good.args[0], "--at", addr}, good.args[1:]...)
		if code := run(args, strings.NewReader(""), &o, &e); code != 0 || len(got) != 1 || got[0] != good.want {
			t.Errorf("%q: exit code %d, %s sent %q, want %q", good.args, code, &e, got, good.want)
		}
	}
	got = nil
	for _, bad := range [][]string{
		{"iamat", "ki wi", "+1+1"}, {"iamat", "kiwi", ""}, {"iamat", "kiwi\nquit", "+1+1"},
		{"iamat", "kiwi"}, {"iamat", "a", "b", "c", "d"}, {"whatsat"}, {"whatsat", "ki\twi"},
	} {
		if _, errOut, code := runAt(addr, "", bad...); code != exitUsage || strings.Count(errOut, "\n") != 1 || len(got) > 0 {
			t.Errorf("%q: exit code %d, %q, sent %q", bad, code, errOut, got)
		}
	}
}

func TestTargets(t *testing.T) {
	for args, want := range map[string]string{
		"--at 127.0.0.1:1 --dialect latin": "--dialect: want one of paper, cs131, got latin; see herd whatsat --help",
		"--at Alford --dialect cs131":      "--dialect goes with --at HOST:PORT",
	} {
		var o, e bytes.Buffer
		code := run(append([]string{"whatsat", "kiwi"}, strings.Fields(args)...), nil, &o, &e)
		if code != exitUsage || !strings.Contains(e.String(), want) {
			t.Errorf("%s: exit code %d, %q, want %q", args, code, &e, want)
		}
	}
}

// Updates go through a window, and all of it is under way when the client waits: this server
// answers none before it has a whole window of lines.
func TestIamatOfMany(t *testing.T) {
	const n = 100 * inFlight
	addr := fakeServer(t, func(c *net.TCPConn) {
		lines := bufio.NewReader(c)
		out := bufio.NewWriterSize(c, 1<<20) // more than a window of replies
		for i := range n {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			out.WriteString("AT Alford " + strings.TrimPrefix(line, "IAMAT ") + "\n")
			if i%inFlight == inFlight-1 {
				out.Flush()
			}
		}
	})
	line := strings.Repeat("x", 100) + " +1-1 5\n"
	out, errOut, code := runAt(addr, strings.Repeat(line, n), "iamat", "-")
	if code != 0 || out != strings.Repeat("AT Alford "+line, n) {
		t.Errorf("exit code %d, %d bytes of replies, want %d; %s", code, len(out), n*(len(line)+10), errOut)
	}
}

// What was sent before a line that makes no sense is answered all the same, and nothing waits.
func TestIamatOfManyWithMistake(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return line + "\n\n" }))
	for bad, want := range map[string]string{
		"alone\n":                     `herd: standard input, line 3: ["alone"] is not CLIENT COORDS [TIME]` + "\n",
		"a b c d\nx +1+1 5\n":         `herd: standard input, line 3: ["a" "b" "c" "d"] is not CLIENT COORDS [TIME]` + "\n",
		strings.Repeat("x", 1<<17):    "herd: standard input, line 3: bufio: buffer full\n",
		"\x1b[31m\u00a0red\u202e\n\n": "herd: standard input, line 3: [\"\\x1b[31m\\u00a0red\\u202e\"] is not CLIENT COORDS [TIME]\n",
	} {
		out, errOut, code := runAt(addr, "a +1-1 5\n\n"+bad, "iamat", "-")
		if out != "IAMAT a +1-1 5\n" || errOut != want || code == 0 {
			t.Errorf("exit code %d, %q, %q, want %q", code, out, errOut, want)
		}
	}
}

// A file that was saved on Windows names its first client as it should.
func TestIamatOfManyWithByteOrderMark(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return line + "\n\n" }))
	for _, c := range []struct {
		in, out, err string
		code         int
	}{
		{"\ufeffbob +10+20 5\r\n", "IAMAT bob +10+20 5\n", "", 0},
		{"\xff\xfeb\x00o\x00b\x00", "", "herd: standard input: this is UTF-16; save it as UTF-8\n", 2},
		{"\xfe\xff\x00b", "", "herd: standard input: this is UTF-16; save it as UTF-8\n", 2},
	} {
		out, errOut, code := runAt(addr, c.in, "iamat", "-")
		if out != c.out || errOut != c.err || code != c.code {
			t.Errorf("%q: exit code %d, %q, %q; want %d, %q, %q", c.in, code, out, errOut, c.code, c.out, c.err)
		}
	}
}

// Someone who types updates sees each reply before typing the next.
func TestIamatAnswersAsItIsTyped(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return line + "\n\n" }))
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	code := make(chan int, 1)
	go func() {
		var e bytes.Buffer
		code <- run([]string{"iamat", "-", "--at", addr}, in, out, &e)
		out.Close()
	}()
	replies := bufio.NewReader(shown)
	for _, line := range []string{"a +1-1 5\n", "b +1-1 5\n"} {
		if _, err := io.WriteString(typed, line+"half"); err != nil { // the next line has begun
			t.Fatal(err)
		}
		want := "IAMAT " + line
		if got, err := replies.ReadString('\n'); got != want || err != nil {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		if _, err := io.WriteString(typed, " +2-2 6\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := replies.ReadString('\n'); got != "IAMAT half +2-2 6\n" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	typed.Close()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

func TestForTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"AT kiwi\n{ \"a\\b\": \"東京\" }": "AT kiwi\n{ \"a\\b\": \"東京\" }",
		"\x1b[31mred\x07":               `\x1b[31mred\a`,
		"gnp\u202eexe\xff\u00a0":        `gnp\u202eexe\xff\u00a0`,
		"a\r\tb":                        `a\r` + "\tb",
	} {
		if got := forTerminal(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
