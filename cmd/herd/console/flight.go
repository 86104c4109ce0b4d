package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"serverherd/herd"
	"serverherd/protocol"
)

// events is /events?since=&ring=: a page of the flight recorder.
func (c *console) events(w http.ResponseWriter, r *http.Request) {
	given, err := query(r, "since", "ring")
	since := uint64(0)
	if text, ok := given["since"]; ok && err == nil {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			err = fmt.Errorf("since must be a number, got %.64q", text)
		}
	}
	ring, ok := given["ring"]
	if err == nil && ok && ring != "sampled" && ring != "recent" {
		err = fmt.Errorf("ring must be sampled or recent, got %.64q", ring)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if page, ok := fromLoop(c, w, r, func(srv *herd.Server) herd.EventPage {
		return srv.Events(ring != "recent", since)
	}); ok {
		c.answer(w, r, page)
	}
}

// trace is /trace.json?id=&hash=: what the flight recorder has about a client's latest update, or about the one with a
// hash.
func (c *console) trace(w http.ResponseWriter, r *http.Request) {
	given, err := query(r, "id", "hash")
	var id []byte
	if err == nil {
		id, err = queryID(given)
	}
	hash, valid := protocol.ParseDigest(given["hash"])
	if text, ok := given["hash"]; err == nil && ok && (!valid || hash == 0) {
		err = errors.New("hash must be 16 hex digits, got " + strconv.Quote(text[:min(len(text), 64)]))
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if flood, ok := fromLoop(c, w, r, func(srv *herd.Server) herd.Flood { return srv.Flood(id, uint64(hash)) }); ok {
		c.answer(w, r, flood)
	}
}
