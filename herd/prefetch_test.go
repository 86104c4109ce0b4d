package herd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/herd/herdtest"
)

// manyClients starts Alford with n known clients, and returns it with a connection of Welsh, one of its neighbors, and one of a
// client.
func manyClients(t testing.TB, n int) (srv *Server, welsh, client *session) {
	cfg := testConfig(ring...)
	cfg.Limits.MaxClients = n + 1000
	w := newWorld(t, cfg)
	srv = w.start("Alford")
	w.welcomed(welshHello)
	w.net.RunFor(0)
	welsh = srv.neighbor([]byte("Welsh")).inbounds[0].session
	client = srv.BuildProtocol("client").(*session)
	client.ConnectionMade(sink{})
	client.DataReceived([]byte("help\n")) // its first bytes show that it is a client
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	for _, i := range order {
		srv.store.Apply(herdtest.Record(t, fmt.Sprintf("Bona +0.263873386 %s +34.068930-118.445127 1", knownClient(i))), 1)
	}
	return srv, welsh, client
}

func knownClient(i int) string { return fmt.Sprintf("client%07d.cs.ucla.edu", i) }

// Reading ahead changes nothing: whatever is in a chunk, and however it is cut, state and replies are the same as line by
// line.
func TestPrefetchChangesNothing(t *testing.T) {
	whole, wholeWelsh, wholeClient := manyClients(t, feed.PrefetchClients)
	single, singleWelsh, singleClient := manyClients(t, feed.PrefetchClients)
	var replies [2]bytes.Buffer
	wholeClient.t, singleClient.t = &recorded{out: &replies[0]}, &recorded{out: &replies[1]}
	r := rand.New(rand.NewPCG(3, 3))
	for round := range 100 {
		var at, iamat strings.Builder
		for range 200 {
			at.WriteString(randomLine(r, round, false))
			iamat.WriteString(randomLine(r, round, true))
		}
		for _, s := range []struct {
			many, one *session
			lines     string
		}{{wholeWelsh, singleWelsh, at.String()}, {wholeClient, singleClient, iamat.String()}} {
			for lines := s.lines; len(lines) > 0; { // also cut within lines
				n := min(len(lines), 1+r.IntN(16<<10))
				s.many.DataReceived([]byte(lines[:n]))
				lines = lines[n:]
			}
			for line := range strings.Lines(s.lines) {
				for len(line) > 0 {
					n := min(len(line), prefetchBytes-1)
					s.one.DataReceived([]byte(line[:n]))
					line = line[n:]
				}
			}
		}
		a, b := whole.store, single.store
		if a.Digest() != b.Digest() || a.Len() != b.Len() || a.Tail() != b.Tail() || !bytes.Equal(replies[0].Bytes(), replies[1].Bytes()) {
			t.Fatalf("round %d: %v of %d up to %d, want %v of %d up to %d", round, a.Digest(), a.Len(), a.Tail(), b.Digest(), b.Len(), b.Tail())
		}
	}
	if x, y := whole.counters, single.counters; x != y || x.Stored == 0 || x.Applied == 0 || x.Refused == 0 || x.ClientsRefused == 0 {
		t.Errorf("counters %+v, want %+v", x, y)
	}
	x, y := whole.neighbor([]byte("Welsh")).counters, single.neighbor([]byte("Welsh")).counters
	if x != y || x.duplicates == 0 || x.badLines == 0 {
		t.Errorf("counters of the neighbor %+v, want %+v", x, y)
	}
	p, q := whole.store.Head(), single.store.Head()
	for {
		x, more := p.Next()
		y, _ := q.Next()
		if x.Seq != y.Seq || !bytes.Equal(x.Record.Text(), y.Record.Text()) {
			t.Fatalf("%q at %d of the feed, want %q at %d", x.Record.Text(), x.Seq, y.Record.Text(), y.Seq)
		}
		if !more {
			break
		}
	}
	if wholeWelsh.closing || wholeClient.closing {
		t.Error("a connection was closed")
	}
}

