package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// end is one of two servers that share an edge: all that it keeps of it, and its machines. What it hears is
// anything at all.
type end struct {
	t     *testing.T
	self  Self
	peer  string
	store *feed.Store
	sent  *Sent
	heard *Heard
	out   Output
	dial  *Outbound
	calls []*Inbound

	lastMark uint64              // on dial
	taken    map[*Inbound]uint64 // the seq of the last MARK that an ACK may name
}

func newEnd(t *testing.T, name, peer string, epoch protocol.Epoch) *end {
	e := &end{t: t, peer: peer, store: feed.NewStore("ucla", 40), taken: map[*Inbound]uint64{}}
	e.self = Self{Herd: "ucla", Name: name, Epoch: epoch}
	e.sent = NewSent(e.store)
	e.heard = NewHeard(e.store, e.sent)
	return e
}

// connect dials: what was there before is lost.
func (e *end) connect(now Time) {
	if e.dial != nil {
		e.dial.Close()
	}
	e.lastMark = 0
	e.dial = NewOutbound(&e.self, e.peer, e.sent, e.heard, 0, protocol.Nonce{1}, now, e.out.Reset())
}

// accept takes the first line of a connection.
func (e *end) accept(line []byte, now Time) {
	l, err := protocol.ParseLink(line)
	if err != nil || l.Verb != protocol.LinkHello {
		return
	}
	if len(e.calls) == 3 {
		e.heard.Lost(e.calls[0])
		e.calls = e.calls[1:]
	}
	in := NewInbound(&e.self, line, l.Hello)
	e.calls = append(e.calls, in)
	if reason := e.self.Refusal(l.Hello, string(l.Hello.From) == e.peer); reason != "" {
		in.Refuse(reason, e.out.Reset())
		return
	}
	in.Challenge(protocol.Nonce{2}, now, e.out.Reset())
}

// answer gives the dialed connection a line.
func (e *end) answer(line []byte, now Time) {
	o, before, due := e.dial, *e.sent, e.sent.repairDue
	o.Line(line, now, e.out.Reset())
	if !o.Sending() && o.state == Greeting && before != *e.sent {
		e.t.Fatalf("%q before WELCOME has changed Sent", line)
	}
	for _, event := range e.out.Events {
		if event.Kind == Welcomed {
			if due && (event.Resumed || !e.sent.skipNothing || e.sent.acked != 0) {
				e.t.Fatal("a repair was due, and this is none")
			}
			o.Pump(now, false, &e.out)
		}
	}
}

// call gives an accepted connection a line.
func (e *end) call(in *Inbound, line []byte, now Time) {
	before, tail := known(e.heard), e.store.Tail()
	at := in.Line(line, now, e.out.Reset())
	if (!in.Joined() || !e.heard.Current(in)) && known(e.heard) != before {
		e.t.Fatalf("%q on a connection that is not current has changed Heard", line)
	}
	if e.store.Tail() != tail && (!at.Taken || at.Outcome != feed.Stored || !in.Joined()) {
		e.t.Fatalf("%q has changed the store", line)
	}
	if in.anyMark {
		e.taken[in] = in.lastMark
	}
	for _, event := range e.out.Events {
		switch event.Kind {
		case Proven:
			linked := protocol.Epoch(0)
			if e.dial != nil && e.dial.Sending() {
				linked = e.sent.peer
			}
			if v, _ := e.heard.Admit(in.epoch, linked, len(e.calls) > 2, now); v > TakenBack {
				in.Refuse("duplicate", &e.out)
				break
			}
			in.Join(e.heard)
			in.Welcome(now, &e.out)
		case ProofRejected:
			in.Refuse("proof", &e.out)
		case Diverged:
			e.sent.Repair()
		case HeardMore:
			if e.dial != nil && e.dial.Sending() {
				e.dial.MarkSoon(now)
			}
		}
	}
}

// known is all that a connection that is not current must not change.
func known(h *Heard) string {
	return fmt.Sprint(h.epoch, h.seq, h.seqKnown, h.full, h.everSynced, h.repairDue, h.checked, h.divergedSince, h.nextRepair, h.pause,
		len(h.formers))
}

// check looks at what has been written, in the last step and by whom, and at every invariant.
func (e *end) check(in *Inbound) (lines [][]byte) {
	e.t.Helper()
	for rest := e.out.Lines; len(rest) > 0; {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		l, err := protocol.ParseLink(line)
		if err != nil || !found {
			e.t.Fatalf("wrote %q", line)
		}
		switch l.Verb {
		case protocol.LinkMark:
			if l.Mark.Seq < e.lastMark || l.Mark.Seq > l.Mark.Tail {
				e.t.Fatalf("MARK %d of %d behind MARK %d", l.Mark.Seq, l.Mark.Tail, e.lastMark)
			}
			e.lastMark = l.Mark.Seq
		case protocol.LinkAck:
			if l.N != e.taken[in] {
				e.t.Fatalf("ACK %d, and the last MARK was %d", l.N, e.taken[in])
			}
		}
		lines, rest = append(lines, bytes.Clone(line)), after
	}
	s := e.sent
	at := e.store.Head()
	at.Advance(s.acked)
	if s.acked > s.highest || s.cursor.Position() != at.Position() {
		e.t.Fatalf("Sent: acked %d, highest %d, cursor at %d instead of %d", s.acked, s.highest, s.cursor.Position(), at.Position())
	}
	o := e.dial
	if o == nil || !o.Sending() {
		return lines
	}
	if o.cursor.Position() < s.cursor.Position() {
		e.t.Fatalf("Outbound: sent up to %d, acknowledged up to %d", o.cursor.Position(), s.cursor.Position())
	}
	for i, m := range o.marks {
		if m.seq < s.acked || i > 0 && m.seq <= o.marks[i-1].seq || i > 0 && m.seq == s.acked {
			e.t.Fatalf("Outbound: marks %v, acked %d", o.marks, s.acked)
		}
	}
	if n := o.Unacknowledged(); n < 0 || n > Window+pumpBytes+8192 {
		e.t.Fatalf("Outbound: %d bytes on their way", n)
	}
	return lines
}

