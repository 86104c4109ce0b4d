package link

import (
	"errors"

	"serverherd/protocol"
)

// Output is what a step of a machine leaves: lines to write, then events to act on, in their order. The
// caller resets it before the step and reuses it.
type Output struct {
	Lines  []byte
	Events []Event
}

// Reset forgets the last step and returns o.
func (out *Output) Reset() *Output {
	out.Lines, out.Events = out.Lines[:0], out.Events[:0]
	return out
}

func (out *Output) add(e Event) { out.Events = append(out.Events, e) }

// Event is something that happened on a connection.
type Event struct {
	Kind     Kind
	Err      error          // Closed: why
	Text     string         // Refused: the reason; Stranger: the line
	Resumed  bool           // Welcomed: not a copy
	Advanced bool           // Welcomed, Acked: the neighbor has more of the feed than was known
	N        uint64         // Pinged: the number
	Ponged   uint64         // Pinged: the number of the last PONG before; 0: none
	Epoch    protocol.Epoch // Contested: the other process
	Mark     protocol.Mark  // Diverged: the state of the neighbor
}

// Kind is what an Event is about.
type Kind uint8

// The kinds of events.
const (
	// Closed: the connection is to be dropped. Nothing comes after it.
	Closed Kind = iota + 1
	// BadLine: a line was dropped that is not of this protocol, or not in its place.
	BadLine
	// TimedOut: the handshake has taken too long.
	TimedOut
	// Pinged: a PING came, and was answered. It may tell the neighbor's clock, see Skew.
	Pinged

	// Refused: the acceptor does not want this connection, and closes it.
	Refused
	// Stranger: the first line from the acceptor is not of this protocol.
	UnknownAnswer
	// Welcomed: the handshake is done. Pump now.
	Welcomed
	// Acked: the neighbor has acknowledged something. There may be room in the window.
	Acked
	// Contested: the process at the other end is still there, though another one has claimed its name.
	ClaimConflict

	// Unproven: the line behind CHALLENGE is no right PROOF. Refuse "proof".
	ProofRejected
	// Proven: PROOF is right. Join and Welcome, or Refuse.
	Proven
	// HeardMore: more of the neighbor's feed is here. It is to be told by a MARK.
	HeardMore
	// Diverged: the states differ, and a repair is due. Close all connections to the neighbor.
	Diverged
	// StillThere: the process that was asked is there.
	PingAnswered
)

// Reasons for which a connection is dropped.
var (
	ErrSilent   = errors.New("neighbor was silent")
	ErrBadLines = errors.New("too many invalid lines")
	ErrNoAck    = errors.New("neighbor does not acknowledge")
	ErrProof    = errors.New("neighbor's proof is wrong: secrets differ")
)
