package protocol

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const (
	helloLine = "HELLO herd/1 ucla Welsh Alford 00000000000000ff 000102030405060708090a0b0c0d0e0f\r\n"
	iac       = "\xff"
	// The first bytes of PuTTY: WILL NAWS, TERMINAL-SPEED, TERMINAL-TYPE, NEW-ENVIRON, DO ECHO, WILL and
	// DO SUPPRESS-GO-AHEAD.
	putty = iac + "\xfb\x1f" + iac + "\xfb\x20" + iac + "\xfb\x18" + iac + "\xfb\x27" +
		iac + "\xfd\x01" + iac + "\xfb\x03" + iac + "\xfd\x03"
	// The bytes of the inetutils telnet client on Ctrl-C: IP, DO TIMING-MARK. Others also send DM.
	interrupt = iac + "\xf4" + iac + "\xfd\x06"
	wontTM    = iac + "\xfc\x06"
	// A window of 80 columns and 10 lines, whose second byte is LF.
	window = iac + "\xfa\x1f\x00\x50\x00\x0a" + iac + "\xf0"
)

// openingCase is what a peer sends before it waits for a reply, without closing.
type openingCase struct {
	name, sent string
	kind       OpeningKind
	other      string
	rest       string // the bytes that were not skipped
	answer     string // to a telnet client
}

func lines(name, sent, rest string) openingCase {
	return openingCase{name: name, sent: sent, kind: ClientLines, rest: rest}
}

func refused(name, sent, other string) openingCase {
	return openingCase{name: name, sent: sent, kind: OtherProtocol, other: other}
}

func waits(name, sent string) openingCase { return openingCase{name: name, sent: sent, rest: sent} }

