package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

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

// Limits of one turn of the loop for a request.
const (
	turnRecords = 1000      // looked at
	turnBytes   = 128 << 10 // copied, and one record more
)

// walk is the way of a request along the feed. Loop only, once it has begun.
type walk struct {
	prefix []byte
	after  uint64
	cursor *feed.Cursor // nil before the first and after the last turn
}

// batch is what one turn has copied. The loop fills it, the handler sends it and passes it to the next turn.
type batch struct {
	mark    ClientsMark
	tail    uint64 // of the feed
	text    []byte // that records alias
	records []copied
}

// next copies the next records into b.
func (k *walk) next(srv *herd.Server, b *batch) *batch {
	store := srv.Store()
	if k.cursor == nil {
		k.cursor = store.Head()
	}
	b.text, b.records = b.text[:0], b.records[:0]
	for looked, size := 0, 0; looked < turnRecords && size < turnBytes; looked++ {
		item, ok := k.cursor.Next()
		if !ok {
			break
		}
		if item.Seq <= k.after || !bytes.HasPrefix(item.Record.Client(), k.prefix) {
			continue
		}
		used, length := len(b.text), len(item.Record.Text())
		size += length
		room := b.text[used:used] // so that a turn allocates nothing, as a rule
		if length <= cap(room) {
			b.text = b.text[:used+length]
		}
		b.records = append(b.records, copyItem(srv, item, room))
	}
	b.tail = store.Tail()
	b.mark = ClientsMark{
		Server: srv.Name(), Epoch: srv.Epoch().String(),
		After: k.cursor.Position(), Records: uint64(store.Len()), Complete: k.cursor.CaughtUp(),
	}
	if b.mark.Complete {
		k.close()
	}
	return b
}

func (k *walk) close() {
	if k.cursor != nil {
		k.cursor.Close()
		k.cursor = nil
	}
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
	// The loop closes the cursor even if it is stuck now.
	defer func() { go c.Do(context.Background(), func(*herd.Server) { k.close() }) }()
	b := &batch{text: make([]byte, 0, turnBytes), records: make([]copied, 0, turnRecords)}
	turn := func(srv *herd.Server) *batch { return k.next(srv, b) }
	if _, ok := fromLoop(c, w, r, turn); !ok {
		return // b and k belong to the loop, for ever
	}
	if k.after > b.tail {
		fail(w, http.StatusBadRequest, fmt.Sprintf("after: the feed ends at %d; has the server been restarted?", b.tail))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(patient{w, http.NewResponseController(w)}, 32<<10)
	lines := json.NewEncoder(out)
	first := b.mark
	first.After, first.Complete = k.after, false
	err = lines.Encode(first)
	for err == nil {
		for _, one := range b.records {
			if err = lines.Encode(one.record()); err != nil {
				return // the reader has gone
			}
		}
		if b.mark.Complete {
			_ = lines.Encode(b.mark)
			break
		}
		ctx, cancel := context.WithTimeout(r.Context(), loopTimeout)
		_, ok := OnLoop(ctx, c.Do, turn)
		cancel()
		if !ok {
			break // without the last line
		}
	}
	_ = out.Flush()
}

// patient is the response to a reader who may take all the time that it needs, as long as it takes something within
// writeTimeout.
type patient struct {
	io.Writer
	response *http.ResponseController
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	_ = p.response.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.Writer.Write(b)
}
