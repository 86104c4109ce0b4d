package follow

import (
	"fmt"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// BenchmarkLoop measures what the loop does for its console: the time of the reader's calls for each update, at
// 10,000 updates/s of 2,000 clients, with one watcher and with 256. What the goroutine needs is fan-ns/update: it
// includes what watchers take.
func BenchmarkLoop(b *testing.B) {
	for _, all := range []bool{false, true} {
		for _, watchers := range []int{1, 256} {
			of := "one"
			if all {
				of = "all"
			}
			b.Run(fmt.Sprintf("of=%s/watchers=%d", of, watchers), func(b *testing.B) { benchmarkLoop(b, watchers, all) })
		}
	}
}

func benchmarkLoop(b *testing.B, watchers int, all bool) {
	const clients, window = 2000, int(10_000 * herd.FollowPause / time.Second)
	store := feed.NewStore("ucla", clients)
	var next func() // the reader's
	f := New(Options{
		Post: func(f func()) { f() }, Later: func(_ time.Duration, f func()) { next = f },
		Store: func() *feed.Store { return store }, Encode: encode,
		Source: func(feed.Item) (source, neighbor string) { return "neighbor", "Ball" },
	})
	defer f.Close()
	var record protocol.Record
	second := 1_520_000_000
	apply := func(i int) { // a client moves
		c := protocol.Command{
			Client: fmt.Appendf(nil, "client%07d.cs.ucla.edu", i%clients), Coords: []byte("+34.068930-118.445127"),
		}
		if i%clients == 0 {
			second++
		}
		c.Time = fmt.Appendf(nil, "%d.918963997", second)
		c.Stamp, _ = protocol.ParseStamp(c.Time)
		record = protocol.MakeRecord(record.Text(), "Alford", time.Unix(int64(second), 0), c)
		if store.Apply(record, 1) != feed.Stored {
			b.Fatal("not stored")
		}
	}
	var taking []*Watcher
	for i := range watchers {
		id := ""
		if !all {
			id = fmt.Sprintf("client%07d.cs.ucla.edu", i%clients)
		}
		w := watch(b, f, id)
		defer w.Close()
		taking = append(taking, w)
	}
	var loop, fan time.Duration
	updates := 0
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		for i := range window {
			apply(n*window + i)
		}
		begun := time.Now()
		next()
		loop += time.Since(begun)
		updates += window
		begun = time.Now()
		one, two := <-f.reader.free, <-f.reader.free // the goroutine has published it
		f.reader.free <- one
		f.reader.free <- two
		for _, w := range taking {
			for len(w.Take(64<<10).Lines) > 0 {
			}
		}
		fan += time.Since(begun)
	}
	b.ReportMetric(float64(loop.Nanoseconds())/float64(updates), "loop-ns/update")
	b.ReportMetric(float64(fan.Nanoseconds())/float64(updates), "fan-ns/update")
}
