// Package reactortest is the conformance suite of package reactor, run by each engine's own test. The comment of a test
// says which part of the contract, or which property of gnet, it covers.
//
// An engine is driven through a Harness. Those with sockets use NewSockets, which also brings the
// tests about descriptors, listeners and processes; memreactor brings its own.
package reactortest
