package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// paged is a console with the page, in a bubble of virtual time. Its server is what status says.
type paged struct {
	t      *testing.T
	wire   *wire
	pages  *Pages
	asked  atomic.Int64
	mu     sync.Mutex
	status herd.Status

	// With clients:
	loop     *testLoop
	follower *Follower
}

func inPageBubble(t *testing.T, test func(p *paged)) { inPageBubbleOf(t, 0, test) }

// inPageBubbleOf is a console whose server has so many clients at most. If that is 0, it has no follower.
func inPageBubbleOf(t *testing.T, clients int, test func(p *paged)) {
	synctest.Test(t, func(t *testing.T) {
		p := &paged{t: t, wire: &wire{make(chan net.Conn), make(chan struct{})}, pages: NewPages(), status: well("Ball")}
		p.status.Epoch, p.status.Ready = "e1", true
		if clients > 0 {
			p.loop, _ = newServer(t, clients)
			p.follower = NewFollower(p.loop.srv, p.loop.post, func(d time.Duration, f func()) {
				time.AfterFunc(d, func() { p.loop.post(f) })
			})
			defer p.follower.Close()
		}
		s := New(Options{
			Do: atOnce, Status: func(context.Context) (herd.Status, bool) {
				p.asked.Add(1)
				p.mu.Lock()
				defer p.mu.Unlock()
				now := p.status
				now.Now = time.Now()
				return now, true
			},
			Config: &config.Config{Herd: config.Herd{Name: "ucla"}, Places: config.Places{Provider: "embedded"}, Servers: []config.Server{{Name: "Ball", Console: "127.0.0.1:1"}}},
			Name:   "Ball", Pages: p.pages, Follower: p.follower,
		})
		served := make(chan error)
		go func() { served <- Serve(s, p.wire) }()
		defer func() {
			p.pages.Close()
			s.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		test(p)
	})
}

// set changes how many records the server has.
func (p *paged) set(records uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Records = records
}

func (p *paged) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.wire.conns <- wired{server}
	b := &buffered{Conn: client, come: make(chan []byte, 64)}
	go b.fill()
	return b, nil
}

// buffered is a connection that takes a few messages that nobody has read, as a kernel does.
type buffered struct {
	net.Conn
	come chan []byte
	rest []byte
}

func (b *buffered) fill() {
	defer close(b.come)
	for {
		text := make([]byte, 4096)
		n, err := b.Conn.Read(text)
		if err != nil {
			return
		}
		b.come <- text[:n]
	}
}

