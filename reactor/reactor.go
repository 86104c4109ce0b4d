package reactor

import (
	"errors"
	"time"
)

// Protocol is what a program makes of one connection. The reactor calls it on the loop, one call
// at a time; it never calls a Protocol from inside one of that Protocol's own Transport calls.
type Protocol interface {
	// ConnectionMade is called once, before anything else.
	ConnectionMade(t Transport)
	// DataReceived hands over bytes as they came; where they were cut means nothing. The slice
	// belongs to the engine and is reused after the call: copy what you keep.
	DataReceived(data []byte)
	// ConnectionLost is called once, after everything else. The reason is ErrConnectionDone when
	// the connection ended in good order on either side's wish, else what broke it.
	ConnectionLost(reason error)
}

// HalfCloser is implemented by a Protocol that has something to say after its peer has stopped
// writing. Without it, end of file is answered with LoseConnection.
type HalfCloser interface {
	// ReadConnectionLost is called at most once: the peer sends nothing more; writing still works.
	ReadConnectionLost()
}

// Producer is implemented by a Protocol that stops writing while its peer reads slowly.
type Producer interface {
	// ResumeProducing is called after a Backlog of LowWater or more has fallen below LowWater:
	// once for each time, in a call of its own.
	ResumeProducing()
}

// LowWater is the Backlog, in bytes, below which a Producer hears that it may go on.
const LowWater = 64 << 10

// Transport is our end of one connection. Loop only. No method blocks, and none calls the Protocol
// before it returns. After ConnectionLost every method but Taken does nothing.
type Transport interface {
	// Write queues a copy of p; all that is queued in one turn leaves in one write. It does
	// nothing once LoseConnection or AbortConnection has been called.
	Write(p []byte)
	// LoseConnection closes after everything queued has been delivered, however slowly the peer
	// reads, as long as it takes something within Linger. Input is discarded meanwhile.
	// ConnectionLost follows when the peer has closed too, a second after the last byte at most.
	LoseConnection()
	// AbortConnection closes now; what is queued is lost, which a reset tells the peer.
	// ConnectionLost follows in a later call with ErrConnectionAborted.
	AbortConnection()
	// Backlog is the number of bytes accepted by Write that the kernel has not taken yet.
	Backlog() int
	// Taken is the number of bytes accepted by Write that the peer has acknowledged, as far as the
	// kernel tells. Of a slow reader it grows long before Backlog shrinks, because the kernel holds
	// megabytes and makes room in large steps. It may take a system call. After a connection was lost, unless the
	// reason was ErrConnectionDone, it is what had been acknowledged by then.
	Taken() uint64
	// Memory is the capacity, in bytes, of the buffers of this connection: output that the kernel
	// has not taken, input that was not delivered, and what Keep said. A buffer may be much larger
	// than its content.
	Memory() int
	// Keep says how many bytes the Protocol itself keeps for this connection, such as replies that
	// must not be written yet. They count in Memory.
	Keep(n int)
	// PauseReceiving holds further input. Once MaxHeldInput bytes are held, the engine stops reading
	// and the kernel pushes back, until what was held has been delivered. ResumeReceiving delivers
	// it in a later call.
	PauseReceiving()
	ResumeReceiving()
	// StopReceiving takes no further input: what has come is delivered, and then the Protocol
	// hears of the end of it as if the peer had ended. Writing still works.
	StopReceiving()
	// Prioritize serves held input of this connection in each turn, however many others wait. It is
	// for a few, such as the links between servers.
	Prioritize()
	// Peer and Host are the two ends' addresses as host:port, in the form in which they are logged.
	Peer() string
	Host() string
}

// Factory makes a Protocol for each connection.
type Factory interface {
	// BuildProtocol returns the Protocol for a connection from peer, or nil to refuse it: the
	// connection is then closed at once and nothing more is called.
	BuildProtocol(peer string) Protocol
}

// ClientFactory is the Factory of a connection that this side dials.
type ClientFactory interface {
	Factory
	// ConnectionFailed is called instead of BuildProtocol when no connection came about.
	ConnectionFailed(reason error)
}

