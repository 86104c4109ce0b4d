package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/console/follow"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/herd/herdtest"
	"serverherd/protocol"
	"serverherd/reactor/memreactor"
)

// testLoop is a server and its loop. The test owns the server while it holds the mutex.
type testLoop struct {
	sync.Mutex
	srv   *herd.Server
	world *memreactor.World
	after func() // runs after each function on the loop, on the loop
}

func (l *testLoop) post(f func()) {
	l.Lock()
	defer l.Unlock()
	f()
	if l.after != nil {
		l.after()
	}
}

// newServer is a server without neighbors for n clients, and the address of its console.
func newServer(t testing.TB, n int) (l *testLoop, o Options) {
	t.Helper()
	cfg := &config.Config{
		Herd: config.Herd{Name: "ucla", Dialect: "paper"},
		Limits: config.Limits{MaxLine: 16384, MaxClientID: 1024, MaxConnections: 10, MaxClients: n, PlacesInFlight: 1,
			OutputHard: 64 << 20, OutputSoft: 64 << 20, MaxBuffered: 256 << 20},
		Servers: []config.Server{{Name: "Alford", Address: "Alford:1"}},
	}
	world := memreactor.NewWorld(1, memreactor.Options{})
	r := world.NewReactor("Alford")
	srv, err := herd.NewServer(herd.Options{
		Config: cfg, Name: "Alford", Reactor: r, Log: zap.NewNop(), Rand: rand.New(rand.NewPCG(1, 1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Start(r.Listen("Alford:1")); err != nil {
		t.Fatal(err)
	}
	l = &testLoop{srv: srv, world: world}
	return l, Options{Status: fixed(herd.Status{}), Do: NewLoop(l.post, srv)}
}

// apply stores a record of a client.
func apply(t testing.TB, srv *herd.Server, id string, second int) {
	t.Helper()
	r := herdtest.Record(t, fmt.Sprintf("Alford +0.263873386 %s +34.068930-118.445127 %d.918963997", id, second))
	if srv.Store().Apply(r, 7) != feed.Stored {
		t.Fatalf("%q is not stored", id)
	}
}

// hostile are ids that a terminal, a browser or a parser could take for something else.
var hostile = []string{
	"<img src=x onerror=alert(1)>", "\x00", "\x1b[31mred", "\xff\xfe", "a\"b\\c", "\u202eltr", "{\"id\":1}", "a&b=c#d%41+",
	strings.Repeat("\x01", protocol.MaxClientID), "\u2028", "../../x", "\u00a0", "é",
}

func init() {
	hostile[0] = strings.ReplaceAll(hostile[0], " ", "\u00a0") // an id has no space
}

func TestClient(t *testing.T) {
	l, o := newServer(t, 100)
	addr := start(t, o)
	for i, id := range append(hostile, "kiwi") {
		apply(t, l.srv, id, 1520023934)
		code, body := fetch(t, addr, "", "/client.json?id="+strings.ReplaceAll(url.QueryEscape(id), "+", "%20"))
		var got ClientStatus
		if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
			t.Fatalf("%q: %d %s, %v", id, code, body, err)
		}
		if string(got.Base64) != id || got.ID != protocol.Escape([]byte(id)) || got.AT != "AT Alford +0.263873386 "+got.ID+" +34.068930-118.445127 1520023934.918963997" {
			t.Errorf("%q: %+v", id, got)
		}
		if strings.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' || r == '<' || r == 0x202e }) {
			t.Errorf("%q: hostile bytes in %s", id, body)
		}
		want := Record{
			ClientID: got.ClientID, Coords: "+34.068930-118.445127", Time: "1520023934.918963997",
			Lat: 34.06893, Lng: -118.445127, Origin: "Alford", Diff: "+0.263873386",
			Seq: uint64(i + 1), Applied: got.Applied, Source: "neighbor",
		}
		a, b := fmt.Sprint(got.Record), fmt.Sprint(want)
		if a != b || got.Server != "Alford" || got.Age < 2e8 || got.Age != got.Now.Sub(time.Unix(1520023934, 918963997)).Seconds() {
			t.Errorf("%q: %s, want %s; %+v", id, a, b, got)
		}
	}
}

func TestClientErrors(t *testing.T) {
	l, o := newServer(t, 100)
	apply(t, l.srv, "kiwi", 1)
	addr := start(t, o)
	long := strings.Repeat("x", protocol.MaxClientID)
	for query, want := range map[string]int{
		"?id=kiwi": 200, "?id=kiw%69": 200,
		"?id=kiwis": 404, "?id=KIWI": 404, "?id=%1b%5b31m": 404, "?id=" + long: 404, "?id=kiwi%00": 404,
		"": 400, "?id=": 400, "?id=%20kiwi": 400, "?id=%4": 400, "?id=kiwi&id=kiwi": 400, "?id=x" + long: 400, "?ID=kiwi": 400,
	} {
		code, body := fetch(t, addr, "", "/client.json"+query)
		if code != want || (code == 200) != (errorOf(body) == "") || strings.Contains(body, "\x1b") {
			t.Errorf("%.40s: %d %s, want %d", query, code, body, want)
		}
	}
}

// export reads /clients.ndjson. It returns the marks and the records.
func export(t testing.TB, body io.Reader) (first, last ClientsMark, records []Record) {
	t.Helper()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			decode(t, lines.Bytes(), &first)
		} else if bytes.Contains(lines.Bytes(), []byte(`"id_b64"`)) {
			var r Record
			decode(t, lines.Bytes(), &r)
			records = append(records, r)
		} else {
			decode(t, lines.Bytes(), &last)
		}
	}
	return first, last, records
}

