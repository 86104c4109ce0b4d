package console

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// This file makes the messages of /ws about servers, see package viewer, from the answers of all servers. What they say
// in words is from package view. Strings may be those of whatever answered at a console's address.

// LiveHello is the first message of /ws.
type LiveHello struct {
	Type     string         `json:"type"`     // "hello"
	Protocol int            `json:"protocol"` // viewer.Protocol
	Page     string         `json:"page"`     // identifies the files of the page that this server has
	Herd     string         `json:"herd"`     // name
	Server   string         `json:"server"`   // that the page is connected to
	Epoch    string         `json:"epoch"`    // of its process
	Places   string         `json:"places"`   // the provider, see config.Providers
	Servers  []LiveTopology `json:"servers"`  // in the order of herd.toml
	// User is the name of the token by which this page has logged in; absent if it has not.
	User string `json:"user,omitempty"`
}

// LiveTopology is a server in herd.toml.
type LiveTopology struct {
	Name      string   `json:"name"`
	Console   bool     `json:"console"` // it has one
	Neighbors []string `json:"neighbors"`
}

// LiveHerd is the state of the herd. All of it is sent whenever something in it has changed.
type LiveHerd struct {
	Type     string       `json:"type"` // "herd"
	Answered int          `json:"answered"`
	Of       int          `json:"of"`
	Problems []HerdLine   `json:"problems"`
	Notes    []HerdLine   `json:"notes"`
	Servers  []LiveServer `json:"servers"` // as in LiveHello
	Links    []LiveLink   `json:"links"`   // two for each pair of neighbors
}

// herdStream sends a LiveHerd when it has changed. All pages share the questions to the servers, see herdWide: a state
// comes at most every herd.ConsoleHerdPause.
type herdStream struct {
	*herdWide
	wake    chan struct{}
	awaited *round // its end wakes
	last    []byte
}

func (*herdStream) Requests() []string     { return nil }
func (*herdStream) Request(viewer.Request) {}
func (*herdStream) Close()                 {}

// Next implements viewer.Stream.
func (s *herdStream) Next(time.Time) (m viewer.Message, again time.Time) {
	r := s.current()
	select {
	case <-r.done:
	default:
		if s.awaited != r {
			s.awaited = r
			go s.await(r)
		}
		return m, again
	}
	if !bytes.Equal(r.live, s.last) {
		s.last, m.Data = r.live, r.live
	}
	return m, r.over.Add(herd.ConsoleHerdPause)
}

