package herd

import (
	"fmt"
	"testing"

	"serverherd/protocol"
	"serverherd/reactor"
)

// BenchmarkATThrough takes an AT line from one neighbor and sends it to another. It allocates nothing.
func BenchmarkATThrough(b *testing.B) {
	w := newWorld(b, testConfig(ring...))
	a := &acceptor{ack: true, since: "- 0"}
	w.play("Hamilton", a)
	srv := w.start("Alford")
	w.until("live", func() bool { return srv.neighbors[0].link.state == linkLive })
	from := w.welcomed(welshHello)
	w.net.RunFor(0)
	in, out := srv.neighbors[1].inbounds[0], srv.neighbors[0].link
	sink := &discard{Transport: out.t}
	out.t = sink
	const batch = 64
	now := 1_000_000_000
	lines := make([][]byte, batch)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, "AT Welsh +0.263873386 kiwi%d.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 Welsh", i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		line := lines[i%batch]
		now++
		at := len(line) - len("1520023934.918963997 Welsh")
		for k, v := at+9, now; k >= at; k, v = k-1, v/10 { // each is newer
			line[k] = byte('0' + v%10)
		}
		in.session.LineReceived(line)
		if i%batch == batch-1 {
			srv.pumpLinks()
			out.LineReceived(protocol.AppendAck(srv.small[:0], srv.store.Tail())[:len("ACK ")+digits(srv.store.Tail())])
		}
	}
	b.StopTimer()
	if from.Closed() || b.N > batch && (srv.store.Len() != batch || sink.bytes < b.N/batch*batch*80 || out.state != linkLive) {
		b.Fatalf("%d records, %d bytes sent, %v", srv.store.Len(), sink.bytes, out.state)
	}
}

func digits(n uint64) int { return len(fmt.Sprint(n)) }

// discard is a Transport that is always ready for more.
type discard struct {
	reactor.Transport
	bytes int
}

func (d *discard) Write(p []byte) { d.bytes += len(p) }
func (d *discard) Backlog() int   { return 0 }
