package console

import (
	"time"

	"golang.org/x/time/rate"

	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/herd"
)

// LiveDots begins the positions of all clients, or says that what was there has been sent. See package viewer.
type LiveDots struct {
	Type       string `json:"type"` // "dots" or "dots-done"
	Generation uint32 `json:"generation"`
	Clients    uint64 `json:"clients"`          // that the server has
	Shown      uint64 `json:"shown,omitempty"`  // dots that there will be, about. Only "dots" has it and OneOf
	OneOf      uint64 `json:"one_of,omitempty"` // clients for each dot: 1, 2, 4...
}

// LiveName says which client a dot is.
type LiveName struct {
	Type       string `json:"type"` // "name"
	Generation uint32 `json:"generation"`
	Slot       uint32 `json:"slot"`
	ClientID
}

// dotsStream sends the positions of all clients.
type dotsStream struct {
	follower *Follower
	wake     chan struct{}
	page     *follow.Page // nil: not wanted
	buffer   []byte
	rate     *rate.Limiter // of all pages together, in bytes
	due      time.Time     // before which the rate allows no more dots
	names    []LiveName    // answers that wait
}

func (*dotsStream) Requests() []string { return []string{"dots", "name"} }

// Request implements viewer.Stream.
func (s *dotsStream) Request(r viewer.Request) {
	switch {
	case r.Type == "name":
		if s.page == nil || len(s.names) == herd.PageRequests {
			return
		}
		if id := s.page.Name(r.Generation, r.Slot); id != nil {
			s.names = append(s.names, LiveName{"name", r.Generation, r.Slot, clientID(id)})
		}
	case r.On && s.page == nil:
		s.page, s.buffer = s.follower.Page(s.wake), make([]byte, 0, herd.DotsMessage)
	case !r.On:
		s.Close()
	}
}

// Next implements viewer.Stream.
func (s *dotsStream) Next(now time.Time) (m viewer.Message, again time.Time) {
	if s.page == nil {
		return m, again
	}
	if len(s.names) > 0 {
		m, s.names = viewer.Text(s.names[0]), s.names[1:]
		return m, again
	}
	if now.Before(s.due) {
		return m, s.due
	}
	n, again := s.page.Next(s.buffer, now)
	switch {
	case n.Reset:
		m = viewer.Text(LiveDots{"dots", n.Generation, n.Clients, n.Clients / n.OneOf, n.OneOf})
	case n.Done:
		m = viewer.Text(LiveDots{Type: "dots-done", Generation: n.Generation, Clients: n.Clients})
	default:
		m = viewer.Message{Binary: true, Data: n.Dots}
		// It goes at once, whatever the rate is. The next one waits for both.
		s.due = now.Add(s.rate.ReserveN(now, len(n.Dots)).DelayFrom(now))
	}
	return m, again
}

// Close implements viewer.Stream. Dots may be wanted again afterwards.
func (s *dotsStream) Close() {
	if s.page != nil {
		s.page.Close()
		s.page, s.buffer, s.names = nil, nil, nil
	}
}
