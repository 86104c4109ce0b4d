package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"serverherd/reactor/memreactor"
)

// double is a second process of a server's name. It proves itself to a neighbor, says nothing more
// than that it is still there, and leaves. It stands for a server that was started twice, for a
// machine that was thought dead, and, with the epoch of the real process, for a handshake of that
// one which is late: its dialer has given it up, and the end of the connection is behind the proof.
type double struct {
	w     *world
	conn  *memreactor.Client
	said  string // the handshake so far, each line followed by LF; "" after PROOF
	torn  string // the beginning of a line
	until time.Duration
	done  bool
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
	w.trouble(d+2*time.Second, a, b)
	p := &double{w: w, until: w.net.Elapsed() + d}
	for _, name := range []string{a, b} {
		h := w.byName[name]
		h.disturbed = max(h.disturbed, p.until+time.Second)
	}
	p.conn = w.net.DialFrom(a+"2", to.self.Address)
	p.say(fmt.Sprintf("HELLO herd/1 %s %s %s %016x %032x", w.cfg.Herd.Name, a, b, epoch, w.rand.Uint64()))
	w.doubles = append(w.doubles, p)
	w.net.At(doubleEvery, p.look)
	return fmt.Sprintf("of %s with %s epoch at %s for %v", a, whose, b, d)
}

// say sends a line of the handshake.
func (p *double) say(line string) {
	p.said += line + "\n"
	p.conn.SendString(line + "\r\n")
}

// look answers what has come, until it is time to leave.
func (p *double) look() {
	if p.done || p.conn.Closed() {
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
	if p.w.rand.IntN(2) == 0 {
		p.conn.Reset()
	} else {
		p.conn.Close()
	}
}
