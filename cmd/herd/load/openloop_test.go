package load

import (
	"strings"
	"testing"
	"time"
)

// beside is a user of a worker whose loop does not run, in an open loop of a line every millisecond.
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

// However long a server stalls, each line that was due meanwhile is sent in the end and its latency
// counts from when it was due: nothing is left out because too much waits.
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

// A stall of minutes is not told as one.
func TestLongLatencies(t *testing.T) {
	h := newHistogram()
	record(h, 10*time.Minute)
	if max := latencyOf(h).Max; max < 600 || max > 601 {
		t.Errorf("ten minutes are %g s", max)
	}
}

// A server that does not take a connection and says why is named with that, and only once.
func TestARefusedConnection(t *testing.T) {
	w, u, end := beside(t, 1)
	u.DataReceived([]byte("> SERVER FULL\n\n"))
	u.ConnectionLost(nil)
	if c := w.now.counts; c.Errors != 1 || len(c.Failures) != 1 || c.Failures[0].What != "Alford: > SERVER FULL" || !end.aborted {
		t.Errorf("%+v", c)
	}
	w, u, _ = beside(t, 1)
	u.DataReceived([]byte("AT Alford\n\n"))
	if f := w.now.counts.Failures; len(f) != 1 || f[0].What != "Alford: a reply to nothing" {
		t.Errorf("%+v", f)
	}
}

// A reply to a WHATSAT has places, whatever they are.
func TestWhatAWHATSATIsAnswered(t *testing.T) {
	for places, right := range map[string]bool{
		"{}": true, "{\n\"status\": \"OK\"\n}": true, "": false, "{": false, "}": false, "{\n\"status\": \"OK\"\n": false, "no {}": false,
	} {
		o := small(scripted(t, func(_ int, line string) []byte {
			if !strings.HasPrefix(line, "WHATSAT") {
				return well(0, line)
			}
			id := strings.Fields(line)[1]
			end := "\n\n"
			if places == "" {
				end = "\n"
			}
			return []byte("AT Alford +0.1 " + id + " +1-1 5\n" + places + end)
		}))
		o.WHATSAT, o.Duration = 1, 20*time.Millisecond
		r := mustRun(t, o)
		if wrong := r.All.Errors > 0; wrong == right || r.All.Sent == 0 {
			t.Errorf("%q: %+v", places, r.All)
		}
	}
}
