// Package reactortest holds every engine to the contract of package reactor: one suite, written
// once, run by each engine's own test. A test says in its first line which promise, or which
// habit of gnet's, it is there for.
//
// An engine is driven through a Harness. Those with sockets use NewSockets, which also brings the
// tests about descriptors, listeners and processes; memreactor brings its own.
package reactortest
