// Package e2e tests herds of real processes: what networks, machines and people do to them, and
// what becomes of them. Each test is one scenario in two sizes: small counts and short faults under
// the race detector, as part of go test, and in real size, with figures, by
//
//	make e2e           go test ./cmd/herd/e2e -e2e.real: every scenario, one after another
//	make soak          mixed load and random faults for SOAK, 10 minutes
//
// What depends on speed is asserted in real size only, and printed as a table.
//
// The servers of a herd dial each other through a network that is in the test's hands: cuts,
// losses one way, slow and torn connections are made there. Crashes and pauses are signals.
package e2e
