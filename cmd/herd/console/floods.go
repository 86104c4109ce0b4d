package console

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console/replay"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
)

// LiveFloods is how sampled updates spread, for the replay of the page. Each message has the floods that are new or have
// changed since the one before.
type LiveFloods struct {
	Type     string            `json:"type"` // "floods"
	Now      time.Time         `json:"now"`
	OneOf    uint64            `json:"one_of"` // one of so many floods is given at present; a power of two
	Answered int               `json:"answered"`
	Of       int               `json:"of"`     // servers with a console
	Floods   []json.RawMessage `json:"floods"` // replay.Flood; one with the hash of an earlier one replaces it
}

// flights asks all servers for events of their flight recorders, for all pages together, and while there is one that
// wants them. It keeps the floods of the last minute.
type flights struct {
	herdWide *herdWide
	own      Loop

	mu      sync.Mutex
	pages   map[*flightsStream]struct{}
	head    LiveFloods // without floods
	kept    []kept     // the oldest first
	count   uint64     // number of the last one in kept
	bytes   int
	running bool
	left    chan struct{} // receives when a page has left
}

// kept is a flood for the pages.
type kept struct {
	number uint64 // from 1
	hash   string
	until  time.Time
	text   json.RawMessage
}

func newFlights(h *herdWide, own Loop) *flights {
	return &flights{herdWide: h, own: own, pages: make(map[*flightsStream]struct{}), left: make(chan struct{}, 1)}
}

// join begins to ask if a page is the first one.
func (f *flights) join(s *flightsStream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages[s] = struct{}{}
	if !f.running {
		f.running, f.kept, f.bytes, f.head = true, nil, 0, LiveFloods{}
		go f.run()
	}
}

func (f *flights) leave(s *flightsStream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pages, s)
	select {
	case f.left <- struct{}{}:
	default:
	}
}

// run asks until no page is left.
func (f *flights) run() {
	servers := f.herdWide.servers
	g := replay.New(servers)
	sources := make([]source, len(servers))
	for {
		begun := time.Now()
		answers := f.askAll(sources)
		floods, oneOf := g.Round(time.Now(), answers)
		if !f.publish(answers, floods, oneOf) {
			return
		}
		for pause := time.After(herd.ReplayPause - time.Since(begun)); pause != nil; {
			select {
			case <-pause:
				pause = nil
			case <-f.left:
				if !f.wanted() {
					return
				}
			}
		}
	}
}

// wanted reports whether there is a page. If not, run ends.
func (f *flights) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = len(f.pages) > 0
	return f.running
}

// source is where a server's events continue.
type source struct {
	epoch string
	next  uint64
}

// morePages is how many pages of events a server is asked for in a round: as many as its ring has, and one.
const morePages = recorder.Size/herd.MaxEvents + 1

func (f *flights) askAll(sources []source) []replay.Answer {
	links := f.herdWide.links()
	at := make(map[string]*source)
	for i, s := range f.herdWide.servers {
		// #nosec G602 -- there is one source for each server
		at[s.Name] = &sources[i]
	}
	return ask.Each(f.herdWide.servers, func(s config.Server) (a replay.Answer) {
		from := at[s.Name]
		a.Links = links[s.Name]
		for range morePages {
			page, err := f.page(s, from.next)
			if err == nil {
				err = replay.Check(page)
			}
			if err != nil {
				if len(a.Pages) == 0 {
					a.Error = short(err.Error())
				}
				return a
			}
			if from.epoch != page.Epoch {
				*from = source{epoch: page.Epoch}
				if a.Pages = nil; page.Next != uint64(len(page.Events)) { // it did not begin at the first one
					continue
				}
			}
			from.next = page.Next
			a.Pages = append(a.Pages, *page)
			if len(page.Events) < herd.MaxEvents {
				break
			}
		}
		return a
	})
}

