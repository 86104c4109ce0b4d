package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/reactor/memreactor"
)

// double is a second process of a server's name. It proves itself to a neighbor and says nothing more
// than that it is still there. It stands for a server that was started twice, for a machine that was
// thought dead, and, with the epoch of the real process, for a handshake of that one which is late:
// its dialer has given it up, and the end of the connection is behind the proof. Mostly it leaves after
// a while. One that stays dials again whenever its connection ends, to the end of the run.
type double struct {
	w      *world
	of     *host // whose name it has
	to     *host
	hello  string
	conn   *memreactor.Client // nil: it waits before the next dial
	said   string             // the handshake so far, each line followed by LF; "" after PROOF
	torn   string             // the beginning of a line
	stays  bool
	dialed bool // once at least
	until  time.Duration
	done   bool
}

// doubleEvery is how often a double looks at what has come.
const doubleEvery = 5 * time.Millisecond

// double lets a second process of a's name come to b.
func (w *world) double() string {
	a, b := w.anyEdge()
	h, to := w.byName[a], w.byName[b]
	if h.gone() || to.gone() || to.stopping {
		return ""
	}
	epoch, whose := h.epoch, "its own"
	if w.rand.IntN(3) > 0 {
		// Once for each pair of processes: a former process that is to be taken back a second time
		// has to wait, which is not what links that must be live in time are measured by.
		pair := [2]uint64{h.epoch, to.epoch}
		if w.doubled[pair] {
			return ""
		}
		w.doubled[pair] = true
		epoch, whose = w.rand.Uint64()|1, "another"
	}
	d := w.span(0, 300*time.Millisecond)
	if w.rand.IntN(2) == 0 {
		d = w.span(0, 12*time.Second)
	}
	p := &double{w: w, of: h, to: to}
	p.hello = fmt.Sprintf("HELLO herd/1 %s %s %s %016x %032x", w.cfg.Herd.Name, a, b, epoch, w.rand.Uint64())
	how, wait := fmt.Sprintf(" with %s epoch at %s for %v", whose, b, d), doubleEvery
	switch {
	case epoch == h.epoch:
	case !w.zombie && w.rand.IntN(4) == 0 && h.knows(b): // or b waits for h, to be ready, for ever
		w.zombie, p.stays, d = true, true, time.Hour
		how = fmt.Sprintf(" at %s, stays", b)
		if w.rand.IntN(2) == 0 { // so long that both sides notice
			cut := w.span(7*time.Second, 15*time.Second)
			w.net.Cut(a, b)
			w.healLater(a, b, cut)
			how += fmt.Sprintf("; a cut of %v", cut)
		}
	case w.rand.IntN(4) > 0: // otherwise it is refused, mostly, as b is linked to a
		wait = w.span(0, time.Second)
		d += wait
		w.net.Refuse(h.self.Address, true)
		w.net.Reset(a, b)
		w.after(d, func() { w.net.Refuse(h.self.Address, false) })
		how += fmt.Sprintf(", which cannot reach %s", a)
		w.trouble(d+2*time.Second, h.self.Neighbors...)
	}
	p.until = w.net.Elapsed() + d
	w.trouble(d+2*time.Second, a, b)
	for _, name := range []string{a, b} {
		h := w.byName[name]
		h.disturbed = max(h.disturbed, p.until+time.Second)
	}
	w.doubles = append(w.doubles, p)
	w.net.At(wait, p.look)
	return "of " + a + how
}

// doubledNow says whether one of two servers may be connected with a double of the other.
func (w *world) doubledNow(a, b *host) bool {
	return slices.ContainsFunc(w.doubles, func(p *double) bool {
		return !p.done && (p.of == a && p.to == b || p.of == b && p.to == a)
	})
}

// doubledAt says whether a double of one server has dialed another.
func (w *world) doubledAt(of *host, to string) bool {
	return slices.ContainsFunc(w.doubles, func(p *double) bool { return p.of == of && p.to.self.Name == to && p.dialed })
}

// dial begins a connection from a host of its own.
func (p *double) dial() {
	p.said, p.torn, p.dialed = "", "", true
	if p.stays { // the processes may be others than when it came
		p.w.doubled[[2]uint64{p.of.epoch, p.to.epoch}] = true
	}
	p.conn = p.w.net.DialFrom(p.of.self.Name+"2", p.to.self.Address)
	p.say(p.hello)
}

// say sends a line of the handshake.
func (p *double) say(line string) {
	p.said += line + "\n"
	p.conn.SendString(line + "\r\n")
}

// look answers what has come, until it is time to leave.
func (p *double) look() {
	switch {
	case p.done:
		return
	case p.conn == nil:
		p.dial()
	case p.conn.Closed() && p.stays:
		p.conn.Close()
		p.conn = nil
		p.w.net.At(p.w.span(100*time.Millisecond, 8*time.Second), p.look)
		return
	case p.conn.Closed():
		return
	}
	lines := strings.Split(p.torn+p.conn.Take(), "\r\n")
	p.torn = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		switch verb, rest, _ := strings.Cut(line, " "); {
		case verb == "CHALLENGE" && p.said != "":
			p.said += line + "\n"
			p.say("PROOF " + p.mac())
			p.said = ""
		case verb == "PING":
			p.conn.SendString("PONG " + rest + "\r\n")
		}
	}
	// It does not leave before it has proven itself, if that is possible.
	if now := p.w.net.Elapsed(); now >= p.until && p.said == "" || now >= p.until+time.Second {
		p.leave()
		return
	}
	p.w.net.At(doubleEvery, p.look)
}

// mac proves all that was said.
func (p *double) mac() string {
	if len(p.w.cfg.Herd.Secrets) == 0 {
		return "-"
	}
	h := hmac.New(sha256.New, []byte(p.w.cfg.Herd.Secrets[0]))
	h.Write([]byte("herd/1 dialler\n" + p.said + "PROOF"))
	return hex.EncodeToString(h.Sum(nil))
}

// leave ends the process.
func (p *double) leave() {
	p.done = true
	if p.conn == nil {
		return
	}
	if p.w.rand.IntN(2) == 0 {
		p.conn.Reset()
	} else {
		p.conn.Close()
	}
}
