package lab

import (
	"bytes"
	"context"
	"encoding/json"
)

// payload compares small and large replies.
func payload() *Experiment {
	e := &Experiment{Section: SectionServer, Row: Row{
		Name:     "payload",
		Question: "What does the size of replies change?",
		Method: "50 connections with a line in flight each, not logged: an IAMAT that is known " +
			"already, answered with one line, or a WHATSAT of 50 km and 20 places in Tokyo, answered with " +
			"JSON. Before, one reply is read with care; then all have to be as long.",
		Variable: "payload",
		Subjects: twoEngines,
		Settings: []Setting{
			{Label: "IAMAT, one line", X: 0, Series: "IAMAT", Quick: true},
			{Label: "WHATSAT, JSON", X: 1, Series: "WHATSAT", Quick: true},
		},
		Figures: []Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true},
			{Name: "bytes", Unit: "MB/s"},
			{Name: "size of a reply", Unit: "bytes"},
			costFigures()[0], busyFigures[0], busyFigures[1],
		},
	}}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startHerd(ctx, b, herdOptions{engine: r.Subject})
		if err != nil {
			return nil, err
		}
		defer to.stop()
		line := "IAMAT tokyo +35.689500+139.691700 1500000000\n"
		if _, err := askOnce(to[0].addr, line, 1); err != nil {
			return nil, err
		}
		if r.Setting.Series == "WHATSAT" {
			line = "WHATSAT tokyo 50 20\n"
		}
		reply, err := askOnce(to[0].addr, line, 1)
		if err != nil {
			return nil, err
		}
		if err := checkPayload(reply, r.Setting.Series == "WHATSAT"); err != nil {
			return nil, err
		}
		k := blast{
			conns: 50, request: []byte(line), depth: 1, end: endOfReply,
			warmup: b.Length / 4, length: b.Length,
		}
		l, received, err := k.run(ctx, to[0])
		if err != nil {
			return nil, err
		}
		if size := received / l.replies; size < 0.9*float64(len(reply)) || size > 1.1*float64(len(reply)) {
			return nil, Void("the mean size of replies is %.0f bytes, but one had %d", size, len(reply))
		}
		v := l.busy()
		v["replies"], v["bytes"] = l.perSecond(), received/1e6/l.length.Seconds()
		v["size of a reply"], v["CPU per reply"] = float64(len(reply)), l.cost()["CPU per reply"]
		return v, to.verdict(ctx)
	}
	return e
}

// checkPayload checks one reply.
func checkPayload(reply string, places bool) error {
	line, rest, _ := bytes.Cut([]byte(reply), []byte("\n"))
	if !bytes.HasPrefix(line, []byte("AT ")) ||
		!bytes.HasSuffix(line, []byte(" tokyo +35.689500+139.691700 1500000000")) {
		return Void("unexpected first line of the reply: %q", line)
	}
	if !places {
		return nil
	}
	var answer struct{ Results []json.RawMessage }
	if err := json.Unmarshal(rest, &answer); err != nil {
		return Void("the reply is not JSON: %v", err)
	}
	if len(answer.Results) != 20 {
		return Void("the reply has %d places, not 20", len(answer.Results))
	}
	return nil
}