// Clock tells the time and calls back later. Loop only.
type Clock interface {
	// Now carries wall and, in engines on real time, monotonic time.
	Now() time.Time
	// Elapsed is the monotonic time since some fixed moment, which CallLater goes by. No clock that is set changes it.
	Elapsed() time.Duration
	// CallLater calls f once after d. A call made from a timer never runs in the same pass.
	CallLater(d time.Duration, f func()) *DelayedCall
}

// Listener is a bound socket of the engine's own kind: a net.Listener for the engines with
// sockets. Whoever makes it decides how it is bound; ListenTCP takes it over.
type Listener interface {
	Close() error
}

// Port is a listening socket in use. Loop only.
type Port interface {
	// Addr is the bound address, host:port.
	Addr() string
	// StopListening closes the socket; connections that it accepted live on.
	StopListening()
}

// Reactor is one loop. All methods are for calls on the loop, or before Run is called, with the
// exception of CallFromThread, Run and Stop.
type Reactor interface {
	Clock
	// ListenTCP accepts connections from l.
	ListenTCP(l Listener, f Factory) (Port, error)
	// ConnectTCP dials off the loop. f hears of the outcome in a later call, exactly once.
	ConnectTCP(addr string, timeout time.Duration, f ClientFactory)
	// CallFromThread is the one door for other goroutines: f runs on the loop, first in, first
	// out, however many are posted. After the loop has stopped f is dropped.
	CallFromThread(f func())
	// CallInThread runs f off the loop on one of a bounded number of workers; past that bound
	// calls wait their turn, first in, first out. f comes home by CallFromThread.
	CallInThread(f func())
	// CallSoon runs f on the loop, once, after the current batch of events and before waiting for
	// the next. Calls made by such a call run in the next turn.
	CallSoon(f func())
	// Memory is the sum of all connections' Memory at the end of their last events, without what an
	// engine writes beside the loop.
	Memory() int
	// MemoryAlarm calls f once, by CallSoon, when Memory is above n. A later call replaces an earlier
	// one.
	MemoryAlarm(n int, f func())
	// BeforeShutdown registers f to run on the loop when Stop is called; shutdown waits until
	// done has been called for each, on the loop, which may be in a later turn. Functions run in
	// order of registration, all started at once.
	BeforeShutdown(f func(done func()))
	// Run runs the loop until Stop has completed, in the calling goroutine's time.
	Run() error
	// Stop begins an orderly shutdown: the BeforeShutdown functions, then ports and connections
	// are closed, whatever they owe, then Run returns. Any goroutine; a second call changes
	// nothing.
	Stop()
}

// MaxHeldInput is how many bytes of undelivered input a connection holds before its socket is not
// read any more. The last read may exceed it by its own size.
const MaxHeldInput = 16 << 10

// HeldInputTimeout is how long a connection whose socket is not read may make no progress: none of
// its held input is delivered, and the kernel takes nothing of what it is owed. It is then aborted
// with ErrHeldInput.
const HeldInputTimeout = 30 * time.Second

// AcceptPause is how long an engine waits after it could not accept, for want of descriptors or
// memory. Whatever the reason, the listener itself is sound, and accepting goes on when it ends.
const AcceptPause = 100 * time.Millisecond

// Reasons of ConnectionLost. All but the first mean that bytes may be missing on either side.
var (
	// ErrConnectionDone: closed in good order.
	ErrConnectionDone = errors.New("connection was closed cleanly")
	// ErrConnectionAborted: this side called AbortConnection, or the loop stopped.
	ErrConnectionAborted = errors.New("connection was aborted")
	// ErrHeldInput: MaxHeldInput bytes were held for HeldInputTimeout without progress.
	ErrHeldInput = errors.New("held input made no progress")
	// ErrLinger: a closing connection's peer took none of the bytes owed to it for too long.
	ErrLinger = errors.New("peer did not read what was owed to it")
)

// DeferToThread runs work off the loop and done, with what work returned, on the loop.
func DeferToThread[T any](r Reactor, work func() (T, error), done func(T, error)) {
	r.CallInThread(func() {
		value, err := work()
		r.CallFromThread(func() { done(value, err) })
	})
}
