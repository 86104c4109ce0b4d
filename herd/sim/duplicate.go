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

// duplicate is a second process with a server's name. It completes the handshake with a neighbor and then only answers
// PINGs. It represents a server that was started twice, a machine that was believed to be dead, and, with the epoch of the
// real process, a late handshake of that process: its dialer has given up, and the end of the connection follows the
// PROOF. Mostly it leaves after a while. One that stays dials again whenever its connection ends, until the end of the
// run.
type duplicate struct {
	w       *world
	of      *host // the server whose name it has
	to      *host
	hello   string
	conn    *memreactor.Client // nil before the next dial
	said    string             // the handshake so far, each line followed by LF; "" after PROOF
	partial string             // the beginning of a line
	stays   bool
	dialed  bool // at least once
	until   time.Duration
	done    bool
}

// duplicateEvery is the interval at which a duplicate reads.
const duplicateEvery = 5 * time.Millisecond

// startDuplicate starts a second process with a server's name, which dials a neighbor.
func (w *world) startDuplicate() string {
	a, b := w.anyEdge()
	h, to := w.byName[a], w.byName[b]
	if h.gone() || to.gone() || to.stopping {
		return ""
	}
	epoch, whose := h.epoch, "its own"
	if w.rand.IntN(3) > 0 {
		// Once for each pair of processes: a former process that is to be taken back a second time has to wait, and
		// links would not be live in time.
		pair := [2]uint64{h.epoch, to.epoch}
		if w.duplicatePairs[pair] {
			return ""
		}
		w.duplicatePairs[pair] = true
		epoch, whose = w.rand.Uint64()|1, "another"
	}
	d := w.span(0, 300*time.Millisecond)
	if w.rand.IntN(2) == 0 {
		d = w.span(0, 12*time.Second)
	}
	p := &duplicate{w: w, of: h, to: to}
	p.hello = fmt.Sprintf("HELLO herd/1 %s %s %s %016x %032x", h.config().Herd.Name, a, b, epoch, w.rand.Uint64())
	how, wait := fmt.Sprintf(" with %s epoch at %s for %v", whose, b, d), duplicateEvery
	switch {
	case epoch == h.epoch:
	case !w.duplicateStays && w.rand.IntN(4) == 0 && h.knows(b): // otherwise b would wait forever for h to be ready
		w.duplicateStays, p.stays, d = true, true, time.Hour
		how = fmt.Sprintf(" at %s, stays", b)
		if w.rand.IntN(2) == 0 { // long enough for both sides to notice
			cut := w.span(7*time.Second, 15*time.Second)
			w.net.Cut(a, b)
			w.healLater(a, b, cut)
			how += fmt.Sprintf("; a cut of %v", cut)
		}
	case w.rand.IntN(4) > 0: // otherwise it is mostly refused, because b is linked to a
		wait = w.span(0, time.Second)
		d += wait
		w.net.Refuse(h.self.Address, true)
		w.net.Reset(a, b)
		w.after(d, func() { w.net.Refuse(h.self.Address, false) })
		how += fmt.Sprintf(", which cannot reach %s", a)
		w.markFaultFor(d+2*time.Second, h.self.Neighbors...)
	}
	p.until = w.net.Elapsed() + d
	w.markFaultFor(d+2*time.Second, a, b)
	for _, name := range []string{a, b} {
		h := w.byName[name]
		h.lastFault = max(h.lastFault, p.until+time.Second)
	}
	w.duplicates = append(w.duplicates, p)
	w.net.At(wait, p.poll)
	return "of " + a + how
}

// hasDuplicate reports whether one of two servers may be connected with a duplicate of the other.
func (w *world) hasDuplicate(a, b *host) bool {
	return slices.ContainsFunc(w.duplicates, func(p *duplicate) bool {
		return !p.done && (p.of == a && p.to == b || p.of == b && p.to == a)
	})
}

// duplicateDialed reports whether a duplicate of one server has dialed another.
func (w *world) duplicateDialed(of *host, to string) bool {
	return slices.ContainsFunc(w.duplicates, func(p *duplicate) bool { return p.of == of && p.to.self.Name == to && p.dialed })
}

// dial opens a connection from a host of its own.
func (p *duplicate) dial() {
	p.said, p.partial, p.dialed = "", "", true
	if p.stays { // the processes may have changed since it was created
		p.w.duplicatePairs[[2]uint64{p.of.epoch, p.to.epoch}] = true
	}
	p.conn = p.w.net.DialFrom(p.of.self.Name+"2", p.to.self.Address)
	p.say(p.hello)
}

// say sends a line of the handshake.
func (p *duplicate) say(line string) {
	p.said += line + "\n"
	p.conn.SendString(line + "\r\n")
}

// poll answers received lines, until it is time to leave.
func (p *duplicate) poll() {
	switch {
	case p.done:
		return
	case p.conn == nil:
		p.dial()
	case p.conn.Closed() && p.stays:
		p.conn.Close()
		p.conn = nil
		p.w.net.At(p.w.span(100*time.Millisecond, 8*time.Second), p.poll)
		return
	case p.conn.Closed():
		return
	}
	lines := strings.Split(p.partial+p.conn.Take(), "\r\n")
	p.partial = lines[len(lines)-1]
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
	// It does not leave before the handshake is complete, if that is possible.
	if now := p.w.net.Elapsed(); now >= p.until && p.said == "" || now >= p.until+time.Second {
		p.leave()
		return
	}
	p.w.net.At(duplicateEvery, p.poll)
}

// mac signs the handshake.
func (p *duplicate) mac() string {
	if len(p.w.cfg.Herd.Secrets) == 0 {
		return "-"
	}
	h := hmac.New(sha256.New, []byte(p.w.cfg.Herd.Secrets[0]))
	h.Write([]byte("herd/1 dialler\n" + p.said + "PROOF"))
	return hex.EncodeToString(h.Sum(nil))
}

// leave ends the process.
func (p *duplicate) leave() {
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
