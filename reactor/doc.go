// Package reactor is the contract between a server and the loop that runs it, and the part of the
// loop that is the same in every engine. It is Twisted's reactor in Go: whoever knows Protocol,
// Transport, Factory and callFromThread finds them here under their names.
//
// # One loop owns everything
//
// A reactor calls a program's code from one loop, one call at a time. State that only the loop
// touches needs no locks, and a line is parsed, applied and answered without anybody else having
// looked on. The price is that nothing on the loop may wait. Whatever blocks runs elsewhere and
// comes home as a posted call: DeferToThread is CallInThread for the work and CallFromThread for
// the result, and CallFromThread is the one door by which other goroutines come in.
//
// # A turn
//
// The loop handles a batch of socket events, each to its end: bytes come in, DataReceived makes
// of them what it makes, and what was written on that connection leaves in one write. Then, if
// anybody asked for it, there is a turn:
//
//  1. posted calls, as many as there were when the turn began;
//  2. delayed calls that are due, as many as were due;
//  3. connections that have something to go on with: held input, Producers;
//  4. CallSoon's calls, as many as there were: the batch and all of the above lie behind them;
//  5. one write for each connection that was written to, and closing for those to be closed.
//
// Calls made by calls wait for the next turn, so nothing can keep the sockets from being read.
//
// # Fairness
//
// A connection that sends little must not wait for all those that send much. Three rules see to it:
//
//   - When the events since the last turn have taken TurnShare, input is held and delivered in the turn,
//     unless it is a few lines. Engines that read many sockets in a row ask for this: LimitEvents.
//   - Held input is delivered 8 KiB at a time, round robin, for a part of TurnShare in a turn. Then the sockets have
//     their turn, and the round goes on in the next one.
//   - Connections that have just begun to wait come before the round, and those with priority before them.
//
// So the wait of a few lines is bounded by a few TurnShares, whatever the number of connections that
// saturate the loop, and the saturating ones share the rest evenly.
//
// # The end of a connection
//
// A connection hears of ConnectionLost exactly once, from one place in the code, never while its
// Protocol is in the middle of something. LoseConnection delivers what is owed first, however
// slowly the peer reads, as long as it reads something within Linger. Then it ends its side,
// discards what still arrives for a moment and closes: a socket closed with unread input sends a
// reset, which would destroy the reply on its way. A peer that half-closes gets everything that
// is owed to it and everything that its Protocol writes later.
//
// Nothing is without bound. A connection that holds MaxHeldInput is not read, and ends with
// ErrHeldInput if it makes no progress. A peer that does not read ends with ErrLinger once the
// connection is closing; before that the program watches Backlog.
//
// # Engines
//
// An engine embeds a Loop and supplies wake-up, arming and I/O: the Engine interface, a Socket for
// each connection, and reports to each Conn of what its socket did. Posted and delayed calls,
// out-buffers, and every rule above are written once, here. gnetreactor runs on one gnet event
// loop; memreactor, for tests, on a virtual clock; reactortest holds them to the contract.
//
// The files, in reading order: reactor.go (the contract), loop.go (a turn), conn.go (a connection
// and its Transport), input.go and output.go (its two directions, and its end), queue.go (the door;
// the only file that knows of goroutines), timers.go, buffers.go, stats.go; then what programs are
// made of: line.go and reconnect.go.
package reactor
