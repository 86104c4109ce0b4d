package load

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Errors of a server are counted under its name.
func TestErrorsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(n int, line string) []byte
		want   string
	}{
		{"dies", func(n int, line string) []byte {
			if n == 20 {
				return nil
			}
			return well(n, line)
		}, "Alford: connection lost: "},
		{"refuses", func(n int, line string) []byte {
			if n%10 == 5 {
				return []byte("> IAMAT FUTURE: too far\n\n")
			}
			return well(n, line)
		}, "Alford: > IAMAT FUTURE"},
		{"refuses in two lines", func(n int, line string) []byte {
			return []byte("> IAMAT TIME: 3 is more than 1h0m0s ahead of this server\n? " + line + "\n\n")
		}, "Alford: > IAMAT TIME"},
		{"says ?", func(n int, line string) []byte { return []byte("? " + line + "\n\n") }, "Alford: ? IAMAT"},
		{"mixes them up", func(n int, line string) []byte { return []byte("AT Alford +0.1 somebody +1-1 5\n\n") },
			"Alford: wrong reply"},
		{"says too much", func(n int, line string) []byte { return append(well(n, line), "more\n\n"...) }, "Alford: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(scripted(t, c.answer))
			o.Pipeline = 1
			r := mustRun(t, o)
			if r.All.Errors == 0 || len(r.All.Failures) == 0 || !strings.HasPrefix(r.All.Failures[0].What, c.want) {
				t.Errorf("%+v, want %q", r.All, c.want)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "error: ") {
				t.Errorf("%v, %s", err, &text)
			}
		})
	}
}

// An error reply of two lines is one error, and the connection continues.
func TestARefusalOfTwoLinesIsOneReply(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if n%2 == 0 {
			return []byte("> IAMAT TIME: 3 is too far ahead\n? " + line + "\n\n")
		}
		return well(n, line)
	}))
	r := mustRun(t, o)
	if c := r.All; c.Replies != c.Sent || len(c.Failures) != 1 || c.Errors < c.Sent/3 || c.Errors >= c.Replies {
		t.Errorf("%+v", r.All)
	}
}

// A full server rejects idle connections, too, before any request.
func TestIdleConnectionsThatAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("> SERVER FULL\n\n"))
			c.Close()
		}
	}()
	o := small(Target{Name: "Alford", Addr: l.Addr().String()})
	o.Connections, o.Pipeline, o.Idle = 0, 0, 5
	r := mustRun(t, o)
	if r.All.Errors != 5 || !strings.HasPrefix(r.All.Failures[0].What, "Alford: idle connection rejected: > SERVER FULL") {
		t.Errorf("%+v", r.All)
	}
}

