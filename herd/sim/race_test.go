//go:build race

package sim

// With the race detector a seed takes eight times as long and finds no more, because a world is one goroutine. make test
// also runs all seeds without it.
func init() { *seeds = 6 }
