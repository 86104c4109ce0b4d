package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/console/replay"
	"serverherd/herd"
	"serverherd/herd/config"
)

// Of the other consoles one is down, one answers garbage, one is another server's and one has restarted. Floods of this
// server come all the same, to all pages, and no server is asked any more when no page wants them.
func TestFloodsOfBadConsoles(t *testing.T) {
	l, o := newServer(t, 1000)
	asked := atomic.Int64{}
	var servers []config.Server
	for name, handler := range map[string]http.HandlerFunc{
		"Down":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"HTML":  answering("<html>\x1b"),
		"Named": answering(`{"server":"Alford"}`),
		"K":     answering(`{"server":"K","epoch":"k","k":64}`),
		"Many":  answering(`{"server":"Many","events":[{"kind":"stored","hash":"0000000000000001"}` + strings.Repeat(`,{"kind":"stored","hash":"0000000000000001"}`, herd.MaxEvents) + `]}`),
		"Well": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/status.json" { // for the state of the herd
				http.NotFound(w, r)
				return
			}
			if r.URL.Path != "/events" || r.URL.Query().Get("ring") != "sampled" {
				t.Errorf("asked for %s", r.URL)
			}
			fmt.Fprintf(w, `{"server":"Well","epoch":"%d","now":"2026-01-01T00:00:00Z","events":[],"next":7}`, asked.Add(1)/3)
		},
	} {
		servers = append(servers, neighborConsole(t, name, handler))
	}
	servers = append(servers, config.Server{Name: "Silent"}, config.Server{Name: "Alford", Console: "127.0.0.1:1", Address: "Alford:1"})
	for i := range servers {
		servers[i].Address = "Alford:1"
	}
	pages := NewPages()
	t.Cleanup(pages.Close)
	o.Name, o.Config, o.Pages = "Alford", &config.Config{Servers: servers}, pages
	addr := start(t, o)
	open := func() (next func() (LiveFloods, []replay.Flood), say func(string)) {
		c, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(1 << 20)
		t.Cleanup(func() { _ = c.CloseNow() })
		say = func(text string) {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return func() (m LiveFloods, floods []replay.Flood) {
			for m.Type != "floods" {
				_, text, err := c.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(text, &m); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if strings.ContainsAny(string(text), "\x1b<>") {
					t.Errorf("hostile bytes in %.1000s", text)
				}
			}
			floods = make([]replay.Flood, len(m.Floods))
			for i := range m.Floods {
				if err := json.Unmarshal(m.Floods[i], &floods[i]); err != nil {
					t.Fatal(err)
				}
			}
			return m, floods
		}, say
	}
	next, say := open()
	if asked.Load() > 0 {
		t.Error("asked before a page wants floods")
	}
	say(`{"type":"flights","on":true}`)
	if m, floods := next(); m.OneOf != 1 || m.Answered != 2 || m.Of != 7 || len(floods) > 0 {
		t.Errorf("%+v", m)
	}
	update := func(id string) {
		l.Lock()
		defer l.Unlock()
		c := l.world.Dial("Alford:1")
		c.SendString("IAMAT " + id + " +1+1 1520023934\n")
		l.world.RunFor(0)
	}
	update("\x1b<i>")
	_, floods := next()
	if len(floods) != 1 || floods[0].ID != `\x1b<i>` || len(floods[0].Steps) != 1 || len(floods[0].Missing) != 7 {
		t.Fatalf("%+v", floods)
	}
	for _, m := range floods[0].Missing {
		want := map[string]string{"Down": "no answer", "HTML": "invalid character", "Named": "belongs to Alford", "K": "bad answer: it has K 64",
			"Many": "bad answer: it has more than 1024 events", "Well": "has no event of it", "Silent": "no console in herd.toml"}[m.Server]
		if !strings.Contains(m.Why, want) {
			t.Errorf("%+v, want %s", m, want)
		}
	}
	second, sayAsWell := open()
	sayAsWell(`{"type":"flights","on":true}`)
	if _, again := second(); len(again) != 1 || again[0].Hash != floods[0].Hash {
		t.Errorf("another page gets %+v", again)
	}
	update("pear")
	for _, next := range []func() (LiveFloods, []replay.Flood){next, second} {
		if _, floods := next(); len(floods) != 1 || floods[0].ID != "pear" {
			t.Errorf("%+v", floods)
		}
	}
}