// An invalid reply of any length is an error.
func TestReasons(t *testing.T) {
	for reply, want := range map[string]string{
		"\n": "", "a\n": "a", "? \n": "? ", "?\n": "?", ">\n": ">", "\n ": "\\n ", "> FULL\n\n": "> FULL",
		"> A B: c\n\n": "> A B", "? IAMAT x\n\n": "? IAMAT",
	} {
		if got := reason([]byte(reply)); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

// With a server that never replies, requests count as unanswered and the run ends.
func TestNoAnswer(t *testing.T) {
	o := small(scripted(t, func(int, string) []byte { return []byte{} }))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.drain = 100 * time.Millisecond
	r, err := Run(ctx, o)
	if err != nil || r.All.Sent != 12 || r.All.Unanswered != 12 || r.All.Replies != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	want := Failure{"Alford: no complete reply", "", 12}
	if len(r.All.Failures) != 1 || r.All.Failures[0] != want {
		t.Errorf("%+v, want %+v", r.All.Failures, want)
	}
}

// A drain ends if no reply arrives within Timeout, however long Options.drain is.
func TestDrainOfASilentServer(t *testing.T) {
	answered := false
	o := small(scripted(t, func(n int, line string) []byte {
		if answered {
			return []byte{}
		}
		answered = true
		return well(n, line)
	}))
	o.Connections, o.Clients, o.Timeout, o.drain = 1, 1, 50*time.Millisecond, time.Hour
	if r := mustRun(t, o); r.All.Replies != 1 || r.All.Unanswered == 0 {
		t.Errorf("%+v", r.All)
	}
}

// The length of a reply is limited to 64 KiB, or 4 MiB with places. Above that, the connection is closed.
func TestRepliesAreBounded(t *testing.T) {
	for _, c := range []struct {
		iamat, whatsat, bound int
	}{{1, 0, maxShort}, {0, 1, maxReply}} {
		o := small(Target{Name: "Alford"})
		o.IAMAT, o.WHATSAT = c.iamat, c.whatsat
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		w, end := newWorker(&o, nil), &transport{}
		u := &user{worker: w, target: &o.Targets[0], lines: newLines(&o, 0, 1), window: make([]request, 2), t: end}
		u.fill(0)
		for n := 0; n < c.bound; n += 4 << 10 {
			u.DataReceived(bytes.Repeat([]byte("A"), 4<<10))
		}
		if end.aborted {
			t.Fatalf("given up at %d bytes", c.bound)
		}
		u.DataReceived([]byte("A"))
		u.DataReceived([]byte("and more"))
		f := w.now.counts.Failures
		if !end.aborted || len(f) != 1 || f[0].What != "Alford: reply too long" || len(u.part) > 0 {
			t.Errorf("beyond %d bytes: %+v", c.bound, f)
		}
	}
}

// A reply after the connection was given up is not a second error.
func TestRepliesThatComeTooLate(t *testing.T) {
	o := small(Target{Name: "Alford"})
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	w, end := newWorker(&o, nil), &transport{}
	u := &user{worker: w, target: &o.Targets[0], lines: newLines(&o, 0, 1), window: make([]request, 2), t: end}
	u.fill(0)
	w.ending = true
	w.abandon(u)
	u.DataReceived([]byte("AT Alford +0.1 load0000001 +1-1 5\n\n"))
	if c := w.now.counts; end.aborted || c.Errors != 0 || c.Unanswered != 2 || len(c.Failures) != 1 {
		t.Errorf("%+v", c)
	}
}

// Replication reports errors with the server's name, and the measurements before.
func TestReplicationNamesErrors(t *testing.T) {
	endless := bytes.Repeat([]byte("A"), 1<<20)
	last := ""
	from := scripted(t, func(n int, line string) []byte {
		last = line
		return well(n, line)
	})
	for want, answer := range map[string]func(n int, line string) []byte{
		"Ball: bufio: buffer full": func(int, string) []byte { return endless },
		"Ball: EOF":                func(int, string) []byte { return nil },
	} {
		to := scripted(t, func(n int, line string) []byte {
			if n < 3 {
				return []byte("AT Alford +0.1 " + strings.TrimPrefix(last, "IAMAT ") + "\n{}\n\n")
			}
			return answer(n, line)
		})
		to.Name = "Ball"
		o := Options{Targets: []Target{from, to}, Duration: time.Minute}
		r, err := Replication(t.Context(), o)
		if err != nil || r.All.Replies != 3 || r.All.Errors != 1 || r.All.Failures[0].What != want {
			t.Errorf("%v, %+v, want %s", err, r, want)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "error: 1 time "+want) {
			t.Errorf("%v, %s", err, &text)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Run(t.Context(), small(Target{Name: "Alford", Addr: l.Addr().String()})); err == nil ||
		!strings.HasPrefix(err.Error(), "Alford, connection 1: ") {
		t.Error(err)
	}
}

// Errors about exhausted ports or descriptors have advice, for every kind of connection.
func TestTooLittleIsNamed(t *testing.T) {
	o := small(Target{Name: "Alford"})
	for reason, how := range map[error]string{
		syscall.EADDRNOTAVAIL: "widen net.ipv4.ip_local_port_range", syscall.EMFILE: "raise ulimit -n",
		syscall.EADDRINUSE: "widen net.ipv4.ip_local_port_range",
	} {
		w := newWorker(&o, nil)
		w.made = 20
		(&dial{w, &o.Targets[0], nil}).ConnectionFailed(os.NewSyscallError("connect", reason))
		err := <-w.ready
		if !strings.HasPrefix(err.Error(), "Alford, connection 21: ") || !strings.Contains(err.Error(), how) {
			t.Error(err)
		}
		(&visitor{w: w, target: &o.Targets[0]}).ConnectionFailed(os.NewSyscallError("connect", reason))
		if f := w.now.counts.Failures; len(f) != 1 || !strings.Contains(f[0].What, how) {
			t.Errorf("%+v", f)
		}
	}
}

// A rejected connection is counted once, with the server's reason.
func TestARefusedConnection(t *testing.T) {
	w, u, end := beside(t, 1)
	u.DataReceived([]byte("> SERVER FULL\n\n"))
	u.ConnectionLost(nil)
	if c := w.now.counts; c.Errors != 1 || len(c.Failures) != 1 || c.Failures[0].What != "Alford: > SERVER FULL" || !end.aborted {
		t.Errorf("%+v", c)
	}
	w, u, _ = beside(t, 1)
	u.DataReceived([]byte("AT Alford\n\n"))
	if f := w.now.counts.Failures; len(f) != 1 || f[0].What != "Alford: reply without a request" {
		t.Errorf("%+v", f)
	}
}

// A reply to a WHATSAT must contain a JSON object.
func TestWhatAWHATSATIsAnswered(t *testing.T) {
	for places, right := range map[string]bool{
		"{}": true, "{\n\"status\": \"OK\"\n}": true, "": false, "{": false, "}": false, "{\n\"status\": \"OK\"\n": false, "no {}": false,
	} {
		o := small(scripted(t, func(_ int, line string) []byte {
			if !strings.HasPrefix(line, "WHATSAT") {
				return well(0, line)
			}
			id := strings.Fields(line)[1]
			end := "\n\n"
			if places == "" {
				end = "\n"
			}
			return []byte("AT Alford +0.1 " + id + " +1-1 5\n" + places + end)
		}))
		o.WHATSAT, o.Duration = 1, 20*time.Millisecond
		r := mustRun(t, o)
		if wrong := r.All.Errors > 0; wrong == right || r.All.Sent == 0 {
			t.Errorf("%q: %+v", places, r.All)
		}
	}
}

// The report has the whole reason of a refusal, once for each kind.
func TestRefusalsAreExplained(t *testing.T) {
	const why = "> IAMAT TOKEN: it may write only clients whose id begins with a/prefix/of/some/length/that/is/not/cut/at/64/bytes/"
	o := small(scripted(t, func(int, string) []byte { return []byte(why + "\n\n") }))
	r := mustRun(t, o)
	if f := r.All.Failures; len(f) != 1 || !strings.HasSuffix(f[0].What, ": > IAMAT TOKEN") || f[0].Example != why ||
		f[0].Count != r.All.Errors || r.All.Errors == 0 {
		t.Errorf("%d errors, %+v", r.All.Errors, f)
	}
}
