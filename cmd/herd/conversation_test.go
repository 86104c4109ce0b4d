package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
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
	serveEach(t, l, serve)
	return l.Addr().String()
}

// serveEach calls serve for each connection of a listener until the end of the test.
func serveEach(t *testing.T, l net.Listener, serve func(c *net.TCPConn)) {
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
}

// answering is a server that replies to each line with the result of a function.
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

// The end of a reply is found in both dialects and for every split into chunks.
func TestReplies(t *testing.T) {
	const at = "AT Alford +0.5 kiwi +1-1 1"
	whatsat, iamat := []string{"whatsat", "kiwi"}, []string{"iamat", "kiwi", "+1-1", "1"}
	cs131 := func(args []string) []string { return append(args[:len(args):len(args)], "--dialect", "cs131") }
	const stranger = "herd: ADDR is not a herd server: unexpected reply "
	tests := []struct {
		name, reply string
		args        []string
		code        int
		out, errOut string
	}{
		{"an acknowledgement", at + "\n\n", iamat, 0, at + "\n", ""},
		{"an answer", at + "\n{\n  \"a\": 1\n}\n\n", whatsat, 0, at + "\n{\n  \"a\": 1\n}\n", ""},
		{"an answer, JSON", at + "\n{\n  \"a\": 1\n}\n\n", append(whatsat, "--json"), 0, "{\n  \"a\": 1\n}\n", ""},
		{"two lines", "> IAMAT TIME: x\n? IAMAT x\n\n", iamat, 1, "", "herd: > IAMAT TIME: x\n"},
		{"a reason", "> WHATSAT BUSY: too many lookups\n\n", whatsat, 1, "", "herd: > WHATSAT BUSY: too many lookups\n"},
		{"a reason, JSON", "> WHATSAT BUSY: x\n\n", append(whatsat, "--json"), 1, "", "herd: > WHATSAT BUSY: x\n"},
		{"cs131: an acknowledgement", at + "\n", cs131(iamat), 0, at + "\n", ""},
		{"cs131: no acknowledgement", "? IAMAT x\n", cs131(iamat), 1, "", "herd: ? IAMAT x\n"},
		{"cs131: an answer", at + "\n{\n}\n\n", cs131(whatsat), 0, at + "\n{\n}\n", ""},
		{"cs131: no answer", "? WHATSAT kiwi 10 5\n", cs131(whatsat), 1, "", "herd: ? WHATSAT kiwi 10 5\n"},
		{"no server of the herd", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", iamat, 1, "", stranger + "\"HTTP/1.1 400 Bad Request\"\n"},
		{"no server of the herd, WHATSAT", "\x1b]0;SSH\r\n\n", append(whatsat, "--json"), 1, "", stranger + "\"\\x1b]0;SSH\"\n"},
		{"no server of the herd, empty lines", "\n\n", iamat, 1, "", stranger + "\"\"\n"},
		{"no server of the herd, without end", strings.Repeat("x", 1<<17), iamat, 1, "", stranger + "\"" + strings.Repeat("x", 200) + "\"\n"},
		{"cs131: no server of the herd", "ATX\n", cs131(iamat), 1, "", stranger + "\"ATX\"\n"},
		{"cs131: no server of the herd, WHATSAT", "\n", cs131(whatsat), 1, "", stranger + "\"\"\n"},
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
					_, _ = io.Copy(io.Discard, c) // a client that expects more blocks here
				})
				out, errOut, code := runAt(addr, "", test.args...)
				errOut = strings.ReplaceAll(errOut, addr, "ADDR")
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
	if want := "herd: the server closed the connection before a complete reply\n"; code != 1 || errOut != want {
		t.Errorf("exit code %d, %q, want %q", code, errOut, want)
	}
}