func (b *buffered) Read(text []byte) (int, error) {
	for len(b.rest) == 0 {
		var ok bool
		if b.rest, ok = <-b.come; !ok {
			return 0, io.EOF
		}
	}
	n := copy(text, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// socket is a page's connection.
type socket struct {
	t *testing.T
	*websocket.Conn
}

// open connects and reads the hello.
func (p *paged) open() socket {
	p.t.Helper()
	c, _, err := websocket.Dial(p.t.Context(), "ws://localhost/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: p.dial}},
		HTTPHeader: http.Header{"Origin": {"http://localhost"}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	c.SetReadLimit(herd.DotsMessage)
	s := socket{p.t, c}
	var h LiveHello
	s.next("hello", &h)
	want := LiveHello{"hello", viewer.Protocol, p.pages.files.Version(), "ucla", "Ball", "e1", "embedded", []LiveTopology{{"Ball", true, []string{}}}, ""}
	if !reflect.DeepEqual(h, want) {
		p.t.Errorf("%+v, want %+v", h, want)
	}
	return s
}

// next reads the next message, which must be of a type, into m, unless m is nil.
func (s socket) next(kind string, m any) {
	s.t.Helper()
	how, text, err := s.Read(s.t.Context())
	if err != nil || how != websocket.MessageText {
		s.t.Fatalf("no %s: %v", kind, err)
	}
	var got struct{ Type string }
	if err := json.Unmarshal(text, &got); err != nil || got.Type != kind {
		s.t.Fatalf("%s, want %s: %v", text, kind, err)
	}
	if m != nil {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(m); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

// closes reads to the end and returns the code.
func (s socket) closes() websocket.StatusCode {
	for {
		if _, _, err := s.Read(s.t.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// request sends a request with headers and returns the answer.
func (p *paged) request(path string, header ...string) (int, string) {
	p.t.Helper()
	c, _ := p.dial(p.t.Context(), "", "")
	defer c.Close()
	go fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost:11600\r\n%s\r\n", path, strings.Join(header, ""))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

// A state is sent at once and when it has changed, and otherwise a sign of life. Nobody asks when nobody looks.
func TestWS(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		s := p.open()
		var m LiveHerd
		s.next("herd", &m)
		if len(m.Servers) != 1 || m.Answered != 1 || m.Of != 1 || *m.Servers[0].Records != 0 || m.Servers[0].State != "ready" || m.Servers[0].Lines != nil {
			t.Errorf("%+v", m)
		}
		begun := time.Now()
		m = LiveHerd{}
		s.next("herd", &m) // now there is a rate
		if m.Servers[0].Lines == nil || *m.Servers[0].Lines != 0 || time.Since(begun) != herd.ConsoleHerdPause {
			t.Errorf("after %v: %+v", time.Since(begun), m)
		}
		begun = time.Now()
		for range 3 {
			s.next("idle", nil)
		}
		if waited := time.Since(begun); waited < 3*herd.WatchHeartbeat || waited > 3*(herd.WatchHeartbeat+herd.ConsoleHerdPause) {
			t.Errorf("three signs of life in %v", waited)
		}
		begun = time.Now()
		p.set(7)
		m = LiveHerd{}
		if s.next("herd", &m); *m.Servers[0].Records != 7 || time.Since(begun) > herd.ConsoleHerdPause {
			t.Errorf("after %v: %+v", time.Since(begun), m)
		}
		s.Close(websocket.StatusNormalClosure, "")
		time.Sleep(time.Second)
		before := p.asked.Load()
		time.Sleep(time.Minute)
		if n := p.asked.Load() - before; n > 0 {
			t.Errorf("asked %d times, and nobody looks", n)
		}
	})
}

// Who may not connect gets an error in JSON.
func TestWSRefused(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		upgrade := []string{"Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"}
		for _, test := range []struct {
			origin string
			code   int
		}{
			{"", 101},
			{"Origin: http://localhost:11600\r\n", 101},
			{"Origin: http://LOCALHOST:11600\r\n", 101},
			{"Origin: http://localhost:11601\r\n", 403},
			{"Origin: http://localhost\r\n", 403},
			{"Origin: http://localhost:11600.evil.example\r\n", 403},
			{"Origin: http://evil.example\r\n", 403},
			{"Origin: null\r\n", 403},
			{"Origin: \r\n", 403},
			{"Origin: http://localhost:11600\r\nOrigin: http://evil.example\r\n", 403},
			{"Origin: ://\r\n", 403},
		} {
			code, body := p.request("/ws", append([]string{test.origin}, upgrade...)...)
			if code != test.code || code == 403 && errorOf(body) == "" {
				t.Errorf("%q: %d %s", test.origin, code, body)
			}
		}
		if code, body := p.request("/ws"); code != 426 || errorOf(body) == "" {
			t.Errorf("no WebSocket: %d %s", code, body)
		}
		p.pages.Close()
		if code, body := p.request("/ws", upgrade...); code != 503 || errorOf(body) == "" {
			t.Errorf("at the end: %d %s", code, body)
		}
		if code, body := p.request("/"); code != 200 || !strings.HasPrefix(body, "<!doctype html>") {
			t.Errorf("/: %d %.100s", code, body)
		}
	})
}

// A page that takes nothing is disconnected, and the server has forgotten it.
func TestWSThatIsNotRead(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		s := p.open()
		s.next("herd", nil)
		begun := time.Now()
		p.pages.open.Wait() // for nobody but this test: no page opens
		if waited := time.Since(begun); waited < herd.ConsoleStall || waited > herd.ConsoleStall+herd.ConsoleHerdPause {
			t.Errorf("disconnected after %v", waited)
		}
		s.CloseNow()
	})
}

// Nothing new is sent to a page that has not got the message before: it gets the newest state then.
func TestWSThatIsSlow(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		s := p.open()
		s.next("herd", nil)
		s.next("herd", nil)
		last, messages := uint64(0), 0
		for begun := time.Now(); time.Since(begun) < time.Minute; messages++ {
			for range 5 {
				last++
				p.set(last)
				time.Sleep(time.Second)
			}
			var m LiveHerd
			if s.next("herd", &m); last-*m.Servers[0].Records > 5 {
				t.Errorf("%d records of %d: an old state", *m.Servers[0].Records, last)
			}
		}
		if messages != 12 {
			t.Errorf("%d messages in a minute", messages)
		}
		s.CloseNow()
	})
}

// 200 pages cost as many questions as one. They are told when the server stops, and those that do not listen do not
// keep it.
func TestManyWS(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		const n = 200
		var all []socket
		for range n {
			all = append(all, p.open())
		}
		p.asked.Store(0)
		var group sync.WaitGroup
		var states, going atomic.Int64
		for _, s := range all {
			group.Go(func() {
				for {
					_, text, err := s.Read(p.t.Context())
					switch {
					case err != nil:
						if websocket.CloseStatus(err) == websocket.StatusGoingAway {
							going.Add(1)
						}
						return
					case strings.Contains(string(text), `"herd"`):
						states.Add(1)
					}
				}
			})
		}
		time.Sleep(herd.ConsoleHerdPause / 2) // between two rounds of questions
		for i := range uint64(20) {
			time.Sleep(herd.ConsoleHerdPause)
			p.set(i + 1)
		}
		if n := p.asked.Load(); n > 22 {
			t.Errorf("asked %d times in 10 s", n)
		}
		if got := states.Load(); got < 19*n || got > 23*n {
			t.Errorf("%d states for %d pages", got, n)
		}
		deaf := p.open()
		begun := time.Now()
		p.pages.Close()
		if waited := time.Since(begun); waited > herd.ConsoleClose {
			t.Errorf("closed after %v", waited)
		}
		group.Wait()
		if got := going.Load(); got != n {
			t.Errorf("%d of %d pages were told", got, n)
		}
		deaf.CloseNow()
	})
}

