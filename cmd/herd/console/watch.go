package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/protocol"
)

// This file is /watch: the updates of one client, or of all, as the server applies them, until the reader leaves or the
// server ends. Each line is a WatchLine:
//
//	{"server":"Ball","epoch":"6f1c...","tail":41}
//	{"id":"kiwi","id_b64":"a2l3aQ==",...,"seq":17,...,"at":"AT Alford +0.26 kiwi ...","present":true}
//	{"id":"kiwi","id_b64":"a2l3aQ==",...,"seq":42,...,"at":"AT Alford +0.31 kiwi ...","took":0.000212}
//	{}
//	{"behind":7}
//	{"id":"kiwi","id_b64":"a2l3aQ==",...,"seq":51,...}

// WatchLine is a line of /watch. It has Server, a Record, or Behind. Or it has nothing: {} is sent when nothing else is,
// so that both sides notice when the other one has gone.
type WatchLine struct {
	// The first line.
	Server string `json:"server,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
	Tail   uint64 `json:"tail,omitempty"` // end of the feed: everything behind it follows

	// An update.
	*Record
	AT string `json:"at,omitempty"` // the AT line, escaped like ID
	// Took is Applied minus the origin's clock when it received the update, in seconds. So it contains the difference
	// between the two clocks. Applied is when the loop's turn began, so it may be less than 0 by a turn.
	Took    *float64 `json:"took,omitempty"`
	Present bool     `json:"present,omitempty"` // it was there when the watching began

	// The reader is slow: so many updates have come since the last line. Of each client only the newest follows, or
	// nothing, if Lost says so for that many.
	Behind uint64 `json:"behind,omitempty"`
	Lost   uint64 `json:"lost,omitempty"`
}

// Follower is what all requests for /watch share. It does nothing while there are none.
type Follower struct {
	*follow.Follower
	server, epoch string
}

// NewFollower returns the Follower of a server, whose reactor runs what post and later are given.
func NewFollower(srv *herd.Server, post func(func()), later func(time.Duration, func())) *Follower {
	return &Follower{follow.New(follow.Options{
		Post: post, Later: later, Store: srv.Store, Encode: watchLine,
		Source: srv.Source,
	}), srv.Name(), srv.Epoch().String()}
}

// watchLine encodes an update.
func watchLine(u follow.Update, present bool) []byte {
	r := record(u)
	l := WatchLine{Record: &r, AT: protocol.Escape(u.Record.AppendAT(nil)), Present: present}
	// A record that was there may have come in a copy.
	if received, ok := u.Record.ReceivedAt(); ok && !present {
		took := r.Applied.Sub(received).Seconds()
		l.Took = &took
	}
	return l.encode()
}

func (l WatchLine) encode() []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // a valid position is finite
	}
	return append(view.JSON(text), '\n')
}

// watchPiece is how many bytes of lines are written at once.
const watchPiece = 64 << 10

// watch is /watch?id=, or /watch for all clients.
func (c *console) watch(w http.ResponseWriter, r *http.Request) {
	id, err := queryWatch(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
	watcher, tail, err := c.Follower.Watch(ctx, id)
	cancel()
	switch {
	case errors.Is(err, follow.ErrClosed):
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	case err != nil:
		fail(w, http.StatusServiceUnavailable, stuck(loopTimeout))
		return
	}
	defer watcher.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	first := WatchLine{Server: c.Follower.server, Epoch: c.Follower.epoch, Tail: tail}
	s := watching{watcher, newPatient(w, r)}
	s.run(r.Context(), first.encode())
}

// queryWatch reads the parameter id; "" means all clients.
func queryWatch(r *http.Request) (string, error) {
	given, err := query(r, "id")
	if _, ok := given["id"]; err != nil || !ok {
		return "", err
	}
	id, err := queryID(given)
	return string(id), err
}

// watching is the answer to one request.
type watching struct {
	*follow.Watcher
	out patient
}

// run writes text and then what comes, until the reader or the server ends.
func (s watching) run(ctx context.Context, text []byte) {
	idle := time.NewTimer(herd.WatchHeartbeat)
	defer idle.Stop()
	for ended := false; ; {
		for len(text) > 0 {
			if s.write(text) != nil {
				return
			}
			idle.Reset(herd.WatchHeartbeat)
			text = s.next(text[:0])
		}
		if ended {
			return
		}
		select {
		case <-s.Ready():
			text = s.next(text[:0])
		case <-idle.C:
			text = append(text[:0], "{}\n"...)
		case <-s.Ended():
			ended = true
			text = s.next(text[:0])
		case <-ctx.Done():
			return
		}
	}
}

// next appends the next lines.
func (s watching) next(text []byte) []byte {
	taken := s.Take(watchPiece)
	if taken.Behind > 0 {
		text = append(text, WatchLine{Behind: taken.Behind, Lost: taken.Lost}.encode()...)
	}
	for _, line := range taken.Lines {
		text = append(text, line...)
	}
	return text
}

func (s watching) write(text []byte) error {
	if _, err := s.out.Write(text); err != nil {
		return err
	}
	return s.out.response.Flush()
}
