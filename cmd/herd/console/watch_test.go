package console

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/herd"
	"serverherd/protocol"
)

// wire is a listener with connections in memory, so that a console and its clients are in one synctest bubble.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *wire) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *wire) Close() error {
	close(l.closed)
	return nil
}

func (l *wire) Addr() net.Addr { return loopback{} }

// loopback is the address of a connection in memory.
type loopback struct{}

func (loopback) Network() string { return "tcp" }
func (loopback) String() string  { return "127.0.0.1:1" }

type wired struct{ net.Conn }

func (wired) RemoteAddr() net.Addr { return loopback{} }

// watched is a console with a server, in a bubble of virtual time.
type watched struct {
	t        *testing.T
	loop     *testLoop
	wire     *wire
	follower *Follower
	reads    *atomic.Int64 // calls of the follower on the loop, later
	close    func()        // as a server that stops does
}

// nobody checks that the loop does nothing for watchers any more.
func (w *watched) nobody() {
	w.t.Helper()
	time.Sleep(time.Second) // those that are due
	before := w.reads.Load()
	time.Sleep(time.Minute)
	if n := w.reads.Load() - before; n > 0 {
		w.t.Errorf("%d reads in a minute, and nobody watches", n)
	}
}

// inBubble runs a test with a console. All goroutines must have ended behind it.
func inBubble(t *testing.T, clients int, test func(w *watched)) {
	synctest.Test(t, func(t *testing.T) {
		l, o := newServer(t, clients)
		var reads atomic.Int64
		later := func(d time.Duration, f func()) {
			reads.Add(1)
			time.AfterFunc(d, func() { l.post(f) })
		}
		w := &watched{
			t: t, loop: l, wire: &wire{make(chan net.Conn), make(chan struct{})},
			follower: NewFollower(l.srv, l.post, later), reads: &reads,
		}
		o.Follower = w.follower
		s := New(o)
		w.close = func() {
			w.follower.Close()
			Close(s)
		}
		served := make(chan error)
		go func() { served <- Serve(s, w.wire) }()
		defer func() {
			w.close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		test(w)
	})
}

// move makes clients move, each once.
func (w *watched) move(second int, clients ...string) {
	w.loop.Lock()
	defer w.loop.Unlock()
	w.loop.srv.Store().SetTime(time.Now())
	for _, id := range clients {
		apply(w.t, w.loop.srv, id, second)
	}
}

// stream is a request for /watch, and its answer.
type watchStream struct {
	t     *testing.T
	conn  net.Conn
	code  int
	lines *bufio.Reader
}

// get requests a path.
func (w *watched) get(path string) *watchStream {
	w.t.Helper()
	client, server := net.Pipe()
	w.wire.conns <- wired{server}
	fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	r, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &watchStream{w.t, client, r.StatusCode, bufio.NewReader(r.Body)}
}

// open requests /watch and reads the first line.
func (w *watched) open(query string) *watchStream {
	w.t.Helper()
	s := w.get("/watch" + query)
	if line := s.line(); s.code != 200 || line.Server != "Alford" || line.Epoch != w.loop.srv.Epoch().String() {
		w.t.Fatalf("%d %+v", s.code, line)
	}
	return s
}

func (s *watchStream) line() (l WatchLine) {
	s.t.Helper()
	text, err := s.lines.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("%q, %v", text, err)
	}
	if err := json.Unmarshal(text, &l); err != nil {
		s.t.Fatalf("%q: %v", text, err)
	}
	return l
}

// update reads lines up to an update.
func (s *watchStream) update() Record {
	s.t.Helper()
	for {
		if l := s.line(); l.Record != nil {
			return *l.Record
		}
	}
}

