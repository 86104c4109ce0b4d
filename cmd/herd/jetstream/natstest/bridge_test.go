package natstest

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/cmd/herd/jetstream"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// patience is how long something may take that happens at once on an idle machine.
const patience = 2 * time.Minute

// loop runs calls on one goroutine, as a reactor does.
type loop struct {
	calls  chan func()
	ended  chan struct{}
	checks []check // loop only
}

// check is a condition that somebody waits for.
type check struct {
	holds func() bool
	done  chan struct{}
}

func startLoop(t *testing.T) *loop {
	l := &loop{calls: make(chan func(), 1<<16), ended: make(chan struct{})}
	go l.run()
	t.Cleanup(func() { close(l.ended) })
	return l
}

func (l *loop) run() {
	for {
		select {
		case f := <-l.calls:
			f()
		case <-l.ended:
			return
		}
		kept := l.checks[:0]
		for _, c := range l.checks {
			if c.holds() {
				close(c.done)
			} else {
				kept = append(kept, c)
			}
		}
		l.checks = kept
	}
}

func (l *loop) CallFromThread(f func()) {
	select {
	case l.calls <- f:
	case <-l.ended:
	}
}

// do runs f on the loop and waits for it.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.CallFromThread(func() { f(); close(done) })
	<-done
}

// until waits until a condition holds after a call on the loop.
func (l *loop) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	c := check{holds, make(chan struct{})}
	l.CallFromThread(func() { l.checks = append(l.checks, c) })
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// bridge is a herd.BucketReader that notes what it is told. Its fields are used on the loop only.
type bridge struct {
	t       *testing.T
	loop    *loop
	bucket  *jetstream.Bucket
	log     *observer.ObservedLogs
	session herd.BucketSession
	held    bool // the next batch is not asked for

	read     []herd.BucketEntry // copies
	last     map[string]herd.BucketEntry
	largest  int // batch
	batches  int
	complete bool
	before   int // entries read before it was complete
	ended    []error
	closed   bool
}

// settings of the servers of herd "east".
func settings(s *server.Server) jetstream.Options {
	return jetstream.Options{
		Config: config.JetStream{URL: s.ClientURL(), Bucket: "places", Partitions: 1, Replicas: 1, Mode: "share"},
		Herd:   "east", Server: "Alford", Names: []string{"Alford", "Ball"},
	}
}

func newBridge(t *testing.T, o jetstream.Options) *bridge {
	t.Helper()
	b := &bridge{t: t, loop: startLoop(t)}
	core, log := observer.New(zap.InfoLevel)
	o.Reactor, o.Log, b.log = b.loop, zap.New(core), log
	var err error
	if b.bucket, err = jetstream.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.bucket.Close)
	return b
}

// open begins a session.
func (b *bridge) open() *bridge {
	b.loop.do(func() {
		b.read, b.last, b.largest, b.batches, b.complete, b.ended = nil, map[string]herd.BucketEntry{}, 0, 0, false, nil
		b.session = b.bucket.Open(b)
	})
	return b
}

// start opens a session that is expected to read everything.
func start(t *testing.T, o jetstream.Options) *bridge {
	t.Helper()
	b := newBridge(t, o).open()
	b.whole()
	return b
}

func (b *bridge) Entries(entries []herd.BucketEntry, complete bool) {
	if b.closed || b.ended != nil {
		b.t.Error("entries after the end")
	}
	for _, e := range entries {
		e.Client, e.Value = append([]byte(nil), e.Client...), append([]byte(nil), e.Value...)
		b.read = append(b.read, e)
		b.last[string(e.Client)] = e
	}
	b.largest, b.batches = max(b.largest, len(entries)), b.batches+1
	if complete && !b.complete {
		b.before = len(b.read)
	}
	if b.complete && !complete {
		b.t.Error("not complete any more")
	}
	b.complete = complete
	if !b.held {
		b.session.Next()
	}
}

func (b *bridge) Ended(err error) {
	if b.closed {
		b.t.Error("Ended after Close")
	}
	b.ended = append(b.ended, err)
}

// whole waits until everything was read.
func (b *bridge) whole() {
	b.t.Helper()
	var err error
	b.loop.until(b.t, "complete", func() bool {
		if b.ended != nil {
			err = b.ended[0]
		}
		return b.complete || err != nil
	})
	if err != nil {
		b.t.Fatalf("session ended: %v", err)
	}
}

// over waits until the session has ended, and returns why.
func (b *bridge) over() (text string) {
	b.t.Helper()
	b.loop.until(b.t, "Ended", func() bool { return b.ended != nil })
	b.loop.do(func() {
		if len(b.ended) != 1 {
			b.t.Errorf("ended %d times", len(b.ended))
		}
		text = b.ended[0].Error()
	})
	return text
}

// shown waits until an entry of a client has been read.
func (b *bridge) shown(client, value string) (e herd.BucketEntry) {
	b.t.Helper()
	b.loop.until(b.t, client+" is shown", func() bool {
		var ok bool
		e, ok = b.last[client]
		return ok && string(e.Value) == value
	})
	return e
}

// publish puts records and returns the results. It fails if the session ends.
func (b *bridge) publish(puts ...herd.BucketPut) (results []herd.BucketResult) {
	b.t.Helper()
	results, err := b.tryPublish(puts)
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

// tryPublish returns an error if the session ends meanwhile.
func (b *bridge) tryPublish(puts []herd.BucketPut) (results []herd.BucketResult, err error) {
	b.t.Helper()
	done := false
	b.loop.do(func() {
		if b.ended != nil {
			return
		}
		b.session.Publish(puts, func(r []herd.BucketResult) { results, done = append(results, r...), true })
	})
	b.loop.until(b.t, "published", func() bool { return done || b.ended != nil })
	b.loop.do(func() {
		if !done {
			err = b.ended[0]
		}
	})
	return results, err
}

// record is a record of Alford's.
func record(client string, second int) herd.BucketPut {
	l, err := protocol.ParseLink([]byte(value(client, second) + " Alford"))
	if err != nil {
		panic(err)
	}
	return herd.BucketPut{Record: l.Record}
}

func value(client string, second int) string {
	return fmt.Sprintf("AT Alford +0.500000000 %s +34.068930-118.445127 %d", client, second)
}

func key(client string) string { return base64.RawURLEncoding.EncodeToString([]byte(client)) }

// operator is a NATS client that is no bridge.
type operator struct {
	*nats.Conn
	t  *testing.T
	js nats.JetStreamContext
}

func operate(t *testing.T, url string, options ...nats.Option) *operator {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream(nats.MaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	return &operator{nc, t, js}
}

func (o *operator) bucket(c nats.KeyValueConfig) nats.KeyValue {
	o.t.Helper()
	kv, err := o.js.CreateKeyValue(&c)
	if err != nil {
		o.t.Fatal(err)
	}
	return kv
}

func (o *operator) existing(name string) nats.KeyValue {
	o.t.Helper()
	kv, err := o.js.KeyValue(name)
	if err != nil {
		o.t.Fatal(err)
	}
	return kv
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
