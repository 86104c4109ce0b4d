package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/config"
	"serverherd/reactor"
)

const (
	attack    = "IAMAT csrf +9.0+9.0 5\n"
	interrupt = "\xff\xf4\xff\xfd\x06" // Ctrl-C: IP, DO TIMING-MARK
	wontTM    = "\xff\xfc\x06"
)

// logged is a herd of one server with what it logs.
func logged(t *testing.T, change func(*config.Config)) (*world, *observer.ObservedLogs) {
	w := alone(t, change)
	core, logs := observer.New(zap.DebugLevel)
	w.servers["Alford"].log = zap.New(core)
	return w, logs
}

// otherProtocols are connections that are refused, each with a line that must not be executed.
var otherProtocols = []struct{ protocol, sent, reply string }{
	{"HTTP", "POST / HTTP/1.1\r\nHost: 127.0.0.1:11500\r\nContent-Type: text/plain\r\n\r\n" + attack, ""},
	{"HTTP", "GET / HTTP/1.0\r\n\r\n" + attack, ""},
	{"HTTP", "IAMAT / HTTP/1.1\r\n\r\n" + attack, ""},
	{"HTTP", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + attack, ""},
	{"HTTP", "Host: x\r\n" + attack, ""},
	{"HTTP", "help\nHost: x\r\n" + attack, "Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n" +
		"> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n"},
	{"HTTP", "nonsense\npost /\n" + attack, "? nonsense\n\n"},
	{"HTTP", "x\n\xff\xf1Host: x\r\n" + attack, "? x\n\n"},
	{"TLS", "\x16\x03\x01\x02\x00\n" + attack, ""},
	{"SSH", "SSH-2.0-OpenSSH_9.6\r\n" + attack, ""},
	{"UTF-16", "\xff\xfeI\x00\n" + attack, "> LINE: this is UTF-16; send UTF-8\n\n"},
	{"UTF-16", "\xfe\xff\x00I\n" + attack, "> LINE: this is UTF-16; send UTF-8\n\n"},
}

func TestOtherProtocols(t *testing.T) {
	for _, dialect := range []string{"paper", "cs131"} {
		for _, c := range otherProtocols {
			t.Run(fmt.Sprintf("%s/%.20q", dialect, c.sent), func(t *testing.T) {
				for cut := range []int{0, 1} { // whole, byte by byte
					w, logs := logged(t, func(c *config.Config) { c.Herd.Dialect = dialect })
					srv := w.servers["Alford"]
					const times = 3
					for range times {
						client := w.dial("Alford")
						w.send(client, c.sent, cut)
						w.until("closed", client.Closed)
						want := c.reply
						if got := client.Take(); dialect == "paper" && got != want || !client.EOF() {
							t.Errorf("cut %d: %q, end of file %v; want %q", cut, got, client.EOF(), want)
						}
					}
					if srv.store.Len() != 0 || srv.counters.OtherProtocols != times {
						t.Errorf("cut %d: %d records, %d counted", cut, srv.store.Len(), srv.counters.OtherProtocols)
					}
					entries := logs.FilterMessage("other protocol refused").AllUntimed()
					if len(entries) != 1 || entries[0].Level != zap.WarnLevel || entries[0].ContextMap()["protocol"] != c.protocol {
						t.Errorf("cut %d: logged %v", cut, entries)
					}
					// Of those that say nothing else, there is nothing else to read.
					if info := atLeast(logs, zap.InfoLevel); c.reply == "" && info != 1 {
						t.Errorf("cut %d: %d entries, want 1", cut, info)
					}
				}
			})
		}
	}
}

// send sends text in pieces of cut bytes; 0: in one.
func (w *world) send(c client, text string, cut int) {
	if cut == 0 {
		c.SendString(text)
		return
	}
	for i := 0; i < len(text); i += cut {
		c.SendString(text[i:min(i+cut, len(text))])
		w.net.RunFor(5 * time.Millisecond)
	}
}

func atLeast(logs *observer.ObservedLogs, level zapcore.Level) int {
	return logs.Filter(func(e observer.LoggedEntry) bool { return e.Level >= level }).Len()
}

// hitOtherProtocol has no limit of its own to pass.
func hitOtherProtocol(t *testing.T) *Server {
	w := alone(t, nil)
	w.dial("Alford").SendString("GET / HTTP/1.1\r\n\r\n")
	w.until("refused", w.counted("other_protocols"))
	return w.servers["Alford"]
}

// One that is refused is not one too many: nobody tells it that the server is full.
func TestOtherProtocolBeyondMaxConnections(t *testing.T) {
	w := alone(t, func(c *config.Config) { c.Limits.MaxConnections = 1 })
	w.dial("Alford").ask(1, "help\n")
	c := w.dial("Alford")
	c.SendString("GET / HTTP/1.1\r\n")
	w.until("closed", c.Closed)
	if srv := w.servers["Alford"]; c.Take() != "" || srv.counters.OtherProtocols != 1 || srv.counters.ServerFull != 0 {
		t.Errorf("got %q, %+v", c.Received(), srv.counters)
	}
}

