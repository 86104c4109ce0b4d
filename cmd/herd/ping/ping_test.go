package ping

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// fake is a connection that answers each ping with the next value of replies, or fails if it is closed.
type fake struct {
	replies chan error
	closed  chan struct{}
	once    sync.Once
	sent    func()
}

func newFake() *fake {
	return &fake{replies: make(chan error), closed: make(chan struct{}), sent: func() {}}
}

var errClosed = errors.New("closed")

func (f *fake) Send() error {
	f.sent()
	return nil
}

func (f *fake) Receive() error {
	select {
	case err := <-f.replies:
		return err
	case <-f.closed:
		return errClosed
	}
}

func (f *fake) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// answering is a connection that answers everything.
func answering() *fake {
	f := newFake()
	close(f.replies)
	return f
}

func run(t *testing.T, count int, dial func(ctx context.Context) (Conn, error)) Result {
	t.Helper()
	p := New([]Server{{"Alford", dial}}, Options{Interval: time.Millisecond, Count: count})
	p.Run(t.Context())
	return p.Results()[0]
}

func TestAllAnswered(t *testing.T) {
	r := run(t, 20, func(context.Context) (Conn, error) { return answering(), nil })
	if r.Answered != 20 || r.Lost != 0 || r.Error != "" || r.Min <= 0 || r.Min > r.P50 || r.P50 > r.P90 || r.P90 > r.P99 ||
		r.P99 > r.Max || r.Last > r.Max+1e-6 {
		t.Errorf("%+v", r)
	}
}

// A server that cannot be reached loses every ping, and is dialed for each.
func TestNobodyThere(t *testing.T) {
	r := run(t, 10, func(context.Context) (Conn, error) { return nil, errors.New("refused") })
	if want := (Result{Server: "Alford", Lost: 10, Error: "refused"}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
}

// A connection that breaks loses its open pings. The next connection goes on.
func TestReconnect(t *testing.T) {
	first, second := newFake(), answering()
	sent := 0
	first.sent = func() {
		if sent++; sent == 3 { // they are open: nothing was answered yet
			go func() { first.replies <- errors.New("reset") }()
		}
	}
	dials := 0
	again := make(chan struct{})
	p := New([]Server{{"Alford", func(context.Context) (Conn, error) {
		if dials++; dials == 1 {
			return first, nil
		}
		close(again)
		return second, nil
	}}}, Options{Interval: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(done)
	}()
	<-again
	var r Result
	for r.Answered == 0 {
		r = p.Results()[0]
	}
	cancel()
	<-done
	if r.Lost < 4 || r.Error != "" || dials != 2 { // 3, and the one that was due without a connection
		t.Errorf("%d dials, %+v", dials, r)
	}
	select {
	case <-second.closed:
	default:
		t.Error("the connection is still open")
	}
}

// A server that does not answer for a while delays all pings of that time: the percentiles show it.
func TestStall(t *testing.T) {
	f := newFake()
	sent := 0
	f.sent = func() {
		if sent++; sent == 50 {
			close(f.replies)
		}
	}
	r := run(t, 50, func(context.Context) (Conn, error) { return f, nil })
	if r.Answered != 50 || r.Max < 0.049 || r.P50 < 0.015 {
		t.Errorf("%+v, want a median of about half the maximum", r)
	}
}

// At most MaxOpen pings wait for their reply.
func TestMaxOpen(t *testing.T) {
	f := newFake()
	p := New([]Server{{"Alford", func(context.Context) (Conn, error) { return f, nil }}},
		Options{Interval: 10 * time.Microsecond, Count: MaxOpen + 10})
	done := make(chan struct{})
	go func() {
		p.Run(t.Context())
		close(done)
	}()
	for p.Results()[0].Lost < 10 {
		if r := p.Results()[0]; r.Waiting > 0 && r.Answered > 0 {
			t.Fatalf("%+v", r)
		}
	}
	if r := p.Results()[0]; r.Error != errOpen.Error() || r.Waiting == 0 {
		t.Errorf("%+v", r)
	}
	close(f.replies)
	<-done
	if r := p.Results()[0]; r.Answered != MaxOpen || r.Lost != 10 || r.Waiting != 0 {
		t.Errorf("%+v", r)
	}
}

// Pings that are open when the context ends are neither answered nor lost.
func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := newFake()
	f.sent = cancel
	p := New([]Server{{"Alford", func(context.Context) (Conn, error) { return f, nil }}}, Options{Interval: time.Hour})
	p.Run(ctx)
	if r := p.Results()[0]; r != (Result{Server: "Alford"}) {
		t.Errorf("%+v", r)
	}
	// A dial that is under way is canceled.
	ctx, cancel = context.WithCancel(t.Context())
	p = New([]Server{{"Alford", func(ctx context.Context) (Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}}, Options{Interval: time.Hour})
	p.Run(ctx)
	if r := p.Results()[0]; r != (Result{Server: "Alford"}) {
		t.Errorf("%+v", r)
	}
}