func decode(t testing.TB, line []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
}

func exported(t testing.TB, addr, query string) (first, last ClientsMark, ids []string) {
	t.Helper()
	code, body := fetch(t, addr, "", "/clients.ndjson"+query)
	if code != 200 {
		t.Fatalf("%s: %d %s", query, code, body)
	}
	first, last, records := export(t, strings.NewReader(body))
	for _, r := range records {
		ids = append(ids, string(r.Base64))
	}
	return first, last, ids
}

func TestClients(t *testing.T) {
	l, o := newServer(t, 10000)
	addr := start(t, o)
	var all []string
	for i := range 3001 { // several turns
		all = append(all, fmt.Sprintf("c%d", i))
	}
	all = append(all, hostile...)
	for _, id := range all {
		apply(t, l.srv, id, 1)
	}
	n := uint64(len(all))
	first, last, ids := exported(t, addr, "")
	if !slices.Equal(ids, all) {
		t.Errorf("%d records, want %d", len(ids), n)
	}
	epoch := l.srv.Epoch().String()
	if want := (ClientsMark{"Alford", epoch, 0, n, false}); first != want {
		t.Errorf("first line %+v, want %+v", first, want)
	}
	if want := (ClientsMark{"Alford", epoch, n, n, true}); last != want {
		t.Errorf("last line %+v, want %+v", last, want)
	}
	first, last, ids = exported(t, addr, "?after=2998&prefix=c")
	if !slices.Equal(ids, []string{"c2998", "c2999", "c3000"}) || first.After != 2998 || last.After != n || !last.Complete {
		t.Errorf("%q %+v %+v", ids, first, last)
	}
	if _, last, ids = exported(t, addr, "?prefix=%1b"); !slices.Equal(ids, []string{"\x1b[31mred"}) || !last.Complete {
		t.Errorf("%q %+v", ids, last)
	}
	if _, last, ids = exported(t, addr, fmt.Sprintf("?after=%d", n)); len(ids) != 0 || !last.Complete {
		t.Errorf("%q %+v", ids, last)
	}
	for _, query := range []string{
		"?after=-1", "?after=", "?after=x", "?after=1e3", "?after=18446744073709551616", fmt.Sprintf("?after=%d", n+1),
		"?prefix=a%20", "?prefix=%", "?prefix=" + strings.Repeat("x", 1025), "?id=kiwi", "?after=1&after=1",
	} {
		if code, body := fetch(t, addr, "", "/clients.ndjson"+query); code != 400 || errorOf(body) == "" {
			t.Errorf("%s: %d %.200s", query, code, body)
		}
	}
	empty, o := newServer(t, 1)
	first, last, ids = exported(t, start(t, o), "")
	if want := (ClientsMark{"Alford", empty.srv.Epoch().String(), 0, 0, true}); last != want || first.Complete || len(ids) != 0 {
		t.Errorf("empty: %q %+v %+v", ids, first, last)
	}
}

// Clients that come and move while the records are read: none of those that were there is missed, and all that is sent
// is in the order of the feed.
func TestClientsThatMove(t *testing.T) {
	const n = 10000
	l, o := newServer(t, 2*n)
	for i := range n {
		apply(t, l.srv, fmt.Sprintf("c%d", i), 1)
	}
	random, second, turns := rand.New(rand.NewPCG(1, 1)), 1, 0
	seconds := map[uint64]int{} // of records stored meanwhile, by their positions
	l.after = func() {
		turns++
		for range follow.TurnRecords / 4 { // fewer than a turn of the loop reads
			second++
			apply(t, l.srv, fmt.Sprintf("c%d", random.IntN(2*n)), second)
			seconds[l.srv.Store().Tail()] = second
		}
	}
	_, body := fetch(t, start(t, o), "", "/clients.ndjson")
	_, last, records := export(t, strings.NewReader(body))
	there := map[string]bool{}
	for i, r := range records {
		there[string(r.Base64)] = true
		if i > 0 && r.Seq <= records[i-1].Seq {
			t.Fatalf("position %d behind %d", r.Seq, records[i-1].Seq)
		}
		if want := fmt.Sprintf("%d.918963997", max(1, seconds[r.Seq])); r.Time != want {
			t.Fatalf("the time at position %d is %s, want %s: it was not copied", r.Seq, r.Time, want)
		}
	}
	for i := range n {
		if id := fmt.Sprintf("c%d", i); !there[id] {
			t.Errorf("%s is missed", id)
		}
	}
	if !last.Complete || turns < n/follow.TurnRecords {
		t.Errorf("%d turns, last line %+v", turns, last)
	}
}

