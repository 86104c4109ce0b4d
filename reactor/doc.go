// Package reactor defines the contract between a server and the event loop that runs it, and implements the parts of
// the loop that all engines share. It follows Twisted: Protocol, Transport, Factory, callLater and callFromThread
// have the same names and meanings here.
//
// # One loop owns everything
//
// A reactor calls a program's code from one loop, one call at a time. State that only the loop touches needs no
// locks. The price is that nothing on the loop may block. Blocking work runs elsewhere, and its result is posted back
// to the loop: DeferToThread combines CallInThread for the work and CallFromThread for the result. CallFromThread is
// the only way for other goroutines to call into the loop.
//
// # A turn
//
// The loop handles a batch of socket events, each to completion: input is read, DataReceived handles it, and all that
// was written to that connection is sent in one write. Then, if anything was scheduled, the loop takes a turn:
//
//  1. posted calls, as many as were queued when the turn began;
//  2. delayed calls that were due when the turn began;
//  3. connections with held input to deliver or a Producer to resume;
//  4. CallSoon's calls, as many as were queued: they run after the batch and all of the above;
//  5. one write for each connection that was written to, and closing of connections.
//
// Calls made by such calls run in the next turn, so they cannot starve the sockets.
//
// # Fairness
//
// A connection that sends little must not wait for those that send much. Three rules ensure this:
//
//   - When the events since the last turn have taken TurnShare, further input is held and delivered in the turn,
//     unless it is at most a few lines. Engines that read many sockets in a row request this: LimitEvents.
//   - Held input is delivered 8 KiB at a time, round robin, for a part of TurnShare per turn. Then the sockets are
//     read, and the round continues in the next turn.
//   - Connections that have just begun to wait come before the round, and those with priority before them.
//
// So a few lines wait for at most a few TurnShares, whatever the number of connections that saturate the loop, and
// those connections share the rest evenly.
//
// # The end of a connection
//
// ConnectionLost is called exactly once, from one place in the code, and never while the Protocol is running.
// LoseConnection first delivers pending output, however slowly the peer reads, as long as it reads something within
// Linger. Then it sends an end of file, discards further input for up to a second and closes: closing a socket with
// unread input would send a reset, which would destroy replies that the peer has not read yet. A peer that
// half-closes still gets pending output and everything that its Protocol writes later. A peer that ends TCP without
// ending TLS is lost with an error: what it sent may be incomplete.
//
// Everything is bounded. A connection that holds MaxHeldInput is not read, and ends with ErrHeldInput if it makes no
// progress. A closing connection whose peer does not read ends with ErrLinger; before closing, the program watches
// Backlog.
//
// # Engines
//
// An engine embeds a Loop and supplies wake-up, timers and I/O: it implements Engine, and a Socket for each
// connection, and reports socket events to each Conn. Posted and delayed calls, out-buffers, and all rules above are
// implemented once, here. gnetreactor runs on a gnet event loop, netreactor on a goroutine per connection, and
// memreactor, for tests, on a virtual clock. reactortest checks that they keep the contract.
//
// The files, in reading order: reactor.go (the contract), loop.go (a turn), conn.go (a connection and its Transport),
// input.go and output.go (its two directions, and its end), queue.go (posted calls; the only file with goroutines and
// locks), timers.go, buffers.go, stats.go; then parts for programs: line.go and reconnect.go.
package reactor
