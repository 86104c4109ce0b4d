// Package netreactor runs a reactor on package net and a goroutine for each connection, as most Go
// servers are written, so that an event loop can be compared with it while everything above the
// reactor stays the same compiled code. It has two modes, which differ only in how a goroutine
// comes onto the loop, that is, into the company of the state:
//
//   - Goroutines: one mutex. Whoever holds it is the loop.
//   - Owner: one goroutine owns the state; the others send it what they have read over a channel and
//     wait until it has been dealt with. Share by communicating.
//
// It is meant to be as good as its style can be, for a comparison with a straw man says nothing. What
// was weighed:
//
//   - Nothing but the Protocol's call happens on the loop. A connection's goroutine reads before it
//     enters, and writes what was written in its event after it has left, so system calls of
//     different connections run side by side. Parsing stays inside, because the Protocol is one
//     piece. Where each line is a read and a write of its own, all that is inside is a fifth of them;
//     of sixteen lines at a time it is half of the work, and that half runs on one processor.
//   - One write for a chunk of input, however many replies it has; one more for whatever reaches a
//     connection from elsewhere in a turn.
//   - A write is tried once without waiting, by the goroutine that is at hand. Only when the kernel
//     does not take everything does a goroutine of its own wait for room, so an idle or a fast
//     connection has one goroutine, not two, and a slow reader keeps nobody.
//   - Buffers are taken from a pool when there is something to read, and go back when it has been
//     dealt with: an idle connection holds none. That costs a read that finds nothing before each
//     wait, which package net would also do.
//   - A connection that holds too much input is not read: its goroutine waits.
//   - What is asked for after a batch (CallSoon, posted and delayed calls) runs in a turn by a
//     goroutine of its own. Under load it competes for the loop like any other, and so serves many
//     events at once: links send one piece for many updates.
//   - The owner takes all events that wait in the channel before it looks after turns, and only then
//     lets their goroutines go on.
//
// Goroutines: one for each connection, one more for each that is owed what its peer does not read,
// the turns' or the owner, the gate's (package sockets), and the workers of CallInThread.
package netreactor
