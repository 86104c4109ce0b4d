package console

import (
	"context"
	"net/http"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/trace"
	"serverherd/protocol"
)

// FloodStatus is the answer of /flood.json: how a client's latest update spread, as a tree and step by step. Strings in
// it may be those of whatever answered at a console's address.
type FloodStatus struct {
	ask.Traced
	Replay *trace.Replay `json:"replay"` // null if no flight recorder has anything about it any more
}

// flood is /flood.json?id=.
func (c *console) flood(w http.ResponseWriter, r *http.Request) {
	id, ok := onlyID(w, r)
	if !ok {
		return
	}
	h := c.herdWide
	t, err := ask.Trace(h.servers, id, func(s config.Server, hash uint64) trace.Answer {
		if s.Name == h.name {
			return c.ownFlood(r.Context(), id, hash)
		}
		return h.client.Flood(r.Context(), s, id, hash)
	})
	if err != nil {
		text := protocol.Printable(id) + ": " + err.Error()
		for _, a := range t.Answers {
			if a.Error != "" {
				text += "; " + a.Server + " did not answer"
			}
		}
		fail(w, http.StatusNotFound, text)
		return
	}
	for i := range t.Nodes {
		t.Nodes[i].Why = short(t.Nodes[i].Why)
	}
	c.answer(w, r, FloodStatus{t, trace.Steps(h.servers, t.Answers, t.Hash)})
}

// ownFlood is what this server has, which needs no address.
func (c *console) ownFlood(ctx context.Context, id []byte, hash uint64) trace.Answer {
	ctx, cancel := context.WithTimeout(ctx, herd.ConsoleAskTimeout)
	defer cancel()
	f, ok := OnLoop(ctx, c.Do, func(srv *herd.Server) herd.Flood { return srv.Flood(id, hash) })
	if !ok {
		return trace.Answer{Server: c.Name, Error: stuck(herd.ConsoleAskTimeout)}
	}
	return trace.Answer{Server: c.Name, Flood: &f}
}
