//go:build race

package sim

// Under the race detector a seed takes eight times as long, and finds no more: a world is one goroutine.
// make test also runs all of them without it.
func init() { *seeds = 6 }
