package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/feed"
	"serverherd/protocol"
)

// This file is /clients.ndjson: the records of all clients, or of those whose id begins with a prefix, in the order of
// the server's feed, one a line:
//
//	{"server":"Ball","epoch":"6f1c...","after":0,"records":2}
//	{"id":"kiwi","id_b64":"a2l3aQ==","coords":"+34.068930-118.445127","time":"1520023934.918963997",...,"seq":1,...}
//	{"id":"tui","id_b64":"dHVp","coords":"-36.848461+174.763336","time":"1520023940",...,"seq":2,...}
//	{"server":"Ball","epoch":"6f1c...","after":2,"records":2,"complete":true}
//
// Nothing stands still for it. A client that is updated moves to the end of the feed. If its record was sent before,
// the new one is sent again; if not, it is sent from there: no client is missed that was known when the request
// began. The response ends when it has reached the end of the feed. Without the last line it is incomplete. Then a
// request with after= and the seq of the last line received continues it, if the epoch is still the same.

// ClientsMark is the first and the last line of /clients.ndjson.
type ClientsMark struct {
	Server   string `json:"server"`
	Epoch    string `json:"epoch"`   // of the process: positions are those of its feed
	After    uint64 `json:"after"`   // all records up to this position have been sent; in the first line as requested
	Records  uint64 `json:"records"` // clients that the server knows
	Complete bool   `json:"complete,omitempty"`
}

// walk is the way of a request along the feed. Loop only, once it has begun.
type walk struct {
	prefix []byte
	after  uint64
	cursor *feed.Cursor // nil before the first turn
}

// stop is where a walk is after a turn.
type stop struct {
	mark ClientsMark
	tail uint64 // of the feed
}

// next copies the next records into b.
func (k *walk) next(srv *herd.Server, b *follow.Batch) stop {
	store := srv.Store()
	if k.cursor == nil {
		k.cursor = store.Head()
		k.cursor.Advance(k.after)
	}
	b.Reset()
	b.Fill(k.cursor, follow.TurnRecords, follow.TurnBytes, srv.Source, func(i feed.Item) bool {
		return bytes.HasPrefix(i.Record.Client(), k.prefix)
	})
	s := stop{tail: store.Tail(), mark: ClientsMark{
		Server: srv.Name(), Epoch: srv.Epoch().String(),
		After: k.cursor.Position(), Records: uint64(store.Len()), Complete: k.cursor.CaughtUp(),
	}}
	return s
}

// queryWalk reads the parameters prefix and after.
func queryWalk(r *http.Request) (*walk, error) {
	given, err := query(r, "prefix", "after")
	if err != nil {
		return nil, err
	}
	k := &walk{prefix: []byte(given["prefix"])}
	if len(k.prefix) > 0 {
		if err := protocol.CheckClientID(k.prefix); err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
	}
	if text, ok := given["after"]; ok {
		if k.after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("after: %.64q is not a position", text)
		}
	}
	return k, nil
}

// clients is /clients.ndjson?prefix=&after=.
func (c *console) clients(w http.ResponseWriter, r *http.Request) {
	k, err := queryWalk(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	var text bytes.Buffer
	at, ok := c.turn(r.Context(), k, &text)
	switch {
	case !ok:
		fail(w, http.StatusServiceUnavailable, stuck(loopTimeout))
		return
	case k.after > at.tail:
		fail(w, http.StatusBadRequest, fmt.Sprintf("after: the feed ends at %d; has the server been restarted?", at.tail))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := newPatient(w, r)
	first := at.mark
	first.After, first.Complete = k.after, false
	if view.NewJSON(out).Encode(first) != nil {
		return // the reader has gone
	}
	for ok { // else without the last line
		for piece := range slices.Chunk(text.Bytes(), clientsPiece) {
			if _, err := out.Write(piece); err != nil {
				return
			}
		}
		if at.mark.Complete {
			_ = view.NewJSON(out).Encode(at.mark)
			return
		}
		text.Reset()
		at, ok = c.turn(r.Context(), k, &text)
	}
}

// clientsPiece is how many bytes a reader must take within writeTimeout.
const clientsPiece = 32 << 10

// turn takes a walk one turn of the loop further, and appends its records to text as lines. Only herd.ConsoleWalks walks
// are in a turn at once, whose copies become lines before the next one begins: that bounds the memory, and the time of
// the loop, of all requests together. It is false if the loop does not answer; k belongs to the loop then, for ever.
func (c *console) turn(ctx context.Context, k *walk, text *bytes.Buffer) (at stop, ok bool) {
	var b *follow.Batch
	select {
	case b = <-c.walks:
	case <-ctx.Done():
		return at, false
	}
	if b == nil {
		b = follow.NewBatch(follow.TurnRecords, follow.TurnBytes)
	}
	limited, cancel := context.WithTimeout(ctx, loopTimeout)
	defer cancel()
	at, ok = OnLoop(limited, c.Do, func(srv *herd.Server) stop { return k.next(srv, b) })
	if !ok {
		c.walks <- nil // b belongs to the loop, too
		return at, false
	}
	lines := view.NewJSON(text)
	for _, u := range b.Updates {
		_ = lines.Encode(record(u)) // a valid position is finite
	}
	c.walks <- b
	return at, true
}

// patient is the response to a reader who may take all the time that it needs, as long as it takes something within
// writeTimeout, and the request has not ended, as it does with its token.
type patient struct {
	io.Writer
	response *http.ResponseController
	ctx      context.Context
}

func newPatient(w http.ResponseWriter, r *http.Request) patient {
	return patient{w, http.NewResponseController(w), r.Context()}
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	_ = p.response.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.Writer.Write(b)
}