var openingCases = []openingCase{
	waits("nothing", ""),
	waits("a part of a line", "IAMAT kiwi"),
	waits("a part of a method", "POST / HTTP/1.1"),
	lines("an empty line", "\n", "\n"),
	lines("a client", paperIAMAT+"\n", paperIAMAT+"\n"),
	lines("a client that speaks no command", "nonsense\r\nhelp\r\n", "nonsense\r\nhelp\r\n"),
	lines("a neighbor without a handshake", paperAT+" Ball\r\n", paperAT+" Ball\r\n"),
	{name: "a neighbor", sent: helloLine, kind: LinkLines, rest: helloLine},
	lines("HELLO that is none", "HELLO there\n", "HELLO there\n"),
	lines("NUL", "\x00\n", "\x00\n"),

	refused("curl", "GET / HTTP/1.1\r\nHost: 127.0.0.1:11500\r\n\r\n", OtherHTTP),
	refused("a form of a page", "POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nIAMAT csrf +9.0+9.0 1795784000\n", OtherHTTP),
	refused("any method", "IAMAT / HTTP/1.1\r\n", OtherHTTP),
	refused("any method that looks like a command", "WHATSAT kiwi 10 HTTP/1.0\n", OtherHTTP),
	refused("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OtherHTTP),
	refused("HTTP/3 some day", "GET / HTTP/3\r\n", OtherHTTP),
	refused("a WebSocket", "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n", OtherHTTP),
	refused("a proxy's client", "CONNECT herd:11500 HTTP/1.1\r\n", OtherHTTP),
	refused("a space behind the version", "GET / HTTP/1.1 \t\r\n", OtherHTTP),
	refused("POST without a version", "POST /\n", OtherHTTP),
	refused("Host first", "Host: evil\nIAMAT k +1-1 1\n", OtherHTTP),
	refused("HTTP behind a byte order mark", "\ufeffGET / HTTP/1.1\n", OtherHTTP),
	refused("HTTP behind telnet", iac+"\xf1GET / HTTP/1.1\n", OtherHTTP),
	refused("HTTP behind a byte 0xff", iac+iac+"GET / HTTP/1.1\n", OtherHTTP),
	lines("a client called HTTP/1.1", "IAMAT HTTP/1.1 +1-1 1\n", "IAMAT HTTP/1.1 +1-1 1\n"),
	lines("a client called Host:", "IAMAT Host: +1-1 1\n", "IAMAT Host: +1-1 1\n"),
	lines("a client called POST", "WHATSAT POST 1 1\n", "WHATSAT POST 1 1\n"),
	lines("HTTP/ alone", "GET / HTTP/\n", "GET / HTTP/\n"),
	lines("no version", "GET / HTTP/x\n", "GET / HTTP/x\n"),
	lines("a longer word", "GET / XHTTP/1.1\n", "GET / XHTTP/1.1\n"),
	lines("HTTP on the second line", "help\nGET / HTTP/1.1\n", "help\nGET / HTTP/1.1\n"),

	{name: "TLS 1.0 to 1.3", sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", kind: TLSHello, other: OtherTLS,
		rest: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
	{name: "TLS, two bytes of it", sent: "\x16\x03", kind: TLSHello, other: OtherTLS, rest: "\x16\x03"},
	{name: "a proxy", sent: "PROXY UNKNOWN\r\nhelp\n", kind: ProxyHeader, other: OtherPROXY, rest: "help\n"},
	refused("a wrong PROXY header", "PROXY\x20\n", OtherPROXY),
	lines("no PROXY header", "PROXY\n", "PROXY\n"),
	waits("perhaps TLS", "\x16"),
	lines("no TLS", "\x16\x04\n", "\x16\x04\n"),
	refused("SSH", "SSH-2.0-OpenSSH_9.6\r\n", OtherSSH),
	refused("SSH, as much as it takes", "SSH-", OtherSSH),
	lines("no SSH", "SSH 2\n", "SSH 2\n"),

	refused("UTF-16", "\xff\xfeI\x00A\x00M\x00A\x00T\x00", OtherUTF16),
	refused("UTF-16, as much as it takes", "\xff\xfei\x00", OtherUTF16),
	refused("UTF-16, big-endian", "\xfe\xff\x00I", OtherUTF16),
	waits("perhaps UTF-16", "\xff\xfeI"),
	lines("a byte order mark", "\ufeffIAMAT bob +10+20 1\n", "IAMAT bob +10+20 1\n"),
	{name: "a byte order mark, and nothing", sent: "\ufeff"},
	waits("perhaps a byte order mark", "\xef\xbb"),
	lines("no byte order mark", "\xef\xbb\n", "\xef\xbb\n"),
	lines("one inside", "a\ufeff\n", "a\ufeff\n"),

	{name: "PuTTY that waits", sent: putty},
	lines("PuTTY", putty+"help\r\n", "help\r\n"),
	lines("PuTTY, and a file that is pasted", putty+"\ufeffhelp\r\n", "help\r\n"),
	{name: "PuTTY as a neighbor", sent: putty + helloLine, kind: LinkLines, rest: helloLine},
	{name: "Ctrl-C", sent: interrupt, answer: wontTM},
	{name: "Ctrl-C, then a line", sent: interrupt + "help\r\n", kind: ClientLines, rest: "help\r\n", answer: wontTM},
	lines("Ctrl-C with IAC DM", iac+"\xf4"+iac+"\xf2help\r\n", "help\r\n"),
	lines("0xff that begins no command", iac+"\x00\n", iac+"\x00\n"),
	lines("0xff alone", iac+"\n", iac+"\n"),
	lines("0xff behind a command", iac+"\xf4"+iac+"a\n", iac+"a\n"),
	{name: "Ctrl-C twice", sent: interrupt + interrupt + "x\n", kind: ClientLines, rest: "x\n", answer: wontTM + wontTM},
	lines("a subnegotiation", iac+"\xfa\x18\x00xterm"+iac+"\xf0help\r\n", "help\r\n"),
	lines("a subnegotiation with LF", window+"help\r\n", "help\r\n"),
	lines("a subnegotiation with IAC IAC", iac+"\xfa\x1f"+iac+iac+"\xf0"+iac+"\xf0help\n", "help\n"),
	waits("an unfinished subnegotiation", iac+"\xfa\x1f\x00\nIAMAT k +1-1 1\n"),
	waits("an unfinished request", iac+"\xfb"),
	lines("an option LF", iac+"\xfd\nhelp\n", "help\n"),
	refused("UTF-16 behind telnet", iac+"\xf1\xff\xfeI\x00", OtherUTF16),
	{name: "DONT of an option that is a digit, and perhaps UTF-16", sent: "\xff\xfe0\xff\xfeA", rest: "\xff\xfeA"},
	{name: "DONT of an option that is a letter", sent: iac + "\xfeAx\n", kind: ClientLines, rest: "x\n"},
	lines("an endless subnegotiation", iac+"\xfa"+strings.Repeat("x", maxSubnegotiation)+"\n", strings.Repeat("x", maxSubnegotiation)+"\n"),
	lines("a byte 0xff", iac+iac+"\xf4\n", iac+"\xf4\n"),
	lines("two bytes 0xff", iac+iac+iac+iac+"\n", iac+iac+iac+"\n"),
	lines("a byte 0xff behind a command", iac+"\xf1"+iac+iac+"x\n", iac+"x\n"),
	lines("0xff inside", "IAMAT \xff\xf4 +1-1 1\n", "IAMAT \xff\xf4 +1-1 1\n"),
}

// opener handles the first bytes of a connection as herd's opening does.
type opener struct {
	Opening
	alone  bool   // no PROXY header may come
	bytes  []byte // not skipped
	answer []byte
	calls  int
}

func (o *opener) receive(p []byte) {
	o.bytes = append(o.bytes, p...)
	for more := o.Kind == NeedMore; more; more = o.Kind == SkipMore {
		o.Opening = Open(o.bytes, !o.alone)
		if o.Skip > len(o.bytes) || o.Kind == NeedMore && o.Skip != 0 || o.Kind == SkipMore && o.Skip == 0 {
			panic(fmt.Sprintf("%+v for %q", o.Opening, o.bytes))
		}
		o.answer = AppendTelnet(o.answer, o.bytes[:o.Skip])
		o.bytes = o.bytes[o.Skip:]
		o.calls++
	}
}

func opened(pieces ...[]byte) opener {
	var o opener
	for _, p := range pieces {
		o.receive(p)
	}
	return o
}

func (o *opener) same(as opener) bool {
	return o.Kind == as.Kind && o.Other == as.Other && bytes.Equal(o.answer, as.answer) &&
		(o.Kind == OtherProtocol || bytes.Equal(o.bytes, as.bytes))
}

func TestOpen(t *testing.T) {
	for _, c := range openingCases {
		t.Run(c.name, func(t *testing.T) {
			want := opener{Opening: Opening{Kind: c.kind, Other: c.other}, bytes: []byte(c.rest), answer: []byte(c.answer)}
			whole := opened([]byte(c.sent))
			if !whole.same(want) {
				t.Errorf("%q: %+v, left %q, answer %q\nwant %+v, left %q, answer %q", c.sent,
					whole.Opening, whole.bytes, whole.answer, want.Opening, want.bytes, want.answer)
			}
			allCuts(t, []byte(c.sent))
		})
	}
}

// allCuts checks that the result is the same for one read, for two, and for one per byte.
func allCuts(t *testing.T, p []byte) {
	t.Helper()
	whole := opened(p)
	var single [][]byte
	for i := range p {
		single = append(single, p[i:i+1])
		if cut := opened(p[:i], p[i:]); !cut.same(whole) {
			t.Errorf("%q cut at %d: %+v, left %q; whole %+v, left %q", p, i, cut.Opening, cut.bytes, whole.Opening, whole.bytes)
		}
	}
	if cut := opened(single...); !cut.same(whole) {
		t.Errorf("%q byte by byte: %+v, left %q; whole %+v, left %q", p, cut.Opening, cut.bytes, whole.Opening, whole.bytes)
	}
}

// Where no PROXY header may come, empty lines are lines, and its mark is still refused.
func TestOpenWithoutProxies(t *testing.T) {
	for sent, want := range map[string]OpeningKind{
		"\r": NeedMore, "\r\n": ClientLines, "\r\n\r": ClientLines, "\r\n\r\n": ClientLines, "\r\nhelp\r\n": ClientLines,
		"PROXY UNKNOWN\r\n": ProxyHeader,
	} {
		if got := Open([]byte(sent), false); got.Kind != want {
			t.Errorf("%q: %+v, want kind %d", sent, got, want)
		}
	}
	if got := Open([]byte(proxyV2), false); got.Other != OtherPROXY {
		t.Errorf("the mark of a header: %+v", got)
	}
}

// Each opener decides at least one case.
func TestOpenUsesEveryOpener(t *testing.T) {
	for i, open := range openers {
		used := false
		for _, c := range openingCases {
			used = used || c.sent != "" && open([]byte(c.sent)).Kind != noMatch
		}
		if !used {
			t.Errorf("no case for opener %d", i)
		}
	}
}

func TestOpenAllocatesNothing(t *testing.T) {
	for _, c := range openingCases {
		p := []byte(c.sent)
		if n := testing.AllocsPerRun(10, func() { Open(p, true) }); n != 0 && c.kind != LinkLines && c.kind != ProxyHeader {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, c := range openingCases {
		f.Add([]byte(c.sent))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 100 {
			return // the longest input is a case of the table
		}
		allCuts(t, p)
		o := opener{alone: true}
		o.receive(p)
		o.receive([]byte("\n"))
		if o.Kind == NeedMore && o.Other == "" && len(o.bytes) > 0 && o.bytes[0] != telnetIAC {
			t.Errorf("%q and LF: undecided, left %q", p, o.bytes)
		}
	})
}

func TestIsHTTP(t *testing.T) {
	for line, want := range map[string]bool{
		"POST / HTTP/1.1": true, "post": true, " Post x": true, "Host: a": true, "HOST:a": true, "host:": true,
		"\tHost:\r": true,
		"":          false, "Host": false, "Host : a": false, "x Host: a": false, "POSTS": false, "IAMAT POST +1-1 1": false,
		"GET / HTTP/1.1": false, "Content-Length: 5": false,
	} {
		if got := IsHTTP([]byte(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	line := []byte(paperIAMAT + "\n")
	b.ReportAllocs()
	for b.Loop() {
		if Open(line, true).Kind != ClientLines {
			b.Fatal("a client's line is not taken for one")
		}
	}
}
