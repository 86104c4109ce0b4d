package sim

import "testing"

// BenchmarkRingOfFive runs the seeds whose topology is the paper's herd, with faults and checkers, and reports simulated
// time per real time.
func BenchmarkRingOfFive(b *testing.B) {
	b.ReportAllocs()
	var simulated float64
	seed := uint64(0)
	for b.Loop() {
		for seed++; newWorld(seed, drawTopology).result.Topology != "ring of 5"; seed++ {
		}
		r, err := Run(seed)
		if err != nil {
			b.Fatal(err)
		}
		simulated += r.Simulated.Seconds()
	}
	b.ReportMetric(simulated/b.Elapsed().Seconds(), "simulated/real")
}
