package herd

import (
	"time"

	"serverherd/herd/link"
	"serverherd/reactor"
)

// A link's connection that says nothing for pingAfter is asked, and one that says nothing for
// deadAfter is dropped: a neighbor that hangs, or a network that swallows, must not look alive.
const (
	beat      = 500 * time.Millisecond
	pingAfter = 4  // beats: 2 s
	deadAfter = 12 // beats: 6 s
	// pingEvery beats there is a PING whatever else is said, for it tells the clock.
	pingEvery = 20 // beats: 10 s
)

// pulse watches one proven connection between neighbors. Loop only.
//
// Silence is counted in beats and not by a clock: no clock can jump it, and a process that was
// stopped for a minute wakes to one beat, not to a verdict. The verdict comes one beat after
// deadAfter, so that whatever the kernel holds has been read by then.
type pulse struct {
	clock    reactor.Clock
	timer    *reactor.DelayedCall
	quiet    int    // beats since a line came
	still    int    // beats since the last PING of ours
	asked    uint64 // the number of the last PING of ours, see skew; 0: none
	ponged   uint64 // that of the last one that was answered; 0: none
	followed bool   // follow has sent a PING in this beat
	ping     func(n uint64)
	dead     func()
	tick     func() // called at every beat
}

func (p *pulse) start() { p.timer = p.clock.CallLater(beat, p.beat) }

func (p *pulse) stop() {
	if p.timer != nil {
		p.timer.Cancel()
		p.timer = nil
	}
}

// heard notes a sign of life.
func (p *pulse) heard() { p.quiet = 0 }

func (p *pulse) beat() {
	p.timer = p.clock.CallLater(beat, p.beat)
	p.quiet++
	p.followed = false
	if p.quiet > deadAfter {
		p.stop()
		p.dead()
		return
	}
	if p.still++; p.quiet%pingAfter == 0 || p.still >= pingEvery {
		p.ask()
	}
	if p.tick != nil {
		p.tick()
	}
}

// ask sends a PING and returns its number, which the PONG repeats: our clock, see skew.
func (p *pulse) ask() uint64 {
	p.still = 0
	p.asked = uint64(max(p.clock.Now().UnixMicro(), 0))
	p.ping(p.asked)
	return p.asked
}

// follow sends a PING behind the PONG to a PING that tells a clock, once in a beat. Only the acceptor of
// a connection does: two who followed each other's would never end.
func (p *pulse) follow(n uint64) {
	if link.IsClock(n) && !p.followed {
		p.followed = true
		p.ask()
	}
}

// answered takes the number of a PONG. One that is greater than that of our last PING answers nothing.
func (p *pulse) answered(n uint64) {
	if n <= p.asked {
		p.ponged = n
	}
}

// badLines counts lines that break the grammar of a link. A few are dropped; a neighbor that
// sends more than maxBadLines in badWindow speaks something else.
type badLines struct {
	count int
	since time.Time
}

const (
	maxBadLines = 100
	badWindow   = 10 * time.Second
)

// add counts one more and says whether that is too many.
func (b *badLines) add(now time.Time) bool {
	if b.since.IsZero() || now.Sub(b.since) > badWindow || now.Before(b.since) {
		b.count, b.since = 0, now
	}
	b.count++
	return b.count > maxBadLines
}

// handshakeTimeout bounds a handshake from its connection to WELCOME, on both sides.
const handshakeTimeout = 2 * time.Second

// maxLinkLine is the limit on a line between servers, whatever max_line is.
const maxLinkLine = 8192
