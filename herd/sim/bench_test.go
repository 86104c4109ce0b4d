package sim

import "testing"

// BenchmarkRingOfFive runs the seeds that draw the paper's herd, faults and checkers included, and
// says how many simulated minutes pass in one of a core's.
func BenchmarkRingOfFive(b *testing.B) {
	b.ReportAllocs()
	var simulated float64
	seed := uint64(0)
	for b.Loop() {
		for seed++; newWorld(seed).result.Topology != "ring of 5"; seed++ {
		}
		r, err := Run(seed)
		if err != nil {
			b.Fatal(err)
		}
		simulated += r.Simulated.Seconds()
	}
	b.ReportMetric(simulated/b.Elapsed().Seconds(), "simulated/real")
}
