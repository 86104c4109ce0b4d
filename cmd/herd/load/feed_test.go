package load

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	patience = time.Minute
	hang     = 2 * time.Second // a server that takes so long hangs; others must not
)

// fed is a feed of one update every 5 ms for each of eight clients, alternately for all targets.
type fed struct {
	*Feed
	t     *testing.T
	end   context.CancelFunc
	done  chan error
	notes []string
}

func feed(t *testing.T, timeout time.Duration, targets ...Target) *fed {
	t.Helper()
	return feedWith(t, FeedOptions{Targets: targets, Timeout: timeout})
}

func feedWith(t *testing.T, o FeedOptions) *fed {
	t.Helper()
	n := 0
	f := &fed{t: t, done: make(chan error, 1)}
	o.Connections = 4
	o.Due = func(_ time.Duration, send func([]byte, int, uint64)) {
		for k := range 8 {
			n++
			send(fmt.Appendf(nil, "IAMAT demo%d +1-1 %d.5", k, n), k%len(o.Targets), uint64(k))
		}
	}
	f.Feed = NewFeed(o)
	ctx, cancel := context.WithCancel(t.Context())
	f.end = cancel
	t.Cleanup(cancel)
	go func() { f.done <- f.Run(ctx) }()
	return f
}

// says waits for a note.
func (f *fed) says(want string) {
	f.t.Helper()
	for late := time.After(patience); ; {
		select {
		case text := <-f.Notes():
			if f.notes = append(f.notes, text); strings.Contains(text, want) {
				return
			}
		case <-late:
			f.t.Fatalf("no note %q: %q", want, f.notes)
		}
	}
}

// confirms waits for another n updates.
func (f *fed) confirms(n uint64) {
	f.t.Helper()
	n += f.Counts().Updates
	for late := time.After(patience); f.Counts().Updates < n; {
		select {
		case text := <-f.Notes():
			f.notes = append(f.notes, text)
		case <-time.After(time.Millisecond):
		case <-late:
			f.t.Fatalf("%+v, %q", f.Counts(), f.notes)
		}
	}
}

// ends stops the feed and returns its error and all notes.
func (f *fed) ends() error {
	f.t.Helper()
	f.end()
	select {
	case err := <-f.done:
		for len(f.Notes()) > 0 {
			f.notes = append(f.notes, <-f.Notes())
		}
		return err
	case <-time.After(patience):
		f.t.Fatal("the feed does not end")
		return nil
	}
}

func named(name string, t Target) Target {
	t.Name = name
	return t
}

func TestFeed(t *testing.T) {
	t.Parallel()
	f := feed(t, patience, named("Alford", scripted(t, well)), named("Ball", scripted(t, well)))
	f.confirms(100)
	if err := f.ends(); err != nil || len(f.notes) > 0 || f.Counts().Failed > 0 || f.Counts().Up != 2 {
		t.Errorf("%v, %q, %+v", err, f.notes, f.Counts())
	}
}

// Each way in which a server fails is told once. The updates go to the other one.
func TestFeedAndAServerThatFails(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	reject := func(int, string) []byte { return []byte("> SERVER FULL: 5 connections\n\n") }
	for _, test := range []struct {
		name, want string
		target     Target
	}{
		{"nobody there", "Ball: connection refused; its clients go to other servers", Target{Addr: closed.Addr().String()}},
		{"silent", "Ball: no reply within 2s; its clients go to other servers",
			scripted(t, func(int, string) []byte { return []byte{} })},
		{"refuses", "Ball: > SERVER FULL: 5 connections", scripted(t, reject)},
		{"closes", "Ball: connection lost", scripted(t, func(int, string) []byte { return nil })},
		{"answers something else", `Ball: wrong reply: AT Ball +0.1 nobody +1-1 5`,
			scripted(t, func(int, string) []byte { return []byte("AT Ball +0.1 nobody +1-1 5\n\n") })},
		{"never ends its reply", "Ball: reply too long: AT xxx",
			scripted(t, func(int, string) []byte { return []byte("AT " + strings.Repeat("x", 70_000)) })},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := feed(t, hang, named("Alford", scripted(t, well)), named("Ball", test.target))
			f.says(test.want)
			f.confirms(100)
			err := f.ends()
			n := 0
			for _, text := range f.notes {
				if strings.HasPrefix(text, "Ball: ") {
					n++
				}
			}
			slices.Sort(f.notes)
			if err != nil || n > 2 || strings.Contains(fmt.Sprint(f.notes), "nil") || slices.ContainsFunc(f.notes, func(s string) bool { return strings.Contains(s, "Ball answers") }) {
				t.Errorf("%v, %q", err, f.notes)
			}
		})
	}
}

// A server that hangs and continues gets its updates again.
func TestFeedAndAServerThatHangs(t *testing.T) {
	t.Parallel()
	var hangs atomic.Bool
	var unanswered atomic.Int64
	f := feed(t, hang, named("Alford", scripted(t, well)), named("Ball", scripted(t, func(n int, line string) []byte {
		if hangs.Load() {
			unanswered.Add(1)
			return []byte{}
		}
		return well(n, line)
	})))
	f.confirms(20)
	hangs.Store(true)
	f.says("Ball: no reply within 2s; its clients go to other servers")
	if up := f.Counts().Up; up != 1 {
		t.Errorf("%d servers are up", up)
	}
	f.confirms(100) // of those 50 or so are due at Ball
	before, failed := unanswered.Load(), f.Counts().Failed
	f.confirms(400)
	if n := f.Counts().Failed - failed; n > 100 {
		t.Errorf("%d updates did not go to the other server", n)
	}
	if n := unanswered.Load() - before; n > 20 { // one trial every two seconds
		t.Errorf("%d updates were sent to a server that hangs", n)
	}
	hangs.Store(false)
	f.says("Ball answers again")
	if err := f.ends(); err != nil || f.Counts().Up != 2 || f.Counts().Failed == 0 {
		t.Errorf("%v, %+v, %q", err, f.Counts(), f.notes)
	}
}

// Without any server the feed goes on once it has begun, but it does not begin.
func TestFeedWithoutAServer(t *testing.T) {
	t.Parallel()
	var hangs atomic.Bool
	f := feed(t, hang, scripted(t, func(n int, line string) []byte {
		if hangs.Load() {
			return nil
		}
		return well(n, line)
	}))
	f.confirms(10)
	hangs.Store(true)
	f.says("Alford: connection lost; no server takes updates now")
	hangs.Store(false)
	f.says("Alford answers again")
	if err := f.ends(); err != nil || f.Counts().Failed == 0 {
		t.Errorf("%v, %+v", err, f.Counts())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	f = feed(t, patience, Target{Name: "Alford", Addr: l.Addr().String()})
	select {
	case err := <-f.done:
		if err == nil || err.Error() != "no server can be reached; Alford: connection refused" {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it waits")
	}
}
