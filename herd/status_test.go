package herd

import "testing"

// BenchmarkStatus is what one /status.json or /metrics takes of the loop.
func BenchmarkStatus(b *testing.B) {
	w := newWorld(b, testConfig(ring...)).startAll()
	w.until("live", w.live)
	w.iamat("Hamilton", "c", stamp)
	w.until("equal", w.equal)
	srv := w.servers["Alford"]
	b.ReportAllocs()
	for b.Loop() {
		if srv.Status().Records != 1 {
			b.Fatal("no record")
		}
	}
}
