package load

import (
	"testing"
	"time"
)

// A stall of the server shows in latencies from the due time, but not from the send time, because only one
// request was sent during the stall.
func TestAStallShows(t *testing.T) {
	const stall = 400 * time.Millisecond
	o := small(scripted(t, func(n int, line string) []byte {
		if n == 100 {
			<-time.After(stall)
		}
		return well(n, line)
	}))
	o.Connections, o.Pipeline, o.Rate, o.Duration = 1, 1, 1000, 2*time.Second
	r := mustRun(t, o)
	if r.Latency.P999 < stall.Seconds()/2 || r.Raw.P999 > r.Latency.P999/2 || r.Raw.Max < stall.Seconds() {
		t.Errorf("p99.9 %.3f s corrected, %.3f s raw, %.3f s at most", r.Latency.P999, r.Raw.P999, r.Raw.Max)
	}
	if r.All.Late == 0 {
		t.Errorf("%+v", r.All)
	}
}

// Every request that was due counts as sent or skipped, even if the server stops replying.
func TestWhatIsDueIsSentOrSkipped(t *testing.T) {
	o := small(scripted(t, func(n int, line string) []byte {
		if n > 10 {
			return []byte{}
		}
		return well(n, line)
	}))
	o.Connections, o.Pipeline, o.Rate, o.drain = 1, 2, 1000, 100*time.Millisecond
	r := mustRun(t, o)
	// Eleven have a reply and two are in flight. Some of the eleven may have been delayed, too.
	if c := r.All; c.Sent != 13 || c.Unanswered != 2 || c.Late == 0 || c.Skipped > c.Late || c.Skipped+11 < c.Late {
		t.Errorf("%+v", r.All)
	}
}

// beside returns a user, without a running loop, in an open loop with a request every millisecond.
func beside(t *testing.T, users int) (*worker, *user, *transport) {
	t.Helper()
	o := small(Target{Name: "Alford"})
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	w, end := newWorker(&o, nil), &transport{}
	w.interval = time.Millisecond
	for k := range users {
		w.users = append(w.users, &user{worker: w, target: &o.Targets[0], lines: newLines(&o, k, users),
			window: make([]request, 2), t: end})
	}
	return w, w.users[0], end
}

// However long a server stalls, every request due meanwhile is sent later and its latency counts from its
// due time.
func TestALongStallShowsInEveryLine(t *testing.T) {
	const users, due = 2, 5000
	w, u, _ := beside(t, users)
	for n := range due {
		at := time.Duration(n) * w.round()
		u.offer(at, at)
	}
	if c := w.now.counts; c.Sent != 2 || c.Late != due-2 || c.Skipped != 0 {
		t.Fatalf("%+v", c)
	}
	stalled := due * w.round()
	want := newHistogram()
	for n := range due {
		r := &u.window[u.first]
		if r.due != time.Duration(n)*w.round() {
			t.Fatalf("line %d was due at %v, and counts from %v", n, time.Duration(n)*w.round(), r.due)
		}
		record(want, stalled-r.due)
		reply := append(append([]byte("AT Alford +0.1"), r.line[len("IAMAT"):]...), "\n\n"...)
		if rest := u.replies(reply, stalled); len(rest) > 0 || u.givenUp {
			t.Fatalf("%q, %+v", rest, w.now.counts)
		}
		u.next(stalled)
	}
	if got := latencyOf(w.now.latency); got != latencyOf(want) || got.Count != due {
		t.Errorf("%+v, want %+v", got, latencyOf(want))
	}
}

// Latencies of minutes are recorded correctly.
func TestLongLatencies(t *testing.T) {
	h := newHistogram()
	record(h, 10*time.Minute)
	if max := latencyOf(h).Max; max < 600 || max > 601 {
		t.Errorf("ten minutes are %g s", max)
	}
}