// One turn of the loop is bounded in records and bytes, also for one that looks for a position or a prefix.
func TestATurnIsBounded(t *testing.T) {
	l, _ := newServer(t, 10000)
	for i := range 5000 {
		apply(t, l.srv, fmt.Sprintf("c%d", i), 1)
	}
	for i := range 1000 {
		apply(t, l.srv, fmt.Sprintf("%01024d", i), 1)
	}
	for _, k := range []*walk{{}, {after: 5990}, {prefix: []byte("none")}} {
		b := follow.NewBatch(follow.TurnRecords, follow.TurnBytes)
		for complete := false; !complete; {
			before := k.after
			if k.cursor != nil {
				before = k.cursor.Position()
			}
			at, size := k.next(l.srv, b), 0
			for _, one := range b.Updates {
				size += len(one.Record.Text())
			}
			if looked := at.mark.After - before; looked > follow.TurnRecords || size > follow.TurnBytes+2048 {
				t.Fatalf("%d records and %d bytes in a turn", looked, size)
			}
			complete = at.mark.Complete
		}
	}
}

// If the loop stops to answer, the response has no last line.
func TestClientsOfAStuckLoop(t *testing.T) {
	l, o := newServer(t, 10000)
	for i := range 3 * follow.TurnRecords {
		apply(t, l.srv, fmt.Sprintf("c%d", i), 1)
	}
	turns, do := 0, o.Do
	o.Do = func(ctx context.Context, f func(*herd.Server)) bool {
		if turns++; turns == 3 {
			return false
		}
		return do(ctx, f)
	}
	_, last, ids := exported(t, start(t, o), "")
	if len(ids) != 2*follow.TurnRecords || last.Complete || last.Server != "" {
		t.Errorf("%d records, last line %+v", len(ids), last)
	}
}

// However many requests there are, the loop has only some of their turns at once. One that gets no answer of the loop
// does not keep its place.
func TestClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := newServer(t, 1000)
		for i := range 3 * follow.TurnRecords {
			apply(t, l.srv, fmt.Sprintf("c%d", i), 1)
		}
		stuck, do := true, o.Do
		var turns, most atomic.Int32
		o.Do = func(ctx context.Context, f func(*herd.Server)) bool {
			if stuck {
				<-ctx.Done()
				return false
			}
			most.Store(max(most.Load(), turns.Add(1)))
			defer turns.Add(-1)
			time.Sleep(time.Millisecond)
			return do(ctx, f)
		}
		handler := New(o).Handler
		get := func(ctx context.Context) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/clients.ndjson", nil)
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		for range 2 * herd.ConsoleWalks {
			if w := get(t.Context()); w.Code != 503 {
				t.Errorf("a stuck loop: %d", w.Code)
			}
		}
		var requests sync.WaitGroup
		for range herd.ConsoleWalks {
			requests.Go(func() { get(t.Context()) })
		}
		synctest.Wait()
		gone, leave := context.WithTimeout(t.Context(), loopTimeout/2)
		defer leave()
		begun := time.Now()
		if w := get(gone); w.Code != 503 || time.Since(begun) != loopTimeout/2 {
			t.Errorf("one that left: %d after %v", w.Code, time.Since(begun))
		}
		requests.Wait()
		stuck = false
		for range 5 * herd.ConsoleWalks {
			requests.Go(func() {
				_, last, records := export(t, get(t.Context()).Body)
				if len(records) != 3*follow.TurnRecords || !last.Complete {
					t.Errorf("%d records, %+v", len(records), last)
				}
			})
		}
		requests.Wait()
		if most.Load() != herd.ConsoleWalks {
			t.Errorf("%d turns at once, want %d", most.Load(), herd.ConsoleWalks)
		}
	})
}

// BenchmarkClients is an export of a million records: the time of a turn of the loop, and of a record in all.
func BenchmarkClients(b *testing.B) {
	const n = 1_000_000
	l, o := newServer(b, n)
	for i := range n {
		apply(b, l.srv, fmt.Sprintf("client%07d.example", i), 1)
	}
	var turns []time.Duration
	o.Do = NewLoop(func(f func()) {
		begun := time.Now()
		f()
		turns = append(turns, time.Since(begun))
	}, l.srv)
	s := httptest.NewServer(New(o).Handler)
	defer s.Close()
	for b.Loop() {
		r, err := http.Get(s.URL + "/clients.ndjson")
		if err != nil {
			b.Fatal(err)
		}
		size, _ := io.Copy(io.Discard, r.Body)
		r.Body.Close()
		b.ReportMetric(float64(size)/n, "bytes/record")
	}
	slices.Sort(turns)
	b.ReportMetric(float64(turns[len(turns)/2].Nanoseconds()), "ns/turn")
	b.ReportMetric(float64(turns[len(turns)*99/100].Nanoseconds()), "ns/turn-p99")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
