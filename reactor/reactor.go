package reactor

import (
	"errors"
	"time"
)

// Protocol handles one connection. The reactor calls it on the loop, one call at a time, and never from within one of
// that Protocol's own Transport calls.
type Protocol interface {
	// ConnectionMade is called once, before anything else.
	ConnectionMade(t Transport)
	// DataReceived receives bytes in chunks of any size. The slice belongs to the engine and is reused after the
	// call: copy what you keep.
	DataReceived(data []byte)
	// ConnectionLost is called once, after everything else. The reason is ErrConnectionDone if either side closed
	// the connection cleanly, else the error that ended it.
	ConnectionLost(reason error)
}

// HalfCloser is implemented by a Protocol that may still write after its peer has closed its side. Without it, an end
// of file leads to LoseConnection.
type HalfCloser interface {
	// ReadConnectionLost is called at most once: the peer has sent an end of file. Writing still works.
	ReadConnectionLost()
}

// Producer is implemented by a Protocol that stops writing while its peer reads slowly.
type Producer interface {
	// ResumeProducing is called in a call of its own each time that the Backlog falls below LowWater after it was
	// LowWater or more.
	ResumeProducing()
}

// LowWater is the Backlog, in bytes, below which a Producer is resumed.
const LowWater = 64 << 10

// Transport is our end of one connection. No method blocks or calls the Protocol before it returns. After
// ConnectionLost all methods but Taken do nothing. Loop only.
type Transport interface {
	// Write queues a copy of p. What is queued during an event of this connection is sent in one write at the end
	// of that event, what is queued at other times in one write at the end of the turn. It does nothing after
	// LoseConnection or AbortConnection.
	Write(p []byte)
	// LoseConnection closes after everything queued has been delivered, however slowly the peer reads, as long as
	// it reads something within Linger. Input is discarded meanwhile. ConnectionLost follows when the peer has
	// closed, too, at most a second after the last byte.
	LoseConnection()
	// AbortConnection closes with a reset and drops what is queued. ConnectionLost follows in a later call with
	// ErrConnectionAborted.
	AbortConnection()
	// Backlog returns the number of bytes accepted by Write that the kernel has not taken yet.
	Backlog() int
	// Taken returns the number of bytes accepted by Write that the peer has acknowledged, if the kernel reports it.
	// For a slow reader it grows long before Backlog shrinks, because the kernel buffers megabytes and accepts more
	// in large steps. It may take a system call. After ConnectionLost with another reason than ErrConnectionDone it
	// returns what had been acknowledged by then.
	Taken() uint64
	// Memory returns the capacity, in bytes, of the buffers of this connection: output that the kernel has not
	// taken, input that was not delivered, and what Keep reported. A buffer may be much larger than its content.
	Memory() int
	// Keep reports how many bytes the Protocol itself keeps for this connection, such as replies that cannot be
	// written yet. They count in Memory.
	Keep(n int)
	// PauseReceiving holds further input. Once MaxHeldInput bytes are held, the engine stops reading until they
	// have been delivered, so that TCP flow control stops the peer. ResumeReceiving delivers held input in a later
	// call.
	PauseReceiving()
	ResumeReceiving()
	// StopReceiving ends input: what was received is delivered, and then the Protocol is notified of the end as if
	// the peer had closed its side. Writing still works.
	StopReceiving()
	// Prioritize delivers held input of this connection in each turn, however many others wait. It is for a few
	// connections, such as the links between servers.
	Prioritize()
	// StartTLS continues over TLS, as its server side. It is called in DataReceived, and data are all bytes received of
	// the handshake so far; the calls of DataReceived after that have what is decrypted. A failed handshake ends the
	// connection with a *HandshakeError, and so does output that was written before. It does nothing after LoseConnection or
	// AbortConnection.
	StartTLS(data []byte, config TLSConfig)
	// Security returns what a TLS handshake has shown about the peer; the zero value without TLS.
	Security() Security
	// Peer and Host return the addresses of the two ends as host:port, as they are logged.
	Peer() string
	Host() string
}

// Security is what a TLS handshake has shown about the peer.
type Security struct {
	TLS     bool
	Version uint16   // of TLS, as 0x0304 for 1.3
	Names   []string // DNS names of its certificate, if that was verified; nil otherwise
}

// TLSConfig is a configuration of the engine's own kind: a *tls.Config for engines with sockets.
type TLSConfig any

// Limits of TLS handshakes.
const (
	// TLSHandshakeTime is how long a handshake may take.
	TLSHandshakeTime = 5 * time.Second
	// MaxTLSHandshakes is how many handshakes of accepted connections may be in progress. For one more, the oldest is
	// given up. Dials do not count.
	MaxTLSHandshakes = 1024
)

// HandshakeError is why a TLS handshake failed. The reason is for this side's log only.
type HandshakeError struct{ Reason error }

// Error implements error.
func (e *HandshakeError) Error() string { return "TLS handshake failed: " + e.Reason.Error() }

