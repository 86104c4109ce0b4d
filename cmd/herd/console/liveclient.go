package console

import (
	"context"
	"encoding/json"
	"time"

	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/herd"
	"serverherd/protocol"
)

// LiveClient is a client that a page shows: its record now, and again when it has changed.
type LiveClient struct {
	Type   string    `json:"type"` // "client"
	Known  bool      `json:"known"`
	Server string    `json:"server"`
	Now    time.Time `json:"now"`
	ClientID
	// If it is known: see ClientStatus.
	Age *float64 `json:"age,omitempty"`
	AT  string   `json:"at,omitempty"`
	*Record
}

// clientStream sends the client that a page wants, at most every herd.DotsPause.
type clientStream struct {
	follower *Follower
	wake     chan struct{}
	id       []byte
	watcher  *follow.Watcher // nil: none is wanted
	cancel   context.CancelFunc
	answered bool // the watcher has said whether there is a record
	sent     time.Time
}

func (*clientStream) Requests() []string { return []string{"client"} }

// Request implements viewer.Stream.
func (s *clientStream) Request(r viewer.Request) {
	s.Close()
	if r.ID == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w, err := s.follower.Begin(ctx, string(r.ID), s.wake)
	if err != nil {
		cancel()
		return // the server is stopping
	}
	*s = clientStream{follower: s.follower, wake: s.wake, id: r.ID, watcher: w, cancel: cancel}
}

// Next implements viewer.Stream.
func (s *clientStream) Next(now time.Time) (m viewer.Message, again time.Time) {
	if s.watcher == nil {
		return m, again
	}
	if again = s.sent.Add(herd.DotsPause); now.Before(again) {
		return m, again
	}
	absent := false
	if !s.answered {
		known, ok := s.watcher.Answered()
		if !ok {
			return m, time.Time{}
		}
		s.answered, absent = true, !known
	}
	c := LiveClient{Type: "client", Server: s.follower.server, Now: now.UTC(), ClientID: clientID(s.id)}
	if !absent {
		taken := s.watcher.Take(0)
		if len(taken.Lines) == 0 {
			return m, time.Time{}
		}
		var l WatchLine
		if err := json.Unmarshal(taken.Lines[0], &l); err != nil {
			panic(err) // see watchLine
		}
		stamp, _ := protocol.ParseStamp([]byte(l.Time))
		age := now.Sub(stamp.Time()).Seconds()
		c.Known, c.Age, c.AT, c.Record = true, &age, l.AT, l.Record
	}
	s.sent = now
	return viewer.Text(c), time.Time{}
}

// Close implements viewer.Stream. Another client may be wanted afterwards.
func (s *clientStream) Close() {
	if s.watcher != nil {
		s.cancel()
		s.watcher.Close()
		s.watcher = nil
	}
}
