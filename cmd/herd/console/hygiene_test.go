package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console/follow"
	"serverherd/cmd/herd/console/viewer"
	"serverherd/cmd/herd/hygiene"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// flushed is an answer whose request ends with the first flush, so that a stream ends.
type flushed struct {
	*httptest.ResponseRecorder
	end context.CancelFunc
}

// Flush implements http.Flusher.
func (f flushed) Flush() { f.end() }

// FuzzHygiene asks all paths of a console about hostile text: an id, a status, a reply, a request. No byte that a terminal
// or a browser interprets is in a body or a header. Paths are those of the console's own error, so none is forgotten.
// Kind chooses the request.
func FuzzHygiene(f *testing.F) {
	for _, text := range hygiene.Texts() {
		for kind := range 2 * len(requests("/", text)) {
			f.Add(text, byte(kind))
		}
	}
	const clients = 64 // that are stored: /clients.ndjson has all
	var text atomic.Pointer[string]
	var ready atomic.Bool
	l, o := newServer(f, clients)
	o.Name, o.Pages = "Alford", NewPages()
	o.Config = &config.Config{Herd: config.Herd{Dialect: "paper"}, Limits: config.Limits{MaxLine: 16384}, Servers: []config.Server{
		{Name: "Alford", Address: "127.0.0.1:1", Neighbors: []string{"Ball"}}, {Name: "Ball", Address: replying(f, &text)},
	}}
	o.Follower = NewFollower(l.srv, l.post, func(d time.Duration, run func()) { time.AfterFunc(d, func() { l.post(run) }) })
	o.Status = func(context.Context) (herd.Status, bool) { return *hostileStatus(*text.Load(), ready.Load()), true }
	f.Cleanup(func() { o.Follower.Close(); o.Pages.Close() })
	handler := New(o).Handler
	first := ""
	text.Store(&first)
	paths := consolePaths(f, handler)
	wide := newHerdWide(o)
	f.Fuzz(func(t *testing.T, s string, kind byte) {
		text.Store(&s)
		ready.Store(kind&1 != 0)
		made := make(map[string][]byte)
		if protocol.CheckClientID([]byte(s)) == nil {
			r := herdtest.Record(t, "Alford +0.263873386 "+s+" +34.068930-118.445127 1520023934.918963997")
			l.Lock()
			if l.srv.Store().Len() < clients {
				l.srv.Store().Apply(r, 7)
			}
			l.Unlock()
			u := follow.Update{Item: feed.Item{Record: r}, Source: "neighbor", Neighbor: s}
			made["/watch"] = watchLine(u, false)
			var line bytes.Buffer
			_ = view.NewJSON(&line).Encode(record(u))
			made["/clients.ndjson"] = line.Bytes()
		}
		for _, path := range paths {
			all := requests(path, s)
			r := all[int(kind>>1)%len(all)]
			checkAnswer(t, r, serveOne(handler, r), s)
		}
		// What is made of the answers of others, and messages of /ws.
		all := []ask.Status{{Server: "Alford", Status: hostileStatus(s, ready.Load())}, {Server: "Ball", Error: s}, {Server: s, Error: s}}
		herdWide := view.Of(all, all)
		made["/herd.json"], made["/ws, herd"] = wide.answer(time.Unix(1, 0), herdWide), live(o.Config.Servers, all, herdWide)
		made["/ws"] = viewer.Text(map[string]string{s: s}).Data
		for what, text := range made {
			if err := hygiene.Unescaped(text); err != nil {
				t.Errorf("%s: %q: %v", what, s, err)
			}
		}
	})
}

// hostileStatus is a status whose strings are text, but the names of herd.toml, which its check allows.
func hostileStatus(text string, ready bool) *herd.Status {
	s := &herd.Status{}
	hygiene.Fill(s, text)
	s.Ready = ready
	s.Herd, s.Server, s.Version, s.Engine, s.ConfigHash = "ucla", "Alford", "v1", "gnet", "00"
	s.Commit, s.Go = "1d89d07c0ffe", "go1.26"
	for i := range s.Links {
		s.Links[i].Neighbor = "Ball"
	}
	return s
}

