package console

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// HerdStatus is the answer of /herd.json: every server's status, as one console sees it. Strings in it may be
// those of whatever answered at a console's address.
type HerdStatus struct {
	Server   string       `json:"server"`   // that asked the others
	Now      time.Time    `json:"now"`      // when it began to ask
	Answered int          `json:"answered"` // servers
	Of       int          `json:"of"`       // servers with a console
	Problems []HerdLine   `json:"problems"` // somebody has to do something
	Notes    []HerdLine   `json:"notes"`    // what is unusual, or was
	Servers  []HerdServer `json:"servers"`  // in the order of herd.toml
}

// HerdLine is a remark about some servers, or about the herd if there are none.
type HerdLine struct {
	Servers []string `json:"servers,omitempty"`
	Text    string   `json:"text"`
}

// HerdServer is one server's answer. Agreement says whether it has the records of its neighbors; Level is good,
// unknown, notice or bad. Both are empty if it did not answer.
type HerdServer struct {
	ask.Status
	Agreement string `json:"agreement,omitempty"`
	Level     string `json:"level,omitempty"`
}

// herdWide asks all servers for their status, once for all who look.
type herdWide struct {
	self    func(context.Context) (herd.Status, bool)
	name    string
	servers []config.Server
	client  *ask.Client

	mu     sync.Mutex
	latest *round // in progress, or the last one
}

// round is one round of questions to all servers.
type round struct {
	done chan struct{} // closed when the fields below are set
	over time.Time
	all  []ask.Status
	text []byte // the answer
	live []byte // the same for /ws
}

func newHerdWide(o Options) *herdWide {
	secret := ""
	if all := o.Config.Herd.Secrets; len(all) > 0 {
		secret = all[0]
	}
	return &herdWide{
		self: o.Status, name: o.Name, servers: o.Config.Servers,
		client: ask.New(ask.Options{Secret: secret, TLS: ask.TLS{Mode: o.Config.Console.TLS, Config: o.ClientTLS}}),
	}
}

// get returns an answer that is at most herd.ConsoleHerdPause older than the request, plus the time that asking takes;
// false if ctx ends first.
func (h *herdWide) get(ctx context.Context) (text []byte, ok bool) {
	now := h.current()
	select {
	case <-now.done:
		return now.text, true
	case <-ctx.Done():
		return nil, false
	}
}

// current returns the round whose answer is new enough, and starts one if there is none.
func (h *herdWide) current() *round {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.latest
	if last != nil && !last.stale() {
		return last
	}
	now := &round{done: make(chan struct{})}
	h.latest = now
	go h.ask(now, last)
	return now
}

// links returns what the servers said about their links in the last round that is over, by server.
func (h *herdWide) links() map[string][]herd.LinkStatus {
	h.mu.Lock()
	last := h.latest
	h.mu.Unlock()
	links := make(map[string][]herd.LinkStatus)
	if last == nil {
		return links
	}
	select {
	case <-last.done:
		for _, s := range last.all {
			if s.Status != nil {
				links[s.Server] = s.Status.Links
			}
		}
	default:
	}
	return links
}

// stale reports whether a round is over for so long that its answer is not given any more.
func (r *round) stale() bool {
	select {
	case <-r.done:
		return time.Since(r.over) >= herd.ConsoleHerdPause
	default:
		return false
	}
}

// ask makes a round. It belongs to none of those who look: if one leaves, the others still get the answer.
func (h *herdWide) ask(now, last *round) {
	begun := time.Now().UTC()
	now.all = h.askAll()
	var before []ask.Status
	if last != nil {
		before = last.all
	}
	all := view.Of(before, now.all)
	now.text, now.live = h.answer(begun, all), live(h.servers, before, all)
	now.over = time.Now()
	close(now.done)
}

// askAll asks the others at their addresses in herd.toml. They are asked for /status.json, for which no console asks
// another one. This server needs no address.
func (h *herdWide) askAll() []ask.Status {
	return ask.Each(h.servers, func(s config.Server) ask.Status {
		if s.Name == h.name {
			return h.askSelf()
		}
		return ask.StatusOf(context.Background(), h.client, s)
	})
}

func (h *herdWide) askSelf() ask.Status {
	ctx, cancel := context.WithTimeout(context.Background(), herd.ConsoleAskTimeout)
	defer cancel()
	s, ok := h.self(ctx)
	if !ok {
		return ask.Status{Server: h.name, Error: stuck(herd.ConsoleAskTimeout)}
	}
	return ask.Status{Server: h.name, Status: &s}
}

func (h *herdWide) answer(begun time.Time, all *view.Herd) []byte {
	v := all.Summary()
	s := HerdStatus{
		Server: h.name, Now: begun, Answered: v.Answered, Of: v.Consoles,
		Problems: herdLines(v.Problems), Notes: herdLines(v.Notes), Servers: []HerdServer{},
	}
	for _, a := range all.All {
		one := HerdServer{Status: a}
		if a.Status != nil {
			agreement := all.Agreement(a.Status)
			one.Agreement, one.Level = agreement.Text, agreement.Level.String()
		}
		s.Servers = append(s.Servers, one)
	}
	var b bytes.Buffer
	e := view.NewJSON(&b)
	e.SetIndent("", "  ")
	_ = e.Encode(s)
	return b.Bytes()
}

func herdLines(lines []view.Line) []HerdLine {
	all := make([]HerdLine, 0, len(lines))
	for _, l := range lines {
		all = append(all, HerdLine(l))
	}
	return all
}

// herd is /herd.json.
func (c *console) herd(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), herd.ConsoleHerdTimeout)
	defer cancel()
	text, ok := c.herdWide.get(ctx)
	if !ok {
		fail(w, http.StatusServiceUnavailable, "no answer of the servers within "+herd.ConsoleHerdTimeout.String())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
