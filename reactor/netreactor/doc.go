// Package netreactor runs a reactor on package net with a goroutine per connection, as most Go servers are written. It
// exists to compare an event loop with that style, with the same compiled code above the reactor. It has two modes, which
// differ only in how a goroutine runs a call on the loop, that is, with exclusive access to the state:
//
//   - Goroutines: under one mutex. The goroutine that holds it is the loop.
//   - Owner: one goroutine owns the state; the others send it what they have read over a channel and wait until it was
//     handled.
//
// It should be as fast as this style can be; otherwise the comparison would be unfair. The design decisions:
//
//   - Only the Protocol's call runs on the loop. A connection's goroutine reads before that call, and writes the output of
//     its event after it, so system calls of different connections run in parallel. Parsing is done on the loop, because
//     it is part of the Protocol. If each line is read and written separately, the work on the loop is a fifth of the
//     total; with sixteen lines at a time it is half, and that half uses one processor.
//   - One write for a chunk of input, however many replies it has; one more for output that other events cause in a turn.
//   - A write is first tried without blocking, by the current goroutine. Only if the kernel does not take everything, a
//     second goroutine waits for room. So an idle or fast connection has one goroutine, and a slow reader delays nobody.
//   - Buffers are taken from a pool when there is input, and returned when it was handled, so an idle connection holds
//     none. That costs a failing read before each wait, as in package net.
//   - A connection that holds too much input is not read: its goroutine waits.
//   - CallSoon's, posted and delayed calls run in a turn by a goroutine of its own. Under load it competes for the loop
//     like any other, and so handles many events at once: links send one chunk for many updates.
//   - The owner handles all events waiting in the channel before it takes a turn, and only then releases their goroutines.
//
// Goroutines: one for each connection, one more for each with output that its peer does not read, one for turns (or the
// owner), those of the Gate (package sockets), and the workers of CallInThread.
package netreactor