// likely is a script in which both ends mostly do what they do in a herd: dial, send, take what comes, in order.
func likely(seed uint64) (script []byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	lie := []string{"MARK 3 3 0 1 0000000000000000", "MARK 1 0 - 0 0000000000000000", "ACK 1", "ACK 99", "PING 7", "PONG 7", "PROOF -",
		"WELCOME 0000000000000002 - 0000000000000001 999", "WELCOME 0000000000000002 - - 0", "AT Ball +1 x +1-1 9 Ball",
		"AT Ball +1 x +1-1 9 Alford", "REFUSE proof", "nonsense", "HELLO herd/1 ucla Ball Alford 0000000000000007 " + strings.Repeat("00", 16)}
	for range 1500 {
		op := "\x00\x01\x01\x01\x02\x02\x02\x03\x04\x04\x04\x04\x04\x04\x04\x04\x07\x07\x07\x07\x07\x07\x0a\x0b\x0c\x0c\x0c\x0d\x0d"[r.IntN(29)]
		switch r.IntN(40) {
		case 0:
			op = byte(r.IntN(16)) | byte(r.IntN(8))<<5
		case 1:
			op = 9 | byte(r.IntN(8))<<5
		}
		op |= byte(r.IntN(2)) << 4
		script = append(script, op)
		switch op % 16 {
		case 4, 5, 6, 7, 8:
			script = append(script, 0, 0)
		case 9:
			script = append(script, lie[r.IntN(len(lie))]+"\n"...)
		}
	}
	return script
}

// FuzzLines gives both ends of an edge any lines in any order: those of the other end, late, twice, on another
// connection or not at all, and lines that no end writes. There is never a panic nor a broken invariant.
func FuzzLines(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(likely(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		now := Time{time.Unix(1520000000, 0), time.Hour}
		pass := func(d time.Duration) { now = Time{now.Wall.Add(d), now.Steady + d} }
		ends := [2]*end{newEnd(t, "Alford", "Ball", 1), newEnd(t, "Ball", "Alford", 2)}
		var wire [2][2][][]byte // on its way from an end: on its dialed connection, and on accepted ones
		next := func() int {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return int(b)
		}
		// take removes a line from a wire, mostly the first.
		take := func(q *[][]byte) []byte {
			which, again := next(), next() > 230
			if len(*q) == 0 {
				return nil
			}
			i := 0
			if which > 200 {
				i = which % len(*q)
			}
			line := (*q)[i]
			if !again {
				*q = append((*q)[:i:i], (*q)[i+1:]...)
			}
			return line
		}
		for steps := 0; len(script) > 0 && steps < 2000; steps++ {
			op := next()
			side := op / 16 % 2
			e := ends[side]
			var in *Inbound
			if len(e.calls) > 0 {
				in = e.calls[len(e.calls)-1]
				if k := op / 32; k > 0 && k <= len(e.calls) {
					in = e.calls[k-1]
				}
			}
			accepted := 1 // whose lines those of this step are
			e.out.Reset()
			switch op % 16 {
			case 0:
				e.connect(now)
				accepted = 0
			case 1: // a client moves
				text := fmt.Sprintf("AT %s +0.1 c%d +1-1 %d %s", e.self.Name, op/32, steps+1, e.self.Name)
				l, _ := protocol.ParseLink([]byte(text))
				e.store.ApplyOwn(l.Record)
			case 2, 3:
				if e.dial != nil {
					e.dial.Pump(now, op%16 == 3, &e.out)
				}
				accepted = 0
			case 4, 5, 6: // a line of the other end's dialed connection
				switch line := take(&wire[1-side][0]); {
				case line == nil:
				case bytes.HasPrefix(line, []byte("HELLO")):
					e.accept(line, now)
					in = e.calls[len(e.calls)-1]
				case in != nil:
					e.call(in, line, now)
				}
			case 7, 8: // an answer of the other end
				if line := take(&wire[1-side][1]); line != nil && e.dial != nil {
					e.answer(line, now)
				}
				accepted = 0
			case 9: // any line
				line, rest, _ := bytes.Cut(script, []byte("\n"))
				script = rest
				if op/128 == 1 && e.dial != nil {
					e.answer(line, now)
					accepted = 0
				} else if in != nil {
					e.call(in, line, now)
				}
			case 10, 11, 12, 13: // time passes
				pass([]time.Duration{Beat, Beat, AckDelay, LazyMark}[op%16-10])
				if op%16%3 == 1 { // 10 and 13
					if e.dial != nil {
						e.dial.Tick(now, &e.out)
					}
					accepted = 0
				} else if in != nil {
					in.Tick(now, &e.out)
				}
			case 14: // the clock is set
				now.Wall = now.Wall.Add(time.Duration(next()-20) * 100 * time.Millisecond)
			case 15:
				switch {
				case op/32 == 0: // the process is another one
					ends[side] = newEnd(t, e.self.Name, e.peer, e.self.Epoch+2)
					e = ends[side]
				case op/32 == 2: // a record is lost
					e.store.Damage([]byte("c0"), nil)
				case op/32 < 4 && e.dial != nil && e.dial.Sending():
					e.dial.CheckClaim(99, now, &e.out)
					accepted = 0
				case in != nil && in.Joined():
					in.Ping(now, &e.out)
				}
			}
			wire[side][accepted] = append(wire[side][accepted], e.check(in)...)
		}
	})
}