// There is a limit of pages.
func TestTooManyWS(t *testing.T) {
	inPageBubble(t, func(p *paged) {
		var all []socket
		for range herd.ConsoleStreams {
			s := p.open()
			go s.closes()
			all = append(all, s)
		}
		if code, body := p.request("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"); code != 503 || errorOf(body) == "" {
			t.Errorf("one more: %d %s", code, body)
		}
		if code, _ := p.request("/healthz"); code != 200 {
			t.Errorf("/healthz: %d", code)
		}
		for _, s := range all {
			s.CloseNow()
		}
		time.Sleep(time.Second)
		s := p.open() // their places are free again
		s.CloseNow()
	})
}

// What a message says about each kind of answer.
func TestLive(t *testing.T) {
	servers := []config.Server{
		{Name: "A", Console: "a", Neighbors: []string{"B"}}, {Name: "B", Console: "b", Neighbors: []string{"A"}},
		{Name: "C", Console: "c"}, {Name: "D"},
	}
	now := time.Now()
	a := well("A")
	a.Epoch, a.Ready, a.Now, a.Records, a.Connections = "e", true, now, 9, 3
	a.Links = []herd.LinkStatus{{Neighbor: "B", State: "live", TLS: true, ATSent: 100}}
	a.Counters.LinesReceived = 1000
	a.Loop.Lags[4] = 1000
	b := well("B")
	b.Waiting, b.Now = "records of A", now
	b.Links = []herd.LinkStatus{{Neighbor: "A", State: "copying"}}
	before := a
	before.Now = now.Add(-2 * time.Second)
	before.Links = []herd.LinkStatus{{Neighbor: "B", State: "live", ATSent: 90}}
	before.Counters.LinesReceived = 700
	before.Loop.Lags = [32]uint64{4: 900}
	rest := []ask.Status{{Server: "B", Status: &b}, {Server: "C", Error: "no answer at c"}, {Server: "D", NoConsole: true, Error: "no console in herd.toml"}}
	message := func(old *herd.Status) (m LiveHerd) {
		var was []ask.Status
		if old != nil {
			was = []ask.Status{{Server: "A", Status: old}}
		}
		if err := json.Unmarshal(live(servers, was, view.Of(was, append([]ask.Status{{Server: "A", Status: &a}}, rest...))), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := message(&before)
	var states []string
	for _, s := range m.Servers {
		states = append(states, fmt.Sprint(s.Name, " ", s.State, " ", s.Level, " ", s.Text, "; ", s.Detail))
	}
	want := []string{"A ready unknown not compared; ", "B starting unknown not compared; records of A", "C down bad no answer; no answer at c",
		"D hidden unknown no console in herd.toml; "}
	if !reflect.DeepEqual(states, want) {
		t.Errorf("%q, want %q", states, want)
	}
	if s := m.Servers[0]; *s.Records != 9 || *s.Connections != 3 || *s.Lines != 150 || *s.Lag != 16e-6 {
		t.Errorf("%+v: %v lines/s, lag %v", s, *s.Lines, *s.Lag)
	}
	if l := m.Links[0]; len(m.Links) != 2 || l.From != "A" || l.To != "B" || l.Text != "live" || l.Level != "good" || *l.Rate != 5 || !l.TLS {
		t.Errorf("%+v", m.Links)
	}
	if l := m.Links[1]; l.Text != "copying" || l.Level != "notice" || l.Rate != nil || l.TLS {
		t.Errorf("%+v", l)
	}
	for what, change := range map[string]func(old *herd.Status){
		"another process": func(old *herd.Status) { old.Epoch = "f" },
		"too old":         func(old *herd.Status) { old.Now = now.Add(-rateAge - 1) },
		"no time between": func(old *herd.Status) { old.Now = now },
		"of the future":   func(old *herd.Status) { old.Now = now.Add(1) },
		"counters went back": func(old *herd.Status) {
			old.Counters.LinesReceived, old.Loop.Lags[3] = 1001, 1
			old.Links = []herd.LinkStatus{{Neighbor: "B", ATSent: 101}}
		},
	} {
		old := before
		change(&old)
		if m := message(&old); m.Servers[0].Lines != nil || m.Servers[0].Lag != nil || m.Links[0].Rate != nil {
			t.Errorf("%s: a rate: %+v", what, m)
		}
	}
	if m := message(nil); m.Servers[0].Lines != nil {
		t.Error("a rate of one answer")
	}
	// The same answers are the same bytes, whenever they are.
	later := a
	later.Now = now.Add(time.Hour)
	one := live(servers, nil, view.Of(nil, append([]ask.Status{{Server: "A", Status: &a}}, rest...)))
	if two := live(servers, nil, view.Of(nil, append([]ask.Status{{Server: "A", Status: &later}}, rest...))); string(one) != string(two) {
		t.Errorf("%s\n%s", one, two)
	}
}

// What others answer makes no message long.
func TestLiveIsShort(t *testing.T) {
	long := strings.Repeat("é<\x00", 50)
	a := well("A")
	a.Waiting, a.Version, a.Engine, a.Log.Error = long, long, long, long
	for i := range 2000 { // together 1 MiB, as much as an answer may have
		a.Links = append(a.Links, herd.LinkStatus{Neighbor: fmt.Sprint(i), State: long, Error: long})
	}
	servers := []config.Server{{Name: "A", Neighbors: []string{"7", "8"}}, {Name: "B"}}
	text := live(servers, nil, view.Of(nil, []ask.Status{{Server: "A", Status: &a}, {Server: "B", Error: long + long}}))
	var m LiveHerd
	if err := json.Unmarshal(text, &m); err != nil || len(text) > 200_000 || len(m.Problems) != herd.PageLines+1 {
		t.Errorf("%d bytes, %d problems: %v", len(text), len(m.Problems), err)
	}
	if last := m.Problems[herd.PageLines].Text; !strings.HasPrefix(last, "and ") || !strings.HasSuffix(last, " more") {
		t.Error(last)
	}
	if d := m.Servers[1].Detail; len(d) > herd.PageText || !strings.HasSuffix(d, "...") || strings.Contains(d, "\ufffd") {
		t.Errorf("%d bytes: %q", len(d), d)
	}
}

// What a box of the drawing says fits into it.
func TestFewWords(t *testing.T) {
	for text, want := range map[string]string{
		"a neighbor is 1,052 behind": "neighbor behind",
		"a neighbor is full":         "neighbor full",
		"catching up (1,052 behind)": "1,052 behind",
		view.UnderWay.Text:           "under way",
		"in sync":                    "in sync",
		"diverged since 20:59:07":    "diverged 20:59:07",
	} {
		if got := fewWords(view.Text{Text: text}); got != want || len(got) > 18 {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