// A request is one line with one field per argument, whatever the arguments contain.
func TestArguments(t *testing.T) {
	var got []string
	addr := fakeServer(t, answering(func(line string) string {
		got = append(got, line)
		return "AT ok\n\n"
	}))
	for _, good := range []struct {
		args []string
		want string
	}{
		{[]string{"iamat", "kiwi", "-33.8-70.6", "5"}, "IAMAT kiwi -33.8-70.6 5"},
		{[]string{"iamat", "kiwi", "34.06,-118.44", "5"}, "IAMAT kiwi +34.06-118.44 5"},
		{[]string{"iamat", "kiwi", "-33.9,18.4", "5"}, "IAMAT kiwi -33.9+18.4 5"},
		{[]string{"iamat", "kiwi", "-.5, 18.", "5"}, "IAMAT kiwi -0.5+18 5"},
		{[]string{"iamat", "kiwi", " 034.0600 , +0118.44 ", "5"}, "IAMAT kiwi +34.0600+118.44 5"},
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
		"--at Alford --dialect cs131":      "--dialect requires --at HOST:PORT",
	} {
		var o, e bytes.Buffer
		code := run(append([]string{"whatsat", "kiwi"}, strings.Fields(args)...), nil, &o, &e)
		if code != exitUsage || !strings.Contains(e.String(), want) {
			t.Errorf("%s: exit code %d, %q, want %q", args, code, &e, want)
		}
	}
}

// Requests are pipelined up to a window, and flushed before the client waits: this server does not reply
// before it has a full window.
func TestIamatOfMany(t *testing.T) {
	t.Parallel()
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

// An invalid line does not affect the replies to lines before it. With --continue the lines after it are
// sent, too.
func TestIamatOfManyWithMistake(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line + "\n\n" }))
	for _, c := range []struct{ bad, want string }{
		{"alone\n", `expected CLIENT COORDS [TIME], got "alone"`},
		{"a b c d\n", `expected CLIENT COORDS [TIME], got "a b c d"`},
		{strings.Repeat("x", 1<<17) + "\n", "longer than 65536 bytes"},
		{strings.Repeat("x", 16384-len("IAMAT  +1-1 5")+1) + " +1-1 5\n", "the request has 16385 bytes; the server accepts at most 16384 (limits.max_line)"},
		{"\x1b[31m\u00a0red\u202e\n", `expected CLIENT COORDS [TIME], got "\x1b[31m\u00a0red\u202e"`},
		{"b 94,0\n", "94,0 is not a position: want " + positionForms},
		{"b 34.06, -118.44\n", "34.06, is not a position: want " + positionForms},
	} {
		in := "a +1-1 5\n\n" + c.bad + "b 2,2 6\n"
		out, errOut, code := runAt(addr, in, "iamat", "-")
		if want := "herd: standard input, line 3: " + c.want + "; 1 line sent, 1 answered\n"; out != "AT IAMAT a +1-1 5\n" || errOut != want || code != exitFailed {
			t.Errorf("exit code %d, %q, %q, want %q", code, out, errOut, want)
		}
		out, errOut, code = runAt(addr, in, "iamat", "-", "--continue")
		want := "herd: standard input, line 3: " + c.want + "\nherd: standard input: 2 lines sent, 2 answered, 1 invalid and not sent\n"
		if out != "AT IAMAT a +1-1 5\nAT IAMAT b +2+2 6\n" || errOut != want || code != exitFailed {
			t.Errorf("exit code %d, %q, %q, want %q", code, out, errOut, want)
		}
	}
	if _, errOut, code := runAt(addr, "", "iamat", "a", "+1+1", "--continue"); code != exitUsage || errOut != "herd: --continue requires -; see herd iamat --help\n" {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}

// Error replies are reported with line numbers and do not stop the command.
func TestIamatOfManyRefused(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string {
		if strings.HasPrefix(line, "IAMAT bad") {
			return "> IAMAT POSITION: 34-118 is not a position\n? " + line + "\n\n"
		}
		return "AT " + line + "\n\n"
	}))
	out, errOut, code := runAt(addr, "a +1-1 5\n\nbad 34-118 5\nbad +1-1 5\nc +2+2 6\n", "iamat", "-")
	want := "herd: standard input, line 3: > IAMAT POSITION: 34-118 is not a position; want " + positionForms + "\n" +
		"herd: standard input, line 4: > IAMAT POSITION: 34-118 is not a position\n" +
		"herd: standard input: 4 lines sent, 4 answered, 2 of them refused\n"
	if out != "AT IAMAT a +1-1 5\nAT IAMAT c +2+2 6\n" || errOut != want || code != exitFailed {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
}