// ErrTLSTimeout is the reason of a handshake that was not complete within TLSHandshakeTime: whether the peer has TLS is
// unknown.
var ErrTLSTimeout = errors.New("not complete within " + TLSHandshakeTime.String())

// Unwrap returns the reason.
func (e *HandshakeError) Unwrap() error { return e.Reason }

// Upgrader is implemented by a Socket that can go on over TLS.
type Upgrader interface {
	// StartTLS gives the connection to a Socket that begins with data. The Upgrader is not used any more.
	StartTLS(data []byte, config TLSConfig) (Socket, error)
}

// Secured is implemented by a Socket over TLS.
type Secured interface{ Security() Security }

// Factory makes a Protocol for each connection.
type Factory interface {
	// BuildProtocol returns the Protocol for a connection from peer, or nil to refuse it: the connection is then
	// closed at once.
	BuildProtocol(peer string) Protocol
}

// ClientFactory is the Factory of an outgoing connection.
type ClientFactory interface {
	Factory
	// ConnectionFailed is called instead of BuildProtocol when the dial failed.
	ConnectionFailed(reason error)
}

// Clock tells the time and schedules calls. Loop only.
type Clock interface {
	// Now returns wall time and, in engines on real time, monotonic time.
	Now() time.Time
	// Elapsed returns the monotonic time since some fixed moment. CallLater uses it, and setting a wall clock does not
	// change it.
	Elapsed() time.Duration
	// CallLater calls f once after d. A call scheduled by a delayed call never runs in the same pass.
	CallLater(d time.Duration, f func()) *DelayedCall
}

// Listener is a bound socket of the engine's own kind: a net.Listener for engines with sockets. ListenTCP takes
// ownership.
type Listener interface {
	Close() error
}

// Port is a Listener in use. Loop only.
type Port interface {
	// Addr returns the bound address, host:port.
	Addr() string
	// StopListening closes the socket. Accepted connections stay open.
	StopListening()
}

// Reactor is one event loop. All methods must be called on the loop, or before Run, except for CallFromThread, Run and
// Stop.
type Reactor interface {
	Clock
	// ListenTCP accepts connections from l.
	ListenTCP(l Listener, f Factory) (Port, error)
	// ConnectTCP dials off the loop. f is called with the result in a later call, exactly once.
	ConnectTCP(addr string, timeout time.Duration, f ClientFactory)
	// CallFromThread is the entry point for other goroutines: f runs on the loop, in FIFO order, without a limit of
	// queued calls. After the loop has stopped f is dropped.
	CallFromThread(f func())
	// CallInThread runs f off the loop on one of a bounded number of workers; further calls wait in FIFO order. f
	// returns its result by CallFromThread.
	CallInThread(f func())
	// CallSoon runs f on the loop, once, after the current batch of events and before waiting for the next. Calls
	// made by such a call run in the next turn.
	CallSoon(f func())
	// Memory returns the sum of all connections' Memory at the end of their last events, without what an engine
	// writes outside of the loop.
	Memory() int
	// MemoryAlarm calls f once, by CallSoon, when Memory exceeds n. A later call replaces an earlier one.
	MemoryAlarm(n int, f func())
	// BeforeShutdown registers f to run on the loop when Stop is called. Shutdown waits until done has been called
	// for each f, on the loop, possibly in a later turn. The functions are started in order of registration, without
	// waiting for each other.
	BeforeShutdown(f func(done func()))
	// Run runs the loop in the calling goroutine until Stop has completed.
	Run() error
	// Stop begins an orderly shutdown: the BeforeShutdown functions run, then ports and connections are closed,
	// dropping pending output, then Run returns. A second call does nothing. Any goroutine.
	Stop()
}

// MaxHeldInput is how many bytes of undelivered input a connection holds before its socket is no longer read. The last
// read may exceed it by its own size.
const MaxHeldInput = 16 << 10

// HeldInputTimeout is how long a connection whose socket is not read may make no progress: none of its held input is
// delivered, and the kernel takes none of its output. It is then aborted with ErrHeldInput.
const HeldInputTimeout = 30 * time.Second

// AcceptPause is the pause after a failed accept, for example for lack of descriptors or memory. The listener itself
// still works, so accepting continues afterwards.
const AcceptPause = 100 * time.Millisecond

// Reasons of ConnectionLost. All but the first one mean that data may have been lost.
var (
	// ErrConnectionDone: closed cleanly.
	ErrConnectionDone = errors.New("connection was closed cleanly")
	// ErrConnectionAborted: this side called AbortConnection, or the loop stopped.
	ErrConnectionAborted = errors.New("connection was aborted")
	// ErrHeldInput: MaxHeldInput bytes were held for HeldInputTimeout without progress.
	ErrHeldInput = errors.New("held input made no progress")
	// ErrLinger: the peer of a closing connection took none of the pending output for Linger.
	ErrLinger = errors.New("peer did not read pending output")
)

// DeferToThread runs work off the loop, and then done with its results on the loop.
func DeferToThread[T any](r Reactor, work func() (T, error), done func(T, error)) {
	r.CallInThread(func() {
		value, err := work()
		r.CallFromThread(func() { done(value, err) })
	})
}
