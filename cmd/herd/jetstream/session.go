package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"serverherd/herd"
)

// session implements herd.BucketSession. One goroutine connects and then reads, another one publishes. It is over when
// ctx is canceled.
type session struct {
	bucket  *Bucket
	reader  herd.BucketReader
	via     string
	over    bool // loop only: nothing is passed any more
	ctx     context.Context
	cancel  context.CancelCauseFunc
	next    chan struct{}
	publish chan batch
	parts   []*part
}

// part is a partition: one bucket.
type part struct {
	bucket string
	// target is the stream's last sequence when the session began. What is put later has a greater one.
	target   uint64
	complete bool // everything up to target was read

	// Of reading:
	requests  string // the subject of requests for messages
	inbox     string // of the messages
	requested int    // messages that the server may still send
	delivered uint64 // messages received; the server numbers them
	last      uint64 // the sequence of the last one
}

var errClosed = errors.New("closed")

func newSession(b *Bucket, r herd.BucketReader) *session {
	s := &session{bucket: b, reader: r, next: make(chan struct{}, 1), publish: make(chan batch, 1)}
	s.ctx, s.cancel = context.WithCancelCause(b.ctx)
	// #nosec G404 -- it tells sessions apart and opens nothing
	s.via = fmt.Sprintf("%s/%s/%016x", b.o.Herd, b.o.Server, rand.Uint64())
	return s
}

// Close implements herd.BucketSession.
func (s *session) Close() {
	s.over = true
	s.cancel(errClosed)
}

// Next implements herd.BucketSession.
func (s *session) Next() { s.next <- struct{}{} }

// Publish implements herd.BucketSession.
func (s *session) Publish(puts []herd.BucketPut, done func([]herd.BucketResult)) {
	s.publish <- batch{puts, done}
}

// post calls f on the loop, unless the session is over.
func (s *session) post(f func()) {
	s.bucket.o.Reactor.CallFromThread(func() {
		if !s.over {
			f()
		}
	})
}

// run is the session's life.
func (s *session) run() {
	s.cancel(s.serve())
	err := s.bucket.explain(context.Cause(s.ctx))
	s.post(func() {
		s.over = true
		s.reader.Ended(err)
	})
}

// serve connects, reads and publishes until the session is over.
func (s *session) serve() error {
	c, err := s.bucket.connect(s.ctx, s.via)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(c.ctx, func() { s.cancel(context.Cause(c.ctx)) })
	defer stop()
	js, err := jetstream.New(c.Conn)
	if err != nil {
		return err
	}
	for i := range s.bucket.partitions() {
		p := &part{bucket: s.bucket.bucketName(i)}
		s.parts = append(s.parts, p)
		if err := s.open(js, p, i == 0); err != nil {
			return fmt.Errorf("bucket %s: %w", p.bucket, err)
		}
	}
	publisher, err := newPublisher(s, c.Conn)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { s.cancel(publisher.run()) })
	err = newReader(s, c.Conn).run()
	s.cancel(err)
	return err
}

// request returns the context of one request to JetStream.
func (s *session) request() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, requestTimeout)
}

// open makes sure that there is a bucket, and creates a consumer of its entries.
func (s *session) open(js jetstream.JetStream, p *part, meta bool) error {
	stream, err := s.stream(js, p.bucket)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if err := checkStream(p.bucket, &info.Config); err != nil {
		return err
	}
	p.target = info.State.LastSeq
	if meta {
		if err := s.checkNames(js, stream, p.bucket); err != nil {
			return err
		}
	}
	ctx, cancel := s.request()
	defer cancel()
	// The history is 1, so all entries are the last ones of their keys.
	consumer, err := js.CreateConsumer(ctx, streamOf(p.bucket), jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: inactive,
		Replicas: 1, MemoryStorage: true,
	})
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	about := consumer.CachedInfo()
	p.complete = about.NumPending == 0
	p.requests = "$JS.API.CONSUMER.MSG.NEXT." + streamOf(p.bucket) + "." + about.Name
	return nil
}

// stream returns a bucket's stream. It creates the bucket if there is none.
func (s *session) stream(js jetstream.JetStream, bucket string) (jetstream.Stream, error) {
	find := func() (jetstream.Stream, error) {
		ctx, cancel := s.request()
		defer cancel()
		return js.Stream(ctx, streamOf(bucket))
	}
	stream, err := find()
	if errors.Is(err, nats.ErrNoResponders) {
		err = jetstream.ErrJetStreamNotEnabled
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	ctx, cancel := s.request()
	defer cancel()
	_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: bucket, Description: "places of clients of server herds", History: 1,
		Storage: jetstream.FileStorage, Replicas: max(s.bucket.o.Config.Replicas, 1),
	})
	// Another bridge may have created it at the same time.
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return nil, fmt.Errorf("create: %w", err)
	}
	return find()
}

// checkStream returns why a stream is no bucket that a herd can use.
func checkStream(bucket string, c *jetstream.StreamConfig) error {
	subjects := []string{prefix(bucket) + ">"}
	switch {
	case !slices.Equal(c.Subjects, subjects) || c.Mirror != nil || len(c.Sources) > 0:
		return fmt.Errorf("the stream %s is not a key-value bucket: choose another name", c.Name)
	case c.MaxMsgsPerSubject != 1:
		return fmt.Errorf("its history is %d instead of 1: change it, or choose another name", c.MaxMsgsPerSubject)
	case c.Retention != jetstream.LimitsPolicy:
		return fmt.Errorf("the stream %s removes entries that were read: create it with nats kv add", c.Name)
	case c.Discard != jetstream.DiscardNew:
		return fmt.Errorf("the stream %s discards old entries when it is full: create it with nats kv add", c.Name)
	}
	return nil
}
