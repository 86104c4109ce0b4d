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

func TestLinkReason(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "neighbor was silent": "neighbor was silent",
		"dial tcp 127.0.0.1:25503: connect: connection refused":             "connection refused",
		"dial tcp [::1]:25503: connect: no route to host":                   "no route to host",
		"dial tcp: lookup ball: no such host":                               "lookup ball: no such host",
		"dial tcp 127.0.0.1:1: i/o timeout":                                 "i/o timeout",
		"read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer": "connection reset by peer",
		"dial tcp":     "dial tcp",
		"dial tcp x: ": "dial tcp x: ",
	} {
		if got := (&LinkStatus{Error: text}).Reason(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestStatusLink(t *testing.T) {
	s := &Status{Links: []LinkStatus{{Neighbor: "Ball"}, {Neighbor: "Welsh"}}}
	if s.Link("Welsh") != &s.Links[1] || s.Link("x") != nil || (*Status)(nil).Link("Ball") != nil {
		t.Error("wrong link")
	}
}