// The events of a server that was restarted are asked for from the first one on, and what follows a full page at once.
func TestEventsOfARestartedServer(t *testing.T) {
	var asked []string
	answers := map[string]string{
		"0": `{"server":"Ball","epoch":"a","next":1024,"events":[{"kind":"stored","hash":"0000000000000001"}` +
			strings.Repeat(`,{"kind":"stored","hash":"0000000000000001"}`, herd.MaxEvents-1) + `]}`,
		"1024": `{"server":"Ball","epoch":"a","next":1025,"events":[{"kind":"stored","hash":"0000000000000002"}]}`,
		"1025": `{"server":"Ball","epoch":"b","next":2,"events":[]}`,
	}
	ball := neighborConsole(t, "Ball", func(w http.ResponseWriter, r *http.Request) {
		since := r.URL.Query().Get("since")
		asked = append(asked, since)
		if len(asked) == 4 {
			answers["0"] = `{"server":"Ball","epoch":"b","next":2,"events":[{"kind":"stored","hash":"0000000000000003"},{"kind":"stored","hash":"0000000000000004"}]}`
		}
		fmt.Fprint(w, answers[since])
	})
	f := newFlights(newHerdWide(Options{Name: "Alford", Config: &config.Config{Servers: []config.Server{ball}}}), nil)
	sources := make([]source, 1)
	for round, want := range []string{"2 pages, 0 1024", "1 pages, 0 1024 1025 0"} {
		a := f.askAll(sources)[0]
		if got := fmt.Sprintf("%d pages, %s", len(a.Pages), strings.Join(asked, " ")); got != want || a.Error != "" {
			t.Errorf("round %d: %s %s, want %s", round, got, a.Error, want)
		}
	}
}

// A flood replaces the one with its hash; those kept are bounded in number of bytes, and a message too.
func TestKeptFloods(t *testing.T) {
	f := newFlights(&herdWide{}, nil)
	s := &flightsStream{flights: f, wake: make(chan struct{}, 1), on: true}
	f.pages[s] = struct{}{}
	many := make([]replay.Flood, 3000)
	for i := range many {
		many[i].Hash, many[i].ID = fmt.Sprintf("%016x", i), strings.Repeat("x", 2000)
	}
	if !f.publish(nil, many, 8) || len(s.wake) != 1 {
		t.Error("the page is gone")
	}
	if f.bytes > herd.ReplayBytes || f.bytes < herd.ReplayBytes/2 {
		t.Errorf("%d bytes", f.bytes)
	}
	var got []string
	for number := uint64(0); ; {
		m, last := f.after(number)
		if len(m.Floods) == 0 {
			break
		}
		size := 0
		for _, one := range m.Floods {
			var flood replay.Flood
			if err := json.Unmarshal(one, &flood); err != nil {
				t.Fatal(err)
			}
			got, size = append(got, flood.Hash), size+len(one)
		}
		if number = last; size > herd.ReplayMessage+3000 {
			t.Errorf("a message of %d bytes", size)
		}
	}
	if len(got) != len(f.kept) || got[len(got)-1] != many[len(many)-1].Hash {
		t.Errorf("%d floods of %d", len(got), len(f.kept))
	}
	bytes, count, first := f.bytes, f.count, f.kept[0].hash
	f.publish(nil, many[len(many)-10:], 8)
	if m, _ := f.after(count); len(f.kept) != len(got) || f.kept[0].hash != first || len(m.Floods) != 10 {
		t.Errorf("%d floods and %d bytes, were %d and %d; %d of them new", len(f.kept), f.bytes, len(got), bytes, len(m.Floods))
	}
	s.Close()
	if f.publish(nil, nil, 1) {
		t.Error("it goes on without a page")
	}
}

// When the last page leaves, the asking ends at once. One that comes then begins it again.
func TestFlightsEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights(newHerdWide(Options{Config: &config.Config{}}), nil)
		running := func() bool {
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.running
		}
		begun := time.Now()
		for range 3 {
			one, other := &flightsStream{}, &flightsStream{}
			f.join(one)
			f.join(other)
			f.leave(one)
			if !running() {
				t.Error("it has ended while a page is there")
			}
			if f.leave(other); running() {
				t.Error("it goes on without a page")
			}
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("that took %v", took)
		}
	})
}
