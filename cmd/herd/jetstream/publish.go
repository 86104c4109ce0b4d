package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"serverherd/herd"
)

// window is the maximum number of puts without an ACK.
const window = 4096

// batch is one call of Publish.
type batch struct {
	puts []herd.BucketPut
	done func([]herd.BucketResult)
}

// publisher puts records, and matches ACKs with them by the subject of the reply: <inbox>.<number of the put in its
// batch>. A batch begins when the one before it is acknowledged.
type publisher struct {
	s     *session
	nc    *nats.Conn
	inbox string
	acks  chan *nats.Msg
	value []byte
}

func newPublisher(s *session, nc *nats.Conn) (*publisher, error) {
	p := &publisher{s: s, nc: nc, inbox: nc.NewInbox() + ".", acks: make(chan *nats.Msg, window)}
	_, err := nc.ChanSubscribe(p.inbox+"*", p.acks)
	return p, err
}

// run publishes until the session is over.
func (p *publisher) run() error {
	for {
		select {
		case <-p.s.ctx.Done():
			return context.Cause(p.s.ctx)
		case b := <-p.s.publish:
			results, err := p.put(b.puts)
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			p.s.post(func() { b.done(results) })
		}
	}
}

// put publishes a batch and waits for all ACKs.
func (p *publisher) put(puts []herd.BucketPut) ([]herd.BucketResult, error) {
	results := make([]herd.BucketResult, len(puts))
	progress := time.NewTimer(silence)
	defer progress.Stop()
	waiting := 0
	ack := func(m *nats.Msg) error {
		i, err := strconv.Atoi(strings.TrimPrefix(m.Subject, p.inbox))
		if err != nil || i < 0 || i >= len(puts) {
			return fmt.Errorf("unexpected reply to %s", m.Subject)
		}
		waiting--
		progress.Reset(silence)
		results[i], err = p.result(m, p.s.parts[p.s.bucket.partition(puts[i].Record.Client())])
		return err
	}
	for sent := 0; sent < len(puts) || waiting > 0; {
		if sent < len(puts) && waiting < window {
			switch err := p.send(sent, puts[sent]); {
			case err == nil:
				waiting++
			case errors.Is(err, nats.ErrMaxPayload):
				results[sent] = herd.BucketRefused
			default:
				return nil, err
			}
			sent++
			select {
			case m := <-p.acks:
				if err := ack(m); err != nil {
					return nil, err
				}
			default:
			}
			continue
		}
		select {
		case m := <-p.acks:
			if err := ack(m); err != nil {
				return nil, err
			}
		case <-progress.C:
			return nil, fmt.Errorf("no ACK for %v, %d are missing", silence, waiting)
		case <-p.s.ctx.Done():
			return nil, context.Cause(p.s.ctx)
		}
	}
	return results, nil
}

// send publishes a put, the i-th of its batch.
func (p *publisher) send(i int, put herd.BucketPut) error {
	client := put.Record.Client()
	m := &nats.Msg{
		Subject: prefix(p.s.bucket.bucketName(p.s.bucket.partition(client))) + keys.EncodeToString(client),
		Reply:   p.inbox + strconv.Itoa(i),
		Header:  nats.Header{Via: {p.s.via}},
	}
	if put.Revision > 0 {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(put.Revision, 10))
	}
	p.value = put.Record.AppendAT(p.value[:0])
	m.Data = p.value
	return p.nc.PublishMsg(m)
}

// result returns what an ACK says.
func (p *publisher) result(m *nats.Msg, to *part) (herd.BucketResult, error) {
	if m.Header.Get("Status") == "503" {
		return 0, fmt.Errorf("bucket %s has no leader, or was deleted: %w", to.bucket, nats.ErrNoResponders)
	}
	var ack struct {
		Seq   uint64
		Error *jetstream.APIError
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return 0, fmt.Errorf("ACK: %w", err)
	}
	switch {
	case ack.Error == nil && ack.Seq <= to.target:
		return 0, fmt.Errorf("bucket %s was deleted and created again, or restored: revision %d follows %d",
			to.bucket, ack.Seq, to.target)
	case ack.Error == nil:
		return herd.BucketStored, nil
	case ack.Error.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence,
		ack.Error.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return herd.BucketConflict, nil
	default:
		return herd.BucketRefused, nil // a limit of the bucket or of the account, or a disk that fails
	}
}
