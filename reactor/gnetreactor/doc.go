// Package gnetreactor runs a reactor on one gnet event loop.
//
// gnet is used to wait for sockets, to read them and to call back on one goroutine. Its listener and its writer are not
// used. The rest is implemented here, for the following properties of gnet v2.10.0, which the conformance tests cover:
//
//   - Any accept error ends gnet's acceptor and with it the server, and it accepts only one connection per turn. So a
//     goroutine accepts from a net.Listener, and gnet.Client.Enroll hands each connection to the loop, accepted and
//     dialed ones alike.
//   - gnet drops unsent output at an end of file, at Close and at errors, and does not report that a socket is writable.
//     So the engine writes itself, once at the end of a connection's event or of the turn, and polls with poll(2) while
//     output is pending. gnet's own out-buffers stay empty.
//   - gnet closes a connection at its peer's end of file. So a connection that may still have output to send continues
//     on a duplicate of its descriptor, still on the loop.
//   - gnet cannot stop reading a socket. So a connection that holds too much input leaves gnet, again with a duplicate
//     of its descriptor, and is read here, in its turn, 8 KiB at a time, until nothing is left. Then it is enrolled again.
//   - gnet's Execute is not FIFO beyond 1,024 tasks, and tasks added by tasks run before any socket is polled again. So
//     Execute is only used to request a turn, and a turn that needs another one requests it through a socket, the waker.
//   - gnet has no timers, and its loop is reachable only through a connection. So a time.Timer posts a call, and one end
//     of a socket pair, the waker, is enrolled at start.
//   - Enroll blocks forever while gnet stops. So all enrolling has ended by then.
//
// Goroutines: gnet's loop, those of the Gate (package sockets), one for each connection that is enrolled again or, if
// that has failed, waits for input, and the workers of CallInThread.
package gnetreactor
