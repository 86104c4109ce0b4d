package ask

import (
	"context"
	"net/url"
	"slices"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/trace"
	"serverherd/protocol"
)

// Traced is how a client's latest update spread. Its JSON is what herd trace --json prints.
type Traced struct {
	ID     string `json:"id"` // escaped
	Base64 []byte `json:"id_b64"`
	AT     string `json:"at"` // escaped
	*trace.Tree
	Answers []trace.Answer `json:"-"`
}

// Trace asks all servers, first for the client's latest update, then for the greatest of these: others may have come
// meanwhile. Flood asks one server for what its flight recorder has about an update with a hash; 0: the latest one. If
// there is an error, only the answers are set.
func Trace(servers []config.Server, id []byte, flood func(s config.Server, hash uint64) trace.Answer) (Traced, error) {
	round := func(hash uint64) []trace.Answer {
		return Each(servers, func(s config.Server) trace.Answer { return flood(s, hash) })
	}
	answers := round(0)
	hash, at, err := trace.Latest(id, answers)
	if err != nil {
		return Traced{Answers: answers}, err
	}
	if slices.ContainsFunc(answers, func(a trace.Answer) bool { return a.Flood != nil && a.Flood.Hash != hash }) {
		answers = trace.Merge(hash, answers, round(trace.Number(hash)))
	}
	t, err := trace.Build(servers, answers, hash, at)
	if err != nil {
		return Traced{Answers: answers}, err
	}
	return Traced{protocol.Escape(id), id, protocol.Escape(at), t, answers}, nil
}

// Flood asks one server for what its flight recorder has about a client's update with a hash; 0: the latest one.
func (c *Client) Flood(ctx context.Context, s config.Server, id []byte, hash uint64) trace.Answer {
	path := "/trace.json?id=" + url.QueryEscape(string(id))
	if hash != 0 {
		path += "&hash=" + protocol.Digest(hash).String()
	}
	a := One[herd.Flood](ctx, c, s, path)
	return trace.Answer{Server: a.Server, Error: a.Error, Flood: a.Value}
}