// randomLine returns a line of a neighbor or a client: of a few clients, of all, of an unknown one, or a bad one.
func randomLine(r *rand.Rand, round int, iamat bool) string {
	id := knownClient(r.IntN(1 + r.IntN(feed.PrefetchClients)))
	switch r.IntN(40) {
	case 0:
		id = fmt.Sprintf("unknown%d", r.IntN(10_000))
	case 1:
		id = strings.Repeat("x", 1+r.IntN(1024))
	}
	second := 1_000_000_000 + round + r.IntN(3)
	line := fmt.Sprintf("AT Welsh +0.%09d %s +34.068930-118.445127 %d Welsh\r\n", r.IntN(1e9), id, second)
	if iamat {
		line = fmt.Sprintf("IAMAT %s +34.068930-118.445127 %d\n", id, second)
	}
	switch k := r.IntN(4000); { // a neighbor may send few of them
	case k == 0:
		return "IAMAT \r\n"
	case k == 1:
		return "AT Welsh +0.1  \r\n"
	case k == 2:
		return line[:r.IntN(20)] + "\n"
	case k < 40:
		return strings.ReplaceAll(line, " ", "  ")
	case k < 80 && !iamat:
		return "PING 1\r\n"
	}
	return line
}

// recorded is a Transport that keeps what is written.
type recorded struct {
	sink
	out *bytes.Buffer
}

func (r *recorded) Write(p []byte) { r.out.Write(p) }

// BenchmarkChunks reads AT lines of a neighbor, or IAMATs, of random known clients: by default 90 in a chunk, as many as one
// read may return. It does every other chunk without reading ahead, and reports the medians, per line.
func BenchmarkChunks(b *testing.B) {
	for _, clients := range []int{1000, 10_000, feed.PrefetchClients, 100_000, 1_000_000} {
		_, welsh, client := manyClients(b, clients)
		for _, lines := range []int{3, 6, 12, 90} {
			b.Run(fmt.Sprintf("AT/clients=%d/lines=%d", clients, lines), func(b *testing.B) {
				chunks(b, welsh, clients, lines, "AT Bona +0.263873386 client0000000.cs.ucla.edu +34.068930-118.445127 ", " Welsh\r\n")
			})
			b.Run(fmt.Sprintf("IAMAT/clients=%d/lines=%d", clients, lines), func(b *testing.B) {
				chunks(b, client, clients, lines, "IAMAT client0000000.cs.ucla.edu +34.068930-118.445127 ", "\n")
			})
		}
	}
}

var benchmarkSecond = 1

func chunks(b *testing.B, s *session, clients, lines int, before, after string) {
	line := before + "1000000000.000000000" + after
	chunk := []byte(strings.Repeat(line, lines))
	id, stamp := strings.Index(line, "client")+len("client"), len(before)
	r := rand.New(rand.NewPCG(2, 2))
	srv := s.server
	var took [2][]time.Duration
	stored := srv.store.Tail()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		benchmarkSecond++
		for k := range lines {
			at := chunk[k*len(line):]
			copy(at[id:], fmt.Sprintf("%07d", r.IntN(clients)))
			copy(at[stamp:], fmt.Sprintf("%010d", benchmarkSecond))
		}
		start := time.Now()
		if i%2 == 1 {
			s.DataReceived(chunk)
		} else {
			s.reader.DataReceived(chunk)
		}
		took[i%2] = append(took[i%2], time.Since(start))
	}
	if b.N > 1 {
		var medians [2]float64
		for i := range took {
			slices.Sort(took[i])
			medians[i] = float64(took[i][len(took[i])/2].Nanoseconds()) / float64(lines)
		}
		b.ReportMetric(medians[0], "ns/line-without")
		b.ReportMetric(medians[1], "ns/line-with")
	}
	if srv.store.Tail() == stored {
		b.Fatal("nothing was stored")
	}
}
