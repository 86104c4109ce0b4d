package link

import (
	"time"

	"serverherd/protocol"
)

// Beat is how often a machine checks its connection once the handshake is complete.
const Beat = 500 * time.Millisecond

// A neighbor from which nothing was received for pingAfter is pinged, and dropped after deadAfter: this
// detects a process that hangs, and a network that loses everything.
const (
	pingAfter = 4  // beats: 2 s
	deadAfter = 12 // beats: 6 s
	// pingEvery is after how many beats a PING is sent in any case, as it contains the clock.
	pingEvery = 20 // beats: 10 s
)

// The same as durations, for Constants.
const (
	PingAfter = pingAfter * Beat
	DeadAfter = deadAfter * Beat
	PingEvery = pingEvery * Beat
	AckAfter  = ackAfter * Beat
	MarkEvery = markEvery * Beat
)

// keepalive detects that the other side of a proven connection is dead.
//
// Silence is counted in beats, not measured with a clock: a clock can jump, and a process that was stopped
// for a minute counts one beat when it continues. A neighbor is dead one beat after deadAfter, so that
// everything in the kernel's buffers has been read by then.
type keepalive struct {
	silentBeats    int    // since the last line was received
	beatsSincePing int    // since our last PING
	lastPing       uint64 // number of our last PING, see Skew; 0: none
	lastPonged     uint64 // number of the last PONG; 0: none
	followedUp     bool   // followUp has sent a PING in this beat
}

// lineReceived is called for every line.
func (ka *keepalive) lineReceived() { ka.silentBeats = 0 }

// beat is called every Beat. It reports whether the neighbor is dead.
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

// ping sends a PING and returns its number, our clock, which the PONG repeats. See Skew.
func (ka *keepalive) ping(now Time, out *Output) uint64 {
	ka.beatsSincePing = 0
	ka.lastPing = uint64(max(now.Wall.UnixMicro(), 0))
	out.Lines = protocol.AppendPing(out.Lines, ka.lastPing)
	return ka.lastPing
}

// pingReceived answers a PING.
func (ka *keepalive) pingReceived(n uint64, out *Output) {
	out.add(Event{Kind: Pinged, N: n, Ponged: ka.lastPonged})
	out.Lines = protocol.AppendPong(out.Lines, n)
}

// followUp sends a PING after the PONG to a PING that contains a clock, at most once in a beat. Only the
// acceptor of a connection does: if both did, they would never stop.
func (ka *keepalive) followUp(n uint64, now Time, out *Output) {
	if IsClock(n) && !ka.followedUp {
		ka.followedUp = true
		ka.ping(now, out)
	}
}

// pongReceived takes the number of a PONG. A number greater than that of our last PING is ignored.
func (ka *keepalive) pongReceived(n uint64) {
	if n <= ka.lastPing {
		ka.lastPonged = n
	}
}

// ackTimeout detects a link without progress: the neighbor reads and answers PINGs, but does not
// acknowledge. Without it, the dialer would wait forever with a full window. Example, one beat a line:
//
//	> MARK 7 7 3 4 be6e3088cee05488
//	> PING 9            no ACK has come for pingAfter beats
//	< PONG 9            the neighbor has read the MARK, and ACK is due within AckDelay
//	                    ackAfter beats without one, and one more: the link is dropped, and dialed again
//
// The age of a MARK alone proves nothing: on a slow network it may be queued behind a full window for
// minutes, and so is the PING after it. The zero value is ready for use.
type ackTimeout struct {
	beats    int    // since the last ACK or, once there was a PONG, since that
	ping     uint64 // sent after a MARK without an ACK; 0: none yet
	answered bool
}

// ackAfter is how many beats may follow the PONG without an ACK of a MARK that was sent before the PING. At the
// next beat, 2 to 2.5 s after the PONG, the link is dropped.
const ackAfter = 4 // 2 s

// beat is called every Beat while a MARK has no ACK. It reports whether the neighbor does not acknowledge.
func (a *ackTimeout) beat(ask func() uint64) bool {
	a.beats++
	if a.ping == 0 && a.beats >= pingAfter {
		a.ping = ask()
	}
	return a.answered && a.beats > ackAfter
}

// pongReceived takes the number of a PONG.
func (a *ackTimeout) pongReceived(n uint64) {
	if a.ping != 0 && !a.answered && n == a.ping {
		a.answered, a.beats = true, 0
	}
}

// badLines counts invalid lines on a link. A few are dropped. A neighbor that sends more than MaxBadLines
// within BadLinesTime does not speak this protocol.
type badLines struct {
	count int
	since time.Duration
}

// See badLines.
const (
	MaxBadLines  = 100
	BadLinesTime = 10 * time.Second
)

// add counts one more and reports whether that is too many.
func (b *badLines) add(now Time) bool {
	if b.count == 0 || now.Steady-b.since > BadLinesTime {
		b.count, b.since = 0, now.Steady
	}
	b.count++
	return b.count > MaxBadLines
}