// One client: the record that was there, updates, and in between a sign of life, for longer than any timeout of the
// console.
func TestWatch(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		w.move(1520023934, "kiwi", "puma")
		s := w.open("?id=kiwi")
		if l := s.line(); l.Record == nil || l.Seq != 1 || !l.Present || l.Took != nil || l.ID != "kiwi" {
			t.Errorf("%+v %+v", l, l.Record)
		}
		begun := time.Now()
		for n := 0; time.Since(begun) < 2*time.Minute; n++ {
			if l := s.line(); l != (WatchLine{}) {
				t.Errorf("%+v", l)
			} else if waited := time.Since(begun); waited != time.Duration(n+1)*herd.WatchHeartbeat {
				t.Errorf("sign of life %d after %v", n, waited)
			}
		}
		w.move(1520023999, "puma", "kiwi")
		now := time.Now()
		l := s.line()
		if l.AT != "AT Alford +0.263873386 kiwi +34.068930-118.445127 1520023999.918963997" || l.Seq != 4 || l.Present ||
			l.Source != "neighbor" || !l.Applied.Equal(now) || *l.Took != now.Sub(time.Unix(1520024000, 182837383)).Seconds() {
			t.Errorf("%+v %+v", l, l.Record)
		}
		s.conn.Close()
	})
}

// All clients, from now on.
func TestWatchAll(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		w.move(1, "a", "b")
		s := w.open("")
		w.move(2, "c", "a")
		if a, b := s.line(), s.line(); a.ID != "c" || b.ID != "a" || a.Present || b.Seq != 4 {
			t.Errorf("%+v %+v", a.Record, b.Record)
		}
		s.conn.Close()
	})
}

func TestWatchErrors(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		for _, query := range []string{"?id=", "?id=a%20b", "?ID=a", "?id=a&id=b", "?id=%zz", "?id=" + strings.Repeat("x", protocol.MaxClientID+1)} {
			s := w.get("/watch" + query)
			var e struct{ Error string }
			if err := json.NewDecoder(s.lines).Decode(&e); s.code != 400 || err != nil || e.Error == "" {
				t.Errorf("%.20s: %d %v %q", query, s.code, err, e.Error)
			}
			s.conn.Close()
		}
		w.follower.Close()
		s := w.get("/watch")
		if body, err := s.lines.ReadString('\n'); s.code != 503 || err != nil || body != "{\"error\":\"the server is stopping\"}\n" {
			t.Errorf("%d %q %v", s.code, body, err)
		}
		s.conn.Close()
	})
}

// A console without a follower has no such path.
func TestNoFollower(t *testing.T) {
	_, o := newServer(t, 10)
	if code, _ := fetch(t, start(t, o), "", "/watch"); code != 404 {
		t.Error(code)
	}
}

// Ids are any bytes but white space. They come as they are, and escaped.
func TestWatchHostileIDs(t *testing.T) {
	inBubble(t, 1000, func(w *watched) {
		all := w.open("")
		sent := append([]string{}, hostile...)
		for b := range 256 {
			if id := string([]byte{'x', byte(b)}); protocol.CheckClientID([]byte(id)) == nil {
				sent = append(sent, id)
			}
		}
		if len(sent) < 250 {
			t.Fatalf("%d ids", len(sent))
		}
		for _, id := range sent {
			escaped := strings.ReplaceAll(url.QueryEscape(id), "+", "%20")
			one := w.open("?id=" + escaped)
			w.move(1, id)
			for _, s := range []*watchStream{one, all} {
				text, err := s.lines.ReadBytes('\n')
				var l WatchLine
				if err != nil || json.Unmarshal(text, &l) != nil || l.Record == nil {
					t.Fatalf("%q: %q, %v", id, text, err)
				}
				if string(l.Base64) != id || !strings.Contains(l.AT, " "+l.ID+" ") {
					t.Errorf("%q came as %q, %q", id, l.Base64, l.AT)
				}
				for _, text := range []string{l.ID, l.AT, strings.TrimSuffix(string(text), "\n")} {
					if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e || r == 0xfffd }) {
						t.Errorf("%q is not escaped: %q", id, text)
					}
				}
			}
			one.conn.Close()
		}
		all.conn.Close()
	})
}