// A first line without LF is refused when the client ends, too.
func TestHTTPWithoutLineEnd(t *testing.T) {
	w := alone(t, nil)
	c := w.dial("Alford")
	c.SendString("GET / HTTP/1.1")
	w.net.RunFor(time.Second)
	c.CloseWrite()
	w.until("closed", c.Closed)
	if srv := w.servers["Alford"]; c.Take() != "" || srv.counters.OtherProtocols != 1 {
		t.Errorf("got %q, %+v", c.Received(), srv.counters)
	}
}

// A first line may be as long as any other, however it is cut.
func TestALongFirstLine(t *testing.T) {
	const max = 300
	long := strings.Repeat("x", max)
	for sent, want := range map[string]string{
		long + "\n": "? " + long + "\n\n", long + "\r\n": "? " + long + "\n\n",
		long + "x": "> LINE: longer than 300 bytes\n\n", long + "x\r\n": "> LINE: longer than 300 bytes\n\n",
		long[:max-9] + " HTTP/1.1\r\n": "",
	} {
		for _, cut := range []int{0, 1, max, max + 1} {
			w := alone(t, func(c *config.Config) { c.Limits.MaxLine, c.Limits.MaxClientID = max, 20 })
			c := w.dial("Alford")
			w.send(c, sent, cut)
			w.net.RunFor(100 * time.Millisecond)
			if got := c.Take(); got != want {
				t.Errorf("%d bytes in pieces of %d: %q, want %q", len(sent), cut, got, want)
			}
		}
	}
}

// First bytes that are kept count as memory of the client.
func TestFirstBytesCountAsMemory(t *testing.T) {
	w := alone(t, nil)
	w.dial("Alford").SendString(strings.Repeat("x", 10000))
	w.net.RunFor(time.Second)
	if n := w.servers["Alford"].sessions[0].memory(); n < 10000 {
		t.Errorf("%d bytes counted", n)
	}
}

// What a client of telnet sends beside its lines is neither executed nor sent back.
func TestTelnet(t *testing.T) {
	const (
		putty = "\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03"
		sized = "\xff\xfa\x1f\x00\x50\x00\n\xff\xf0" // 80 columns and 10 lines
	)
	for _, c := range []struct{ name, sent, want string }{
		{"PuTTY", putty + "a\r\nb\r\n", "? a\n\n? b\n\n"},
		{"telnet", "a\r\n" + interrupt + "b\r\n", "? a\n\n" + wontTM + "? b\n\n"},
		{"Ctrl-C first", interrupt + "a\r\n" + interrupt + "\r\n", wontTM + "? a\n\n" + wontTM + "? \n\n"},
		{"IAC DM", "a\r\n\xff\xf4\xff\xf2b\r\n", "? a\n\n? b\n\n"},
		{"0xff that begins no command", "\xff\x00\n\xff\x00\n\xff\xf1\xffa\n\xff\n", "? \xff\x00\n\n? \xff\x00\n\n? \xffa\n\n? \xff\n\n"},
		{"a subnegotiation", "a\n\xff\xfa\x18\x00xterm\xff\xf0b\n", "? a\n\n? b\n\n"},
		{"LF in a subnegotiation", sized + "a\n" + sized + "b\n" + sized + sized + "c\n", "? a\n\n? b\n\n? c\n\n"},
		{"a command behind it", "a\n" + sized + "IAMAT\n", "? a\n\n> IAMAT FIELDS: 1 instead of 4\n? IAMAT\n\n"},
		{"answered once", "a\n\xff\xfd\x06" + sized + "b\n", "? a\n\n" + wontTM + "? b\n\n"},
		{"a byte 0xff", "\xff\xff\xf4a\n\xff\xff\xf4b\n\xff\xf1\xff\xffc\n", "? \xff\xf4a\n\n? \xff\xf4b\n\n? \xffc\n\n"},
		{"0xff inside", "a\xff\xf4\n b\xff\xfa\n", "? a\xff\xf4\n\n?  b\xff\xfa\n\n"},
		{"a byte order mark first only", "\ufeffa\n\ufeffb\n", "? a\n\n? \ufeffb\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := range len(c.sent) {
				w := alone(t, nil)
				client := w.dial("Alford")
				w.send(client, c.sent, cut)
				client.CloseWrite()
				w.until("closed", client.Closed)
				if got := client.Take(); got != c.want {
					t.Errorf("in pieces of %d: %q, want %q", cut, got, c.want)
				}
			}
		})
	}
}

