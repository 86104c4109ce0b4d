package link

import (
	"time"

	"serverherd/protocol"
)

// Beat is how often a machine looks after its connection once the handshake is done.
const Beat = 500 * time.Millisecond

// A connection that says nothing for pingAfter is asked, and one that says nothing for deadAfter is
// dropped: a neighbor that hangs, or a network that swallows, must not look alive.
const (
	pingAfter = 4  // beats: 2 s
	deadAfter = 12 // beats: 6 s
	// pingEvery beats there is a PING whatever else is said, for it tells the clock.
	pingEvery = 20 // beats: 10 s
)

// The same as times, for Constants.
const (
	PingAfter = pingAfter * Beat
	DeadAfter = deadAfter * Beat
	PingEvery = pingEvery * Beat
	AckAfter  = ackAfter * Beat
	MarkEvery = markEvery * Beat
)

// pulse watches one proven connection.
//
// Silence is counted in beats and not by a clock: no clock can jump it, and a process that was
// stopped for a minute wakes to one beat, not to a verdict. The verdict comes one beat after
// deadAfter, so that whatever the kernel holds has been read by then.
type keepalive struct {
	silentBeats    int    // beats since a line came
	beatsSincePing int    // beats since the last PING of ours
	lastPing       uint64 // the number of the last PING of ours, see Skew; 0: none
	lastPonged     uint64 // that of the last one that was answered; 0: none
	followedUp     bool   // follow has sent a PING in this beat
}

// heard notes a sign of life.
func (ka *keepalive) lineReceived() { ka.silentBeats = 0 }

// beat reports whether the neighbor is taken for dead.
func (ka *keepalive) beat(now Time, out *Output) (dead bool) {
	ka.silentBeats++
	ka.followedUp = false
	if ka.silentBeats > deadAfter {
		return true
	}
	if ka.beatsSincePing++; ka.silentBeats%pingAfter == 0 || ka.beatsSincePing >= pingEvery {
		ka.ping(now, out)
	}
	return false
}

// ask sends a PING and returns its number, which the PONG repeats: our clock, see Skew.
func (ka *keepalive) ping(now Time, out *Output) uint64 {
	ka.beatsSincePing = 0
	ka.lastPing = uint64(max(now.Wall.UnixMicro(), 0))
	out.Lines = protocol.AppendPing(out.Lines, ka.lastPing)
	return ka.lastPing
}

// pinged answers a PING.
func (ka *keepalive) pingReceived(n uint64, out *Output) {
	out.add(Event{Kind: Pinged, N: n, Ponged: ka.lastPonged})
	out.Lines = protocol.AppendPong(out.Lines, n)
}

// follow sends a PING behind the PONG to a PING that tells a clock, once in a beat. Only the acceptor of
// a connection does: two who followed each other's would never end.
func (ka *keepalive) followUp(n uint64, now Time, out *Output) {
	if IsClock(n) && !ka.followedUp {
		ka.followedUp = true
		ka.ping(now, out)
	}
}

// answered takes the number of a PONG. One that is greater than that of our last PING answers nothing.
func (ka *keepalive) pongReceived(n uint64) {
	if n <= ka.lastPing {
		ka.lastPonged = n
	}
}

// overdue finds a link that lives and makes no progress: the neighbor reads and answers, and does
// not acknowledge. Its dialer would wait for ever before a full window. Example, a beat a line:
//
//	> MARK 7 7 3 4 be6e3088cee05488
//	> PING 9            no ACK has come for pingAfter beats
//	< PONG 9            the neighbor has read the MARK, and ACK is due within AckDelay
//	                    ackAfter beats without one: the link is dropped, and dialed again
//
// The age of a MARK proves nothing: behind a full window on a slow line it waits for minutes, and so
// does the PING behind it. The zero value is ready for use.
type ackTimeout struct {
	beats    int    // since the last ACK or, once answered, since the PONG
	ping     uint64 // sent after a MARK that waits for its ACK; 0: none yet
	answered bool
}

// ackAfter beats after the PONG the ACK of a MARK before the PING must have come.
const ackAfter = 4 // 2 s

// beat is called at each beat while a MARK waits for its ACK. It reports whether the neighbor
// acknowledges nothing.
func (a *ackTimeout) beat(ask func() uint64) bool {
	a.beats++
	if a.ping == 0 && a.beats >= pingAfter {
		a.ping = ask()
	}
	return a.answered && a.beats > ackAfter
}

// pong takes the answer to a PING.
func (a *ackTimeout) pongReceived(n uint64) {
	if a.ping != 0 && !a.answered && n == a.ping {
		a.answered, a.beats = true, 0
	}
}

// badLines counts lines that break the grammar of a link. A few are dropped; a neighbor that
// sends more than MaxBadLines in BadLinesTime speaks something else.
type badLines struct {
	count int
	since time.Duration
}

// See badLines.
const (
	MaxBadLines  = 100
	BadLinesTime = 10 * time.Second
)

// add counts one more and says whether that is too many.
func (b *badLines) add(now Time) bool {
	if b.count == 0 || now.Steady-b.since > BadLinesTime {
		b.count, b.since = 0, now.Steady
	}
	b.count++
	return b.count > MaxBadLines
}
