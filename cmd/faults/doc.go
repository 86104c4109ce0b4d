// Package faults does to herds of real processes what networks, machines and people do to them,
// and looks at what becomes of them. It consists of tests. Each is one scenario in two sizes: small
// counts and short faults under the race detector, as part of go test, and in real size, with
// figures, by
//
//	make faults        go test ./cmd/faults -faults.real: every scenario, one after another
//	make soak          mixed load and chance faults for SOAK, 10 minutes
//
// What depends on speed is asserted in real size only, and printed as a table.
//
// The servers of a herd dial each other through a network that is in the test's hands: cuts,
// losses one way, slow and torn connections are made there. Crashes and pauses are signals.
package faults
