// Package memreactor is the engine for tests: a World of reactors on one virtual clock, connected in memory, with
// faults drawn from one seed. It uses no goroutines, sockets or real time, and the same seed gives the same run, event
// for event.
//
//	w := memreactor.NewWorld(1, memreactor.Options{})
//	r := w.NewReactor("Ball")
//	r.ListenTCP(r.Listen("ball:8888"), factory)
//	c := w.Dial("ball:8888")
//	c.Send([]byte("help\n"))
//	w.Run()
//	fmt.Printf("%s", c.Received())
//
// The World simulates TCP: the bytes of a connection arrive in order and unchanged, or not at all. They may be late, in
// pieces, delayed by a cut, or end in a reset. Kernel buffers are bounded, so the Backlog of a writer grows if its peer
// does not read, and closing a socket with unread input sends a reset, as real sockets do.
//
// A Client does only what the test calls. In particular it does not close at an end of file, so the reactor's end of its
// connection is lost a second later, as for any such peer. To wait for that use RunFor, as Run does not wait for timers.
//
// Time advances from event to event. Run runs until only timers are left, RunFor runs for some virtual time, Step runs
// one event. All calls of one World must come from one goroutine; different Worlds are independent.
package memreactor
