package jetstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// checkNames returns an error if another herd has a server of the same name, and otherwise writes the names of this
// herd's servers: "Alford Ball Campbell". They are read before they are written, so that of two herds the one that
// came first keeps its bridge.
func (s *session) checkNames(js jetstream.JetStream, stream jetstream.Stream, bucket string) error {
	o := &s.bucket.o
	begin := prefix(bucket) + metaKey
	ctx, cancel := s.request()
	defer cancel()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(begin+">"))
	if err != nil {
		return fmt.Errorf("read names of herds: %w", err)
	}
	names := slices.Sorted(slices.Values(o.Names))
	written := ""
	for subject := range info.State.Subjects { // order: a clash with any of several is an error
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		} else if err != nil {
			return fmt.Errorf("read names of herds: %w", err)
		}
		herd := strings.TrimPrefix(subject, begin)
		switch {
		case deleted(m.Header):
		case herd == o.Herd:
			written = string(m.Data)
		default:
			for name := range strings.FieldsSeq(string(m.Data)) {
				if slices.Contains(names, name) {
					return fmt.Errorf("server name %q is also one of herd %q: rename it, or delete the key %s%s "+
						"if there is no such herd", name, herd, metaKey, herd)
				}
			}
		}
	}
	text := strings.Join(names, " ")
	if text == written {
		return nil
	}
	m := nats.NewMsg(begin + o.Herd)
	m.Data = []byte(text)
	m.Header.Set(Via, s.via)
	_, err = js.PublishMsg(ctx, m)
	var refused *jetstream.APIError
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("write names of servers: %w", err)
	}
	s.bucket.noteNames(err)
	return nil
}

// noteNames logs that the bucket, which may be full, does not take the names of servers. The bridge does without.
func (b *Bucket) noteNames(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if text != "" && text != b.notWritten {
		b.o.Log.Warn("bridge: names of servers refused", zap.Error(err))
	}
	b.notWritten = text
}