// A reader that takes nothing is closed, and the server has forgotten it.
func TestWatchThatIsNotRead(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		w.move(1, "kiwi")
		for _, query := range []string{"", "?id=kiwi"} {
			s := w.open(query)
			begun := time.Now()
			for time.Since(begun) < herd.ConsoleStall+2*herd.WatchHeartbeat {
				w.move(int(time.Now().Unix()), "kiwi")
				time.Sleep(time.Second)
			}
			rest, err := io.ReadAll(s.lines)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %q, %v", query, rest, err)
			}
			w.nobody()
		}
	})
}

// One that reads slowly is told so, and gets the newest.
func TestWatchThatIsSlow(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		second := 0
		for _, query := range []string{"", "?id=kiwi"} {
			s := w.open(query)
			const n = 50
			var last uint64
			for range n {
				second++
				w.move(second, "kiwi")
				time.Sleep(100 * time.Millisecond)
			}
			w.loop.Lock()
			last = w.loop.srv.Store().Tail()
			w.loop.Unlock()
			lines, behind := 0, uint64(0)
			for {
				l := s.line()
				behind += l.Behind
				if l.Record != nil {
					lines++
					if l.Seq == last {
						break
					}
				}
			}
			if lines > 5 || behind < n-5 || behind > n {
				t.Errorf("%s: %d lines, behind %d of %d", query, lines, behind, n)
			}
			s.conn.Close()
		}
	})
}

// 300 watchers at once, and the limit.
func TestManyWatch(t *testing.T) {
	inBubble(t, 1000, func(w *watched) {
		for round := range 3 {
			var all []*watchStream
			for i := range 300 {
				query := fmt.Sprintf("?id=client%d", i%100)
				if i%10 == 0 {
					query = ""
				}
				all = append(all, w.open(query))
			}
			for i := range 100 {
				w.move(round+1, fmt.Sprint("client", i))
			}
			for i, s := range all {
				if l := s.update(); i%10 > 0 && l.ID != fmt.Sprint("client", i%100) {
					t.Errorf("watcher %d got %s", i, l.ID)
				}
				s.conn.Close()
			}
			w.nobody()
		}
		var all []*watchStream
		for range herd.ConsoleStreams {
			all = append(all, w.open(""))
		}
		one := w.get("/watch")
		if one.code != 503 {
			t.Errorf("one more: %d", one.code)
		}
		for _, s := range append(all, one) {
			s.conn.Close()
		}
	})
}

// 10,000 clients come while all are watched. Everyone who reads gets them all.
func TestWatchManyClients(t *testing.T) {
	const n = 10_000
	inBubble(t, n, func(w *watched) {
		s := w.open("")
		got := make(chan int)
		go func() {
			known := map[string]bool{}
			for len(known) < n {
				known[s.update().ID] = true
			}
			got <- len(known)
		}()
		for i := range n {
			w.move(i/100+1, fmt.Sprint("client", i))
			if i%50 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		if n := <-got; n != 10_000 {
			t.Error(n)
		}
		s.conn.Close()
	})
}

// When the server ends, a stream ends in good order, behind what had come.
func TestWatchEnds(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		one, all := w.open("?id=kiwi"), w.open("")
		w.move(1, "kiwi")
		time.Sleep(herd.FollowPause)
		synctest.Wait()
		go w.follower.Close()
		for _, s := range []*watchStream{one, all} {
			if l := s.update(); l.ID != "kiwi" {
				t.Errorf("%+v", l)
			}
			if rest, err := io.ReadAll(s.lines); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v", rest, err)
			}
			s.conn.Close()
		}
	})
}

// A server that stops waits for a stream to end, but not for one whose reader takes nothing.
func TestCloseIsBounded(t *testing.T) {
	inBubble(t, 10, func(w *watched) {
		stalled, read := w.open(""), w.open("")
		w.move(1, "kiwi")
		read.update()
		begun, closed := time.Now(), make(chan time.Duration)
		go func() {
			w.close()
			closed <- time.Since(begun)
		}()
		if text, err := io.ReadAll(read.lines); err != nil {
			t.Errorf("%q, %v", text, err)
		}
		if took := <-closed; took != herd.ConsoleClose {
			t.Errorf("closed within %v", took)
		}
		if text, err := io.ReadAll(stalled.lines); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the stalled one has %q, %v", text, err)
		}
	})
}