// Binary input is reported in one line, and nothing after the first NUL byte is sent.
func TestIamatOfABinaryFile(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line + "\n\n" }))
	const notText = "not text: contains a NUL byte; if it is UTF-16, save it as UTF-8; "
	long := strings.Repeat("a +1+1 5\n", 1<<14)
	for _, c := range []struct {
		in, want string
		sent     int
	}{
		{"\x1f\x8b\x08\x08\x00file\n" + strings.Repeat("a b\n", 3000), "standard input: " + notText + "0 lines sent, 0 answered", 0},
		{"a +1+1 5\nb\x00 +1+1 5\n", "standard input: " + notText + "0 lines sent, 0 answered", 0},
		{"b\x00o\x00b\x00", "standard input: " + notText + "0 lines sent, 0 answered", 0},
		{long + "\x00\n" + long, "standard input, line 16385: " + notText + "16384 lines sent, 16384 answered", 1 << 14},
	} {
		for _, args := range [][]string{{"iamat", "-"}, {"iamat", "-", "--continue"}} {
			out, errOut, code := runAt(addr, c.in, args...)
			if strings.Count(out, "\n") != c.sent || errOut != "herd: "+c.want+"\n" || code != exitFailed {
				t.Errorf("%q %.20q: exit code %d, %d bytes, %.300q, want %q", args, c.in, code, len(out), errOut, c.want)
			}
		}
	}
}

// A server that accepts a connection and never replies causes a timeout.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	silent := fakeServer(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	half := fakeServer(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "AT Alford\n\nAT Alf")
		_, _ = io.Copy(io.Discard, c)
	})
	for _, c := range []struct {
		addr, in string
		args     []string
		out      string
		want     string
	}{
		{silent, "", []string{"iamat", "kiwi", "+1+1"}, "", "no complete reply from " + silent + " within 1s (--timeout)"},
		{silent, "", []string{"whatsat", "kiwi"}, "", "no complete reply from " + silent + " within 1s (--timeout)"},
		{silent, "", []string{"whatsat", "kiwi", "--json"}, "", "no complete reply from " + silent + " within 1s (--timeout)"},
		{half, "a 1,1\nb 1,1\nc 1,1\n", []string{"iamat", "-"}, "AT Alford\n",
			"no complete reply from " + half + " within 1s (--timeout); 3 lines sent, 1 answered"},
	} {
		out, errOut, code := runAt(c.addr, c.in, append(c.args, "--timeout", "1s")...)
		if out != c.out || errOut != "herd: "+c.want+"\n" || code != exitFailed {
			t.Errorf("%q: exit code %d, %q, %q, want %q", c.args, code, out, errOut, c.want)
		}
	}
	out, errOut, code := runAt(silent, "", "load", "-c", "2", "-d", "20ms", "--warmup", "0s", "--timeout", "1s")
	if !strings.Contains(out, "0 replies") || !strings.Contains(errOut, "2 requests unanswered") || code != exitFailed {
		t.Errorf("load: exit code %d, %q, %q", code, out, errOut)
	}
	out, errOut, code = runAt(silent, "", "load", "-c", "2", "-d", "20ms", "--mix", "whatsat", "--timeout", "1s")
	if want := "preload clients: no reply within 1s (--timeout)\n"; out != "" || !strings.HasSuffix(errOut, want) || code != exitFailed {
		t.Errorf("load of WHATSATs: exit code %d, %q, %q, want %q", code, out, errOut, want)
	}
}