// replying is a server that replies to every line with the text.
func replying(f *testing.F, text *atomic.Pointer[string]) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, "AT "+*text.Load()+"\n\n")
			c.Close()
		}
	}()
	return l.Addr().String()
}

// consolePaths are all paths of a console.
func consolePaths(f *testing.F, handler http.Handler) []string {
	answer := serveOne(handler, requested("GET", "/nothing", nil))
	_, list, ok := strings.Cut(errorOf(answer.Body.String()), "there are ")
	paths := strings.Split(list, ", ")
	if !ok || !slices.Contains(paths, "/watch") {
		f.Fatalf("paths: %s", answer.Body)
	}
	return paths
}

func requested(method, target string, body []byte) *http.Request {
	r := httptest.NewRequest(method, "http://localhost"+target, bytes.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	return r
}

// requests are requests for a path that have a text everywhere.
func requests(path, text string) (all []*http.Request) {
	for _, query := range []string{"", "?id=" + url.QueryEscape(text), "?id=kiwi&" + url.QueryEscape(text) + "=" + url.QueryEscape(text),
		"?after=" + url.QueryEscape(text), "?hash=" + url.QueryEscape(text) + "&id=kiwi", "?prefix=" + url.QueryEscape(text)} {
		all = append(all, requested("GET", path+query, nil))
	}
	bad := requested("GET", path, nil)
	bad.Host, bad.URL.Path, bad.Method = text, path+text, text
	for _, name := range []string{"Origin", "Authorization", "Cookie", "Content-Type", "Sec-Fetch-Site", "X-Forwarded-For"} {
		bad.Header.Set(name, text)
	}
	all = append(all, bad)
	for _, line := range []string{"WHATSAT " + text + " 10 5", text} {
		for _, server := range []string{"Ball", text} {
			body, err := json.Marshal(SendRequest{server, line})
			if err != nil {
				panic(err) // a struct of strings
			}
			r := requested("POST", path, body)
			r.Header.Set("Origin", "http://localhost")
			r.Header.Set("Content-Type", "application/json")
			all = append(all, r)
		}
	}
	return append(all, requested("POST", path, []byte(text)))
}

func serveOne(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	ctx, end := context.WithCancel(r.Context())
	defer end()
	w := httptest.NewRecorder()
	handler.ServeHTTP(flushed{w, end}, r.WithContext(ctx))
	return w
}

// checkAnswer looks for bytes that should be escaped. The page's own files have other characters, and nobody else's text.
func checkAnswer(t *testing.T, r *http.Request, answer *httptest.ResponseRecorder, text string) {
	t.Helper()
	body := answer.Body.String()
	kind := answer.Header().Get("Content-Type")
	for _, name := range slices.Sorted(maps.Keys(answer.Header())) {
		for _, value := range answer.Header()[name] {
			if err := hygiene.Unescaped(name + value); err != nil || strings.ContainsAny(value, "\n\t") {
				t.Errorf("%s %s: %q: header %s: %q", r.Method, r.URL.Path, text, name, value)
			}
		}
	}
	if answer.Code == http.StatusOK && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/page/")) {
		return
	}
	if err := hygiene.Unescaped(body); err != nil {
		t.Errorf("%s %s: %q: %v", r.Method, r.URL, text, err)
	}
	if strings.Contains(body, "<script") && !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("%s %s: %q: a script in %s: %.300s", r.Method, r.URL, text, kind, body)
	}
	for line := range strings.Lines(body) {
		if kind == "application/x-ndjson" && !json.Valid([]byte(line)) || strings.HasPrefix(kind, "text/plain") && strings.Contains(line, "\t") {
			t.Errorf("%s %s: %q: line %q", r.Method, r.URL, text, line)
		}
	}
	if kind == "application/json" && !json.Valid([]byte(body)) {
		t.Errorf("%s %s: %q: no JSON: %.300q", r.Method, r.URL, text, body)
	}
}
