// Package e2e tests herds of real processes under faults of networks, machines and operators. Each test is one scenario in
// two sizes: small counts and short faults with the race detector, as part of go test, and in real size, with figures, by
//
//	make e2e           go test ./cmd/herd/e2e -e2e.real: every scenario, one after another
//	make upgrade       a rolling upgrade from PREVIOUS, an earlier commit or binary, and back
//	make soak          load, faults and attacks together for SOAK, 10 minutes, with a report
//
// Assertions about speed are made in real size only, and printed as a table.
//
// The servers of a herd dial each other through a network that the test controls: it creates cuts, one-way losses, slow
// connections and resets. Crashes and pauses are signals.
package e2e