// Commands at the end of all input are no line.
func TestTelnetEnds(t *testing.T) {
	for _, end := range []string{"\xff\xf4", "\xff\xf4\xff\xfd", "\xff\xfb", "\xff\xfa\x18\nxterm", "\xff\xfeI"} {
		for _, before := range []string{"", "a\n"} {
			for cut := range 2 {
				w := alone(t, nil)
				c := w.dial("Alford")
				w.send(c, before+end, cut)
				c.CloseWrite()
				w.until("closed", c.Closed)
				if got, want := c.Take(), strings.Replace(before, "a\n", "? a\n\n", 1); got != want {
					t.Errorf("%q in pieces of %d: %q, want %q", before+end, cut, got, want)
				}
			}
		}
	}
}

// Answers to telnet commands count among what a client is owed: a client that does not stop asking is
// held, wherever its connection stands.
func TestTelnetAnswersAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, before string
		stalled      bool
	}{
		{"first", "", true},
		{"after a line", "help\n", true},
		{"behind a lookup", "WHATSAT k 1 1\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := alone(t, nil)
			w.reactors["Alford"].SetWork(20 * time.Second) // of the lookup
			w.dial("Alford").ask(1, "IAMAT k +1-1 5\n")
			n := w.dial("Alford")
			n.SendString(c.before)
			w.net.RunFor(time.Second)
			if c.stalled {
				n.Stall()
			}
			n.SendString(strings.Repeat(interrupt, 2<<20))
			w.until("held", w.counted("held"))
			w.net.RunFor(10 * time.Second)
			for _, s := range w.servers["Alford"].sessions {
				if s.replies.memory > 2*maxHeldReplies || s.t.Backlog() > maxBacklog+reactor.MaxHeldInput {
					t.Errorf("%d bytes wait, %d are unsent", s.replies.memory, s.t.Backlog())
				}
			}
		})
	}
}

// Telnet commands between lines begin no line: the client is not cut off for taking its time.
func TestTelnetMayWait(t *testing.T) {
	for _, sent := range []string{"", interrupt, "\xff\xfb\x1f", "\xff\xf1", "a\n", "a\n" + interrupt, "a\n\xff\xf1"} {
		w := alone(t, nil)
		c := w.dial("Alford")
		c.SendString(sent)
		w.net.RunFor(2 * time.Minute)
		c.Take()
		if got := c.ask(1, "b\n"); got != "? b\n\n" {
			t.Errorf("%q: closed %v, %q", sent, c.Closed(), got)
		}
	}
}

// An unfinished line is told so.
func TestUnfinishedLineIsTold(t *testing.T) {
	for dialect, want := range map[string]string{"paper": "> LINE: not finished within 30s\n\n", "cs131": ""} {
		for _, before := range []string{"", "x\n"} {
			w, logs := logged(t, func(c *config.Config) { c.Herd.Dialect = dialect })
			c := w.dial("Alford")
			c.SendString(before + "IAMAT kiwi +1-1 ")
			w.until("closed", c.Closed)
			w.net.RunFor(2 * time.Second) // the server knows, too
			got := c.Take()
			if !strings.HasSuffix(got, want) || before == "" && got != want || !c.EOF() {
				t.Errorf("%s after %q: %q, end of file %v; want %q", dialect, before, got, c.EOF(), want)
			}
			if atLeast(logs, zap.InfoLevel) != 2 {
				t.Errorf("%s after %q: logged %v", dialect, before, logs.AllUntimed())
			}
		}
	}
}

// A balancer's check is nothing to read about.
func TestSilentConnectionsAreLoggedAtDebug(t *testing.T) {
	for _, sent := range []string{"", "\xff\xf1", "\ufeff"} {
		for _, end := range []func(client){func(c client) { c.Close() }, func(c client) { c.CloseWrite() }, func(c client) { c.Reset() }} {
			w, logs := logged(t, nil)
			c := w.dial("Alford")
			c.SendString(sent)
			w.net.RunFor(time.Second)
			end(c)
			w.until("gone", func() bool { return len(w.servers["Alford"].sessions) == 0 })
			if n := atLeast(logs, zap.InfoLevel); n != 0 || logs.Len() == 0 {
				t.Errorf("%d entries of level info, %d in all", n, logs.Len())
			}
		}
	}
	w, logs := logged(t, nil)
	c := w.dial("Alford")
	c.ask(1, "help\n")
	c.Close()
	w.until("gone", func() bool { return len(w.servers["Alford"].sessions) == 0 })
	var seen []string
	for _, e := range logs.AllUntimed() {
		seen = append(seen, e.Level.String()+" "+e.Message)
	}
	if got := strings.Join(seen, ", "); got != "info connection made, info connection lost" {
		t.Errorf("a client: %s", got)
	}
}