// await wakes the connection at the end of a round, which comes whatever the servers do.
func (s *herdStream) await(r *round) {
	<-r.done
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// LiveServer is the state of one server. The numbers are absent if it did not answer.
type LiveServer struct {
	Name  string `json:"name"`
	State string `json:"state"` // "ready", "starting", "down" (it does not answer) or "hidden" (it has no console)
	Text  string `json:"text"`  // the state in words: of a server that answered its agreement with its neighbors
	Short string `json:"short"` // Text in fewer words
	Level string `json:"level"` // of Text: good, unknown, notice or bad
	// Detail is what a server that starts waits for, or why it does not answer.
	Detail      string  `json:"detail,omitempty"`
	Version     string  `json:"version,omitempty"`
	Records     *uint64 `json:"records,omitempty"`
	Connections *int    `json:"connections,omitempty"`
	// Lines is lines received from clients per second, and Lag the p99 of the wait of posted calls in seconds, since
	// the answer before. They are absent if there is none.
	Lines *float64 `json:"lines,omitempty"`
	Lag   *float64 `json:"lag,omitempty"`
}

// LiveLink is the state of the link from one server to a neighbor.
type LiveLink struct {
	From   string   `json:"from"`
	To     string   `json:"to"`
	Text   string   `json:"text"`
	Level  string   `json:"level"`
	Behind uint64   `json:"behind"`
	TLS    bool     `json:"tls,omitempty"`  // it is up, over TLS
	Rate   *float64 `json:"rate,omitempty"` // AT lines per second since the answer before
}

// rateAge is the age of an answer up to which rates are computed from it. While somebody looks, the next one comes
// within herd.ConsoleHerdPause and herd.ConsoleAskTimeout.
const rateAge = 10 * time.Second

// live is the message for these answers. Before are the answers of the round before, or nil.
func live(servers []config.Server, before []ask.Status, h *view.Herd) []byte {
	v, all := h.Summary(), h.All
	m := LiveHerd{
		Type: "herd", Answered: v.Answered, Of: v.Consoles,
		Problems: liveRemarks(v.Problems), Notes: liveRemarks(v.Notes), Servers: []LiveServer{}, Links: []LiveLink{},
	}
	for i, a := range all {
		m.Servers = append(m.Servers, liveServer(a, sameProcess(before, a, i), h))
	}
	for _, d := range h.Directions(servers) {
		l := LiveLink{From: d.From, To: d.To, Text: short(d.State.Text), Level: d.State.Level.String(), Behind: d.Behind, TLS: d.TLS}
		for i, a := range all {
			if old := sameProcess(before, a, i); a.Server == d.From && old != nil && d.Sent != nil {
				l.Rate = perSecond(old, a.Status, atSent(old, d.To), *d.Sent)
			}
		}
		m.Links = append(m.Links, l)
	}
	return viewer.Text(m).Data
}

// fewWords is an agreement for a box of the drawing. How many records a neighbor lacks is at its arrow.
func fewWords(agreement view.Text) string {
	if strings.HasPrefix(agreement.Text, "a neighbor is ") && strings.HasSuffix(agreement.Text, " behind") {
		return "neighbor behind"
	}
	return agreement.Short()
}

func liveServer(a ask.Status, old *herd.Status, h *view.Herd) LiveServer {
	s := a.Status
	switch {
	case a.NoConsole:
		return LiveServer{Name: a.Server, State: "hidden", Text: a.Error, Short: a.Error, Level: view.Unknown.String()}
	case s == nil:
		return LiveServer{Name: a.Server, State: "down", Text: "no answer", Short: "no answer", Level: view.Bad.String(), Detail: short(a.Error)}
	}
	agreement := h.Agreement(s)
	one := LiveServer{
		Name: a.Server, State: "ready", Text: agreement.Text, Short: fewWords(agreement), Level: agreement.Level.String(),
		Version: short(s.Version), Records: &s.Records, Connections: &s.Connections,
	}
	if !s.Ready {
		one.State, one.Detail = "starting", short(s.Waiting)
	}
	if old != nil {
		one.Lines = perSecond(old, s, old.Counters.LinesReceived, s.Counters.LinesReceived)
		one.Lag = recentLag(old.Loop.Lags, s.Loop.Lags)
	}
	return one
}

// liveRemarks are remarks within the limits.
func liveRemarks(all []view.Line) []HerdLine {
	lines := herdLines(all[:min(len(all), herd.PageLines)])
	for i := range lines {
		lines[i].Text = short(lines[i].Text)
	}
	if more := len(all) - len(lines); more > 0 {
		lines = append(lines, HerdLine{Text: fmt.Sprintf("and %d more", more)})
	}
	return lines
}

// short is a text of herd.PageText bytes at most, and valid UTF-8.
func short(text string) string {
	if len(text) > herd.PageText {
		text = strings.ToValidUTF8(text[:herd.PageText-3], "") + "..."
	}
	return text
}

// sameProcess is what the i-th server answered before, if the same process did so recently.
func sameProcess(before []ask.Status, a ask.Status, i int) *herd.Status {
	if i >= len(before) || before[i].Status == nil || a.Status == nil {
		return nil
	}
	old := before[i].Status
	if age := a.Status.Now.Sub(old.Now); old.Epoch != a.Status.Epoch || age <= 0 || age > rateAge {
		return nil
	}
	return old
}

// perSecond is the rate of a counter between two answers; nil if it went back.
func perSecond(old, s *herd.Status, from, to uint64) *float64 {
	if to < from {
		return nil
	}
	rate := float64(to-from) / s.Now.Sub(old.Now).Seconds()
	return &rate
}

func atSent(s *herd.Status, neighbor string) uint64 {
	for _, l := range s.Links {
		if l.Neighbor == neighbor {
			return l.ATSent
		}
	}
	return 0
}

// recentLag is the upper bound, in seconds, on 99 % of the waits between two answers; nil if there were none.
func recentLag(from, to [32]uint64) *float64 {
	var total uint64
	for i := range to {
		if to[i] < from[i] {
			return nil
		}
		total += to[i] - from[i]
	}
	if total == 0 {
		return nil
	}
	seen := uint64(0)
	for i := range to {
		if seen += to[i] - from[i]; seen >= total-total/100 {
			lag := float64(uint64(1)<<i) / 1e6
			return &lag
		}
	}
	return nil
}