// page asks one server for events from number since on.
func (f *flights) page(s config.Server, since uint64) (*herd.EventPage, error) {
	if s.Name != f.herdWide.name {
		a := ask.One[herd.EventPage](context.Background(), f.herdWide.client, s, fmt.Sprintf("/events?ring=sampled&since=%d", since))
		if a.Value == nil {
			return nil, fmt.Errorf("%s", a.Error)
		}
		return a.Value, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), herd.ConsoleAskTimeout)
	defer cancel()
	page, ok := OnLoop(ctx, f.own, func(srv *herd.Server) herd.EventPage { return srv.Events(true, since) })
	if !ok {
		return nil, fmt.Errorf("%s", stuck(herd.ConsoleAskTimeout))
	}
	return &page, nil
}

// publish keeps floods and wakes the pages. It returns false if there is none left.
func (f *flights) publish(answers []replay.Answer, floods []replay.Flood, oneOf uint64) bool {
	head := LiveFloods{Type: "floods", OneOf: oneOf}
	for i, a := range answers {
		if f.herdWide.servers[i].Console != "" {
			head.Of++
			head.Answered += min(1, len(a.Pages))
		}
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head = head
	for _, flood := range floods {
		f.keep(kept{hash: flood.Hash, until: now.Add(herd.ReplayKept), text: viewer.Text(flood).Data})
	}
	for len(f.kept) > 0 && (f.bytes > herd.ReplayBytes || !f.kept[0].until.After(now)) {
		f.bytes -= len(f.kept[0].text)
		f.kept = f.kept[1:]
	}
	for s := range f.pages {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	f.running = len(f.pages) > 0
	return f.running
}

// keep appends a flood, instead of the one with the same hash if there is one.
func (f *flights) keep(one kept) {
	for i := range f.kept {
		if f.kept[i].hash == one.hash {
			f.bytes -= len(f.kept[i].text)
			f.kept = append(f.kept[:i:i], f.kept[i+1:]...)
			break
		}
	}
	f.count++
	one.number = f.count
	f.kept, f.bytes = append(f.kept, one), f.bytes+len(one.text)
}

// after returns a message with the floods after a number, the oldest first, as many as fit, and the number of the last.
func (f *flights) after(number uint64) (m LiveFloods, last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, last = f.head, number
	m.Floods = []json.RawMessage{}
	size := 0
	for _, one := range f.kept {
		if one.number > number && size < herd.ReplayMessage {
			m.Floods = append(m.Floods, one.text)
			size, last = size+len(one.text), one.number
		}
	}
	return m, last
}

// flightsStream sends floods to one page. A page that is slow gets what is still kept when it asks again.
type flightsStream struct {
	*flights
	wake chan struct{}
	on   bool
	last uint64     // number of the last flood that was sent
	told LiveFloods // the last message, without floods
}

// Requests implements viewer.Stream.
func (*flightsStream) Requests() []string { return []string{"flights"} }

// Request implements viewer.Stream.
func (s *flightsStream) Request(r viewer.Request) {
	if r.On && !s.on {
		s.last, s.told = 0, LiveFloods{}
		s.join(s)
	} else if !r.On {
		s.leave(s)
	}
	s.on = r.On
}

// Next implements viewer.Stream.
func (s *flightsStream) Next(now time.Time) (m viewer.Message, again time.Time) {
	if !s.on {
		return m, again
	}
	floods, last := s.after(s.last)
	told := floods
	told.Floods = nil
	if floods.Type == "" || len(floods.Floods) == 0 && s.same(told) {
		return m, again
	}
	s.last, s.told = last, told
	floods.Now = now.UTC()
	return viewer.Text(floods), again
}

func (s *flightsStream) same(m LiveFloods) bool {
	return m.OneOf == s.told.OneOf && m.Answered == s.told.Answered && m.Of == s.told.Of && s.told.Type != ""
}

// Close implements viewer.Stream.
func (s *flightsStream) Close() { s.leave(s) }
