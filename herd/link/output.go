package link

import (
	"errors"

	"serverherd/protocol"
)

// Output is the result of a step of a machine: lines to write, then events to handle in order. The caller
// resets it before the step and reuses it.
type Output struct {
	Lines  []byte
	Events []Event
}

// Reset clears the output of the last step and returns out.
func (out *Output) Reset() *Output {
	out.Lines, out.Events = out.Lines[:0], out.Events[:0]
	return out
}

func (out *Output) add(e Event) { out.Events = append(out.Events, e) }

// Event is something that happened on a connection.
type Event struct {
	Kind     Kind
	Err      error          // Closed: why
	Text     string         // Refused: the reason; UnknownAnswer: the line
	Resumed  bool           // Welcomed: a resume, not a copy
	Advanced bool           // Welcomed, Acked: the acknowledged position has advanced
	N        uint64         // Pinged: the number
	Ponged   uint64         // Pinged: the number of the last PONG before it; 0: none
	Epoch    protocol.Epoch // ClaimConflict: the other process
	Mark     protocol.Mark  // Diverged: the state of the neighbor
}

// Kind is the kind of an Event.
type Kind uint8

// The kinds of events.
const (
	// Closed: the connection must be dropped. No event follows.
	Closed Kind = iota + 1
	// BadLine: a line was dropped that is invalid or not allowed here.
	BadLine
	// TimedOut: the handshake took too long.
	TimedOut
	// Pinged: a PING was received and answered. It may contain the neighbor's clock, see Skew.
	Pinged

	// Refused: the acceptor refused the handshake, and closes the connection.
	Refused
	// UnknownAnswer: the first line from the acceptor is not of this protocol.
	UnknownAnswer
	// Welcomed: the handshake is complete. Call Pump.
	Welcomed
	// Acked: the neighbor acknowledged a MARK. There may be room in the window.
	Acked
	// ClaimConflict: the process at the other end is alive, though another one uses its name.
	ClaimConflict

	// ProofRejected: the line after CHALLENGE is not a valid PROOF. Call Refuse with "proof".
	ProofRejected
	// Proven: PROOF is valid. Call Join and Welcome, or Refuse.
	Proven
	// HeardMore: more of the neighbor's feed has been applied. Tell it with a MARK.
	HeardMore
	// Diverged: the states differ, and a repair is due. Close all connections to the neighbor.
	Diverged
	// PingAnswered: the process that was pinged is alive.
	PingAnswered
)

// Reasons for which a connection is dropped.
var (
	ErrSilent   = errors.New("neighbor was silent")
	ErrBadLines = errors.New("too many invalid lines")
	ErrNoAck    = errors.New("neighbor does not acknowledge")
	ErrProof    = errors.New("neighbor's proof is wrong: secrets differ")
)
