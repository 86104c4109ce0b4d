// Package gnetreactor runs a reactor on one gnet event loop.
//
// gnet is used as an engine, without its listener and without its writing. What it does well is
// waiting for sockets, reading them and calling back on one goroutine; the rest is done here, for
// reasons found in gnet v2.10.0 and held by the conformance tests:
//
//   - Any accept error ends gnet's own acceptor, and with it the server; and it accepts one
//     connection per turn. So a goroutine accepts from a net.Listener, and gnet.Client.Enroll
//     hands each connection to the loop, accepted and dialled ones alike.
//   - gnet drops what it has not sent at an end of file, at Close and at errors, and never says
//     that a socket is writable. So the engine writes by itself, once per connection and turn, and
//     asks for room by poll(2) while anything is left over. gnet's own out-buffers stay empty.
//   - gnet closes a connection at its peer's end of file. So a connection that may still owe
//     something goes on with a duplicate of its descriptor, still on the loop.
//   - gnet cannot be told to leave a socket unread. So a connection that holds too much input leaves
//     gnet, likewise with a duplicate, and is read here from then on: in its turn, 8 KiB at a time.
//   - gnet's Execute is not first-in-first-out past 1,024 tasks, and tasks that tasks add are run
//     before any socket is looked at again. So it only ever says "turn", and a turn that wants
//     another one asks for it through a socket, the waker.
//   - gnet has no timers, and its loop is reached only through a connection. So a time.Timer posts
//     a call, and one end of a socket pair, that waker, is enrolled at start.
//   - Enrolling while gnet stops never returns. So everything that enrolls has ended by then.
//
// Goroutines: gnet's loop, the gate's (package sockets), one for each connection that has left gnet and
// has nothing to read, and the workers of CallInThread.
package gnetreactor
