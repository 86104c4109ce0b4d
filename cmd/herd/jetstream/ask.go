package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"serverherd/reactor"
)

// askQueue is the maximum number of asks that were not sent.
const askQueue = 1024

var (
	errNotAsk     = errors.New("jetstream.mode is not ask")
	errAskTimeout = errors.New("no reply in time")
	errBusy       = errors.New("too many asks were not sent")
)

// asker reads single entries, on a connection of its own, which it dials again when it is lost. Without a connection,
// asks fail at once.
type asker struct {
	bucket *Bucket
	queue  chan query

	mu    sync.Mutex
	err   error // why there is no connection; nil: there is one, or the first is being made
	asks  map[uint64]*ask
	count uint64
}

// query is what is sent for an ask.
type query struct {
	number  uint64
	subject string
}

// ask is an ask without a reply.
type ask struct {
	done  func([]byte, error)
	timer *time.Timer
}

func newAsker(b *Bucket) *asker {
	return &asker{bucket: b, queue: make(chan query, askQueue), asks: map[uint64]*ask{}}
}

// Ask implements herd.Asker.
func (b *Bucket) Ask(client []byte, timeout time.Duration, done func(value []byte, err error)) {
	a := b.asker
	if a == nil {
		b.o.Reactor.CallFromThread(func() { done(nil, errNotAsk) })
		return
	}
	bucket := b.bucketName(b.partition(client))
	q := query{subject: "$JS.API.DIRECT.GET." + streamOf(bucket) + "." + prefix(bucket) + keys.EncodeToString(client)}
	a.mu.Lock()
	err := a.err
	if err == nil {
		a.count++
		q.number = a.count
		a.asks[q.number] = &ask{done, time.AfterFunc(timeout, func() { a.finish(q.number, nil, errAskTimeout) })}
	}
	a.mu.Unlock()
	if err != nil {
		b.o.Reactor.CallFromThread(func() { done(nil, err) })
		return
	}
	select {
	case a.queue <- q:
	default:
		a.finish(q.number, nil, errBusy)
	}
}

// finish calls an ask's done on the loop, once.
func (a *asker) finish(number uint64, value []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, ok := a.asks[number]
	if !ok {
		return
	}
	delete(a.asks, number)
	q.timer.Stop()
	a.bucket.o.Reactor.CallFromThread(func() { q.done(value, err) })
}

// lost makes asks fail, from now on and those in progress.
func (a *asker) lost(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
	for number, q := range a.asks { // order: they were sent, and are answered, in any order
		delete(a.asks, number)
		q.timer.Stop()
		a.bucket.o.Reactor.CallFromThread(func() { q.done(nil, err) })
	}
}

// run keeps a connection.
func (a *asker) run() {
	b := a.bucket
	for delay := time.Duration(0); ; {
		begun := time.Now()
		a.lost(a.serve())
		if b.ctx.Err() != nil {
			return
		}
		if time.Since(begun) > reactor.MaxRetryDelay {
			delay = 0
		}
		delay = min(max(2*delay, reactor.MinRetryDelay), reactor.MaxRetryDelay)
		select {
		// #nosec G404 -- a delay need not be secret
		case <-time.After(delay/2 + rand.N(delay)):
		case <-b.ctx.Done():
			return
		}
	}
}

// serve connects and sends asks until the connection is lost.
func (a *asker) serve() error {
	b := a.bucket
	c, err := b.connect(b.ctx, fmt.Sprintf("%s/%s", b.o.Herd, b.o.Server))
	if err != nil {
		return b.explain(err)
	}
	defer c.Close()
	inbox := c.NewInbox() + "."
	if _, err := c.Subscribe(inbox+"*", func(m *nats.Msg) {
		if number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, inbox), 10, 64); err == nil {
			value, err := answer(m)
			a.finish(number, value, err)
		}
	}); err != nil {
		return b.explain(err)
	}
	a.mu.Lock()
	a.err = nil
	a.mu.Unlock()
	for {
		select {
		case q := <-a.queue:
			if err := c.PublishRequest(q.subject, inbox+strconv.FormatUint(q.number, 10), nil); err != nil {
				c.cancel(err)
			}
		case <-c.ctx.Done():
			return b.explain(context.Cause(c.ctx))
		}
	}
}

// answer returns what a reply says. An entry that does not exist has no value.
func answer(m *nats.Msg) (value []byte, err error) {
	// An entry's own header could have a Status, but not together with a sequence.
	if m.Header.Get("Nats-Sequence") != "" {
		if deleted(m.Header) {
			return nil, nil
		}
		return m.Data, nil
	}
	switch status := m.Header.Get("Status"); status {
	case "404":
		return nil, nil
	case "503":
		return nil, errors.New("the bucket does not exist, has no leader or does not allow direct get")
	default:
		return nil, errors.New(printable(status + " " + strings.ToLower(m.Header.Get("Description"))))
	}
}