// Likewise for commands that find their servers in herd.toml.
func TestSilentServersOfHerdToml(t *testing.T) {
	t.Setenv(keyVariable, "a-key")
	silent := fakeServer(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	dir := t.TempDir()
	file := filepath.Join(dir, "herd.toml")
	other := fakeServer(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	console := fakeServer(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	text := "[places]\nprovider = \"google\"\nbase_url = \"http://" + silent + "\"\n" +
		"[[server]]\nname = \"Alford\"\naddress = \"" + silent + "\"\nlisten = \"127.0.0.1:1\"\nconsole = \"" + console + "\"\nneighbors = [\"Ball\"]\n" +
		"[[server]]\nname = \"Ball\"\naddress = \"" + other + "\"\nlisten = \"127.0.0.1:2\"\nneighbors = [\"Alford\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"status":        "herd: Alford: no answer at " + console + " within 1s\n",
		"status --json": "herd: Alford: no answer at " + console + " within 1s\n",
		"places 1,2":    "herd: places provider google: no answer within 1s; check places.base_url and the network, or try again\n",
		"load --servers Alford,Ball --replication -d 20ms": "1 error, 1 request unanswered\n",
	} {
		var out, errOut bytes.Buffer
		code := run(append(strings.Fields(line), "--timeout", "1s", "--config", file), strings.NewReader(""), &out, &errOut)
		if code != exitFailed || !strings.HasSuffix(errOut.String(), want) {
			t.Errorf("%s: exit code %d, %q, %q, want %q", line, code, &out, &errOut, want)
		}
	}
}

// A byte order mark is not part of the first client id.
func TestIamatOfManyWithByteOrderMark(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line + "\n\n" }))
	for _, c := range []struct {
		in, out, err string
		code         int
	}{
		{"\ufeffbob +10+20 5\r\n", "AT IAMAT bob +10+20 5\n", "", 0},
		{"\xff\xfeb\x00o\x00b\x00", "", "herd: standard input: text is UTF-16: save it as UTF-8; 0 lines sent, 0 answered\n", 1},
		{"\xfe\xff\x00b", "", "herd: standard input: text is UTF-16: save it as UTF-8; 0 lines sent, 0 answered\n", 1},
	} {
		out, errOut, code := runAt(addr, c.in, "iamat", "-")
		if out != c.out || errOut != c.err || code != c.code {
			t.Errorf("%q: exit code %d, %q, %q; want %d, %q, %q", c.in, code, out, errOut, c.code, c.out, c.err)
		}
	}
}

// In interactive use, each reply is printed before the next line is read.
func TestIamatAnswersAsItIsTyped(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line + "\n\n" }))
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
		if _, err := io.WriteString(typed, line+"half"); err != nil { // the beginning of the next line
			t.Fatal(err)
		}
		want := "AT IAMAT " + line
		if got, err := replies.ReadString('\n'); got != want || err != nil {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		if _, err := io.WriteString(typed, " +2-2 6\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := replies.ReadString('\n'); got != "AT IAMAT half +2-2 6\n" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	typed.Close()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// The maximum length of a request is limits.max_line of herd.toml.
func TestIamatOfManyAndMaxLine(t *testing.T) {
	addr := fakeServer(t, answering(func(line string) string { return "AT " + line[:20] + "\n\n" }))
	file := filepath.Join(t.TempDir(), "herd.toml")
	text := "[limits]\nmax_line = 2000\n[[server]]\nname = \"Alford\"\naddress = \"" + addr + "\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("x", 2000-len("IAMAT  +1-1 5"))
	in := longest + " +1-1 5\nx" + longest + " +1-1 5\n" + longest + " +1-1\nc +1-1 5xxxxxxxxxxxxxxx\n"
	var out, errOut bytes.Buffer
	code := run([]string{"iamat", "-", "--continue", "--config", file}, strings.NewReader(in), &out, &errOut)
	lines := strings.Split(errOut.String(), "\n")
	if code != exitFailed || strings.Count(out.String(), "\n") != 2 || len(lines) != 4 ||
		lines[0] != "herd: standard input, line 2: the request has 2001 bytes; the server accepts at most 2000 (limits.max_line)" ||
		!strings.HasPrefix(lines[1], "herd: standard input, line 3: the request has 20") || // with the time
		lines[2] != "herd: standard input: 2 lines sent, 2 answered, 2 invalid and not sent" {
		t.Errorf("exit code %d, %q, %q", code, &out, &errOut)
	}
}
