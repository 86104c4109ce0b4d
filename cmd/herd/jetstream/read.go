package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"serverherd/herd"
)

const (
	// inFlight is the maximum number of messages that a server sends ahead, and inFlightBytes their size unless a
	// single message may be larger.
	inFlight      = 512
	inFlightBytes = 4 << 20
	// expiry is for how long a request for messages is valid, and statuses the number of messages about requests
	// that may arrive in that time, while nothing is read: heartbeats and the end of each.
	expiry   = 10 * time.Second
	statuses = 64
	// inactive is how long a consumer without requests exists.
	inactive = time.Minute
)

// reader reads the entries of all partitions. The server sends only what was requested, and the next messages are
// requested when the last ones are applied. A message that is lost is noticed by its number, or by the number in a
// heartbeat.
type reader struct {
	s        *session
	nc       *nats.Conn
	messages chan *nats.Msg // of all partitions
	parts    map[*nats.Subscription]*part
	heard    map[*part]time.Time // last sign of life
}

func newReader(s *session, nc *nats.Conn) *reader {
	return &reader{
		s: s, nc: nc, messages: make(chan *nats.Msg, len(s.parts)*(inFlight+statuses)),
		parts: map[*nats.Subscription]*part{}, heard: map[*part]time.Time{},
	}
}

// run reads until the session is over.
func (r *reader) run() error {
	for _, p := range r.s.parts {
		p.inbox = r.nc.NewInbox()
		sub, err := r.nc.ChanSubscribe(p.inbox, r.messages)
		if err != nil {
			return err
		}
		r.parts[sub] = p
		if err := r.more(p); err != nil {
			return err
		}
	}
	complete := r.complete()
	if complete {
		if err := r.pass(nil, true); err != nil {
			return err
		}
	}
	r.refresh()
	check := time.NewTicker(heartbeat)
	defer check.Stop()
	for {
		select {
		case <-r.s.ctx.Done():
			return context.Cause(r.s.ctx)
		case <-check.C:
			for _, p := range r.s.parts {
				if time.Since(r.heard[p]) > silence {
					return fmt.Errorf("read bucket %s: the server has not answered for %v", p.bucket, silence)
				}
			}
		case m := <-r.messages:
			entries, err := r.batch(m)
			if err != nil {
				return err
			}
			was := complete
			complete = r.complete()
			if len(entries) > 0 || complete != was {
				if err := r.pass(entries, complete); err != nil {
					return err
				}
			}
		}
	}
}

// complete reports whether everything was read that was in the buckets when the session began.
func (r *reader) complete() bool {
	for _, p := range r.s.parts {
		if !p.complete {
			return false
		}
	}
	return true
}

// batch returns the entries in m and in messages that have arrived after it.
func (r *reader) batch(m *nats.Msg) (entries []herd.BucketEntry, err error) {
	for {
		p := r.parts[m.Sub]
		r.heard[p] = time.Now()
		if m.Reply == "" {
			err = r.status(p, m)
		} else if e, ok, e2 := r.entry(p, m); e2 != nil {
			err = e2
		} else if ok {
			entries = append(entries, e)
		}
		if err == nil {
			err = r.more(p)
		}
		if err != nil {
			return nil, fmt.Errorf("read bucket %s: %w", p.bucket, err)
		}
		if len(entries) == herd.BucketBatch {
			return entries, nil
		}
		select {
		case m = <-r.messages:
		default:
			return entries, nil
		}
	}
}

// pass passes a batch to the loop and waits until the next one is wanted.
func (r *reader) pass(entries []herd.BucketEntry, complete bool) error {
	s := r.s
	s.post(func() { s.reader.Entries(entries, complete) })
	select {
	case <-s.next:
		r.refresh()
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// refresh makes the time not count in which nothing was read.
func (r *reader) refresh() {
	for _, p := range r.s.parts {
		r.heard[p] = time.Now()
	}
}

// more requests messages when half of those requested have arrived.
func (r *reader) more(p *part) error {
	if p.requested > inFlight/2 {
		return nil
	}
	n := inFlight - p.requested
	p.requested = inFlight
	request, err := json.Marshal(map[string]any{
		"batch": n, "max_bytes": max(inFlightBytes, 2*r.nc.MaxPayload()),
		"expires": expiry.Nanoseconds(), "idle_heartbeat": heartbeat.Nanoseconds(),
	})
	if err != nil {
		return err
	}
	return r.nc.PublishRequest(p.requests, p.inbox, request)
}

// status handles a message about a request.
func (r *reader) status(p *part, m *nats.Msg) error {
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(m.Header.Get(name), 10, 64)
		return n
	}
	status, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "100":
		if n := number("Nats-Last-Consumer"); n != p.delivered {
			return fmt.Errorf("received %d messages of %d", p.delivered, n)
		}
		p.complete = p.complete || number("Nats-Last-Stream") >= p.target
	case status == "408", status == "409" && (text == "Message Size Exceeds MaxBytes" || text == "Batch Completed"):
		// #nosec G115 -- p.requested is not negative, and the result is not above it
		p.requested -= int(min(number("Nats-Pending-Messages"), uint64(p.requested)))
	case status == "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("%s %s", status, strings.ToLower(text))
	}
	return nil
}

// entry returns the entry in a message; ok is false if it is none.
func (r *reader) entry(p *part, m *nats.Msg) (e herd.BucketEntry, ok bool, err error) {
	about, err := m.Metadata()
	if err != nil {
		return e, false, err
	}
	p.requested--
	p.delivered++
	if about.Sequence.Consumer != p.delivered {
		return e, false, fmt.Errorf("received message %d instead of %d", about.Sequence.Consumer, p.delivered)
	}
	if about.Sequence.Stream <= p.last {
		return e, false, fmt.Errorf("revision %d follows %d", about.Sequence.Stream, p.last)
	}
	p.last = about.Sequence.Stream
	p.complete = p.complete || p.last >= p.target || about.NumPending == 0
	key := strings.TrimPrefix(m.Subject, prefix(p.bucket))
	if strings.HasPrefix(key, metaKey) {
		return e, false, nil
	}
	e = herd.BucketEntry{Value: m.Data, Revision: p.last, Own: m.Header.Get(Via) == r.s.via}
	if deleted(m.Header) {
		e.Value = nil
	}
	// A key that is no client's, or one of another partition, is an entry without a client: it is not valid.
	client, err := keys.DecodeString(key)
	if b := r.s.bucket; err == nil && b.bucketName(b.partition(client)) == p.bucket {
		e.Client = client
	}
	return e, true, nil
}
