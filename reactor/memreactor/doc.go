// Package memreactor is the engine for tests: a World of reactors on one virtual clock, joined by
// connections in memory, with faults drawn from one seed. There are no goroutines and no sockets,
// nothing waits for real time, and the same seed gives the same run, event for event.
//
//	w := memreactor.NewWorld(1, memreactor.Options{})
//	r := w.NewReactor("Ball")
//	r.ListenTCP(r.Listen("ball:8888"), factory)
//	c := w.Dial("ball:8888")
//	c.Send([]byte("help\n"))
//	w.Run()
//	fmt.Printf("%s", c.Received())
//
// The World simulates TCP and nothing less honest: bytes of a connection arrive in order and
// unharmed, or not at all. They may be late, in pieces, stalled behind a cut, or end in a reset.
// Kernel buffers are bounded, so a peer that does not read makes its writer's Backlog grow, and a
// socket that is closed with unread input resets, as sockets do.
//
// A Client does nothing that it is not told to. It does not close at an end of file, for one, so
// the reactor's end of its connection is lost a second later, as for any peer that lingers: RunFor
// where a test waits for that, as Run does not wait for timers.
//
// Time moves from event to event. Run goes on until nothing is left but timers, RunFor until a
// length of virtual time has passed, Step does one event. Everything, the Worlds of different
// tests apart, happens in the goroutine that calls these.
package memreactor
