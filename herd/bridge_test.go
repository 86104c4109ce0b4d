package herd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/config"
	"serverherd/herd/herdtest"
	"serverherd/reactor/memreactor"
)

// memBucket is a Bucket in virtual time with one session, which passes each entry once.
type memBucket struct {
	net      *memreactor.World
	mode     BucketMode
	rank     int
	err      error // of Open
	broken   error // that ends the session, delay after Publish
	full     bool
	stalled  bool          // Publish is not answered
	delay    time.Duration // of its answer
	held     bool          // reading is not complete, see release
	values   map[string]string
	revision uint64
	puts     []string
	largest  int // most records of a batch
	bytes    int // most bytes of one
	reader   BucketReader
	pending  []BucketEntry // not passed yet
	asked    bool
	opened   int
}

func (m *memBucket) Open(r BucketReader) BucketSession {
	m.opened++
	m.reader = r
	m.net.At(time.Millisecond, func() {
		if m.err != nil {
			r.Ended(m.err)
			return
		}
		if m.held {
			return
		}
		entries := m.pending
		m.pending = nil
		r.Entries(entries, true)
	})
	return m
}

// release lets a session that is held read all entries.
func (m *memBucket) release() {
	m.held = false
	entries := m.pending
	m.pending = nil
	m.net.At(time.Millisecond, func() { m.reader.Entries(entries, true) })
}

func newMemBucket(w *world) *memBucket {
	return &memBucket{net: w.net, mode: BucketShare, values: map[string]string{}}
}

func (m *memBucket) Close() {}

func (m *memBucket) Next() {
	m.asked = true
	m.pass()
}

// pass passes one pending entry.
func (m *memBucket) pass() {
	if m.asked && len(m.pending) > 0 {
		m.asked = false
		e := m.pending[:1]
		m.pending = m.pending[1:]
		m.net.At(time.Millisecond, func() { m.reader.Entries(e, false) })
	}
}

// add has somebody else put an entry, or shows it as one of this session.
func (m *memBucket) add(client, value string) { m.addEntry(client, value, false) }

func (m *memBucket) addEntry(client, value string, own bool) {
	m.revision++
	m.values[client] = value
	m.pending = append(m.pending,
		BucketEntry{Client: []byte(client), Value: []byte(value), Revision: m.revision, Own: own})
	m.pass()
}

func (m *memBucket) Publish(puts []BucketPut, done func([]BucketResult)) {
	if err := m.broken; err != nil {
		m.net.At(m.delay, func() { m.reader.Ended(err) })
		return
	}
	m.largest = max(m.largest, len(puts))
	results := make([]BucketResult, len(puts))
	bytes := 0
	defer func() { m.bytes = max(m.bytes, bytes) }()
	for i, p := range puts {
		bytes += len(p.Record.Text())
		client, value := string(p.Record.Client()), string(p.Record.AppendAT(nil))
		if m.full && m.values[client] == "" {
			results[i] = BucketRefused
			continue
		}
		m.revision++
		m.values[client] = value
		m.puts = append(m.puts, value)
	}
	if !m.stalled {
		m.net.At(max(m.delay, time.Millisecond), func() { done(results) })
	}
}

// bridged is a server without neighbors, with a bridge, and its log.
func bridged(t *testing.T, change func(*memBucket)) (*world, *memBucket, *Server, *observer.ObservedLogs) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.MaxClients = 100_000
	w := newWorld(t, cfg)
	m := newMemBucket(w)
	w.buckets = map[string]*memBucket{"Alford": m}
	if change != nil {
		change(m)
	}
	srv, logs := w.logged(func(*Options) {})
	return w, m, srv, logs
}

// logged starts Alford and returns it with its log.
func (w *world) logged(change func(*Options)) (*Server, *observer.ObservedLogs) {
	r := w.net.NewReactor("Alford")
	o := w.options("Alford", r, w.journals["Alford"])
	core, logs := observer.New(zap.InfoLevel)
	o.Log = zap.New(core)
	change(&o)
	srv, err := NewServer(o)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := srv.Start(r.Listen("Alford:1")); err != nil {
		w.t.Fatal(err)
	}
	w.reactors["Alford"], w.servers["Alford"] = r, srv
	return srv, logs
}

// What is no record of its client is not stored, and is replaced by the server's record if it has one.
func TestBridgeInvalidEntries(t *testing.T) {
	w, m, srv, _ := bridged(t, nil)
	long := strings.Repeat("\xff", 1024)
	w.iamat("Alford", "known", stamp)
	w.iamat("Alford", long, stamp)
	w.until("published", func() bool { return len(m.values) == 2 })
	at := func(client string, time int64) string { return fmt.Sprintf("AT Ball +0.1 %s +1+1 %d", client, time) }
	far := w.net.Now().Add(24 * time.Hour).Unix()
	for _, value := range []string{
		"", "garbage", at("other", stamp+1), at("known", far), at("known", stamp+1) + " Ball", strings.Repeat("x", 1<<20),
		"AT Ball +0.1 known +91+1 1", "MARK 1 1 - 0 0000000000000000", "AT Ball +0.1 known +1+1 5\r\n?",
	} {
		for _, client := range []string{"known", "unknown", long} {
			before := m.values[client]
			m.add(client, value)
			w.net.RunFor(time.Second)
			if got := m.values[client]; client != "unknown" && got != before || client == "unknown" && got != value {
				t.Errorf("%.40q of %.10q became %.40q", value, client, got)
			}
		}
	}
	if st := srv.Status(); st.Records != 2 || st.Bridge.Invalid != 3*8 || st.Bridge.Cures != 2*9 || st.Bridge.State != BridgeLive {
		t.Errorf("%d records, %+v", st.Records, st.Bridge)
	}
}

// A record that another herd's clock allows is neither stored nor replaced: that herd would put it back.
func TestBridgeFuture(t *testing.T) {
	w, m, srv, _ := bridged(t, nil)
	w.iamat("Alford", "kiwi", stamp)
	soon := fmt.Sprintf("AT Ball +0.1 kiwi +1+1 %d", w.net.Now().Add(90*time.Minute).Unix())
	m.add("kiwi", soon)
	w.net.RunFor(time.Minute)
	if st := srv.Status(); st.Bridge.Future != 1 || st.Bridge.Cures != 0 || st.Bridge.Applied != 0 || m.values["kiwi"] != soon {
		t.Errorf("%+v, the bucket has %q", st.Bridge, m.values["kiwi"])
	}
}

// Without a bucket the server serves on and logs that once; then everything is published.
func TestBridgeDown(t *testing.T) {
	w, m, srv, logs := bridged(t, func(m *memBucket) { m.err = errors.New("no servers available for connection") })
	w.updates("Alford", 0, 500, stamp)
	w.net.RunFor(time.Minute)
	st := srv.Status()
	if st.Bridge.State != BridgeDown || st.Bridge.Error != m.err.Error() || st.Bridge.Behind != 500 || !st.Ready {
		t.Errorf("ready %v, %+v", st.Ready, st.Bridge)
	}
	if m.opened < 10 || m.opened > 50 {
		t.Errorf("%d sessions in a minute", m.opened)
	}
	m.err = nil
	m.add("c7", fmt.Sprintf("AT Ball +0.1 c7 +1+1 %d", stamp+1))
	w.until("all published", func() bool { return len(m.values) == 500 && srv.Status().Bridge.Behind == 0 })
	if n := len(m.puts); n != 499 {
		t.Errorf("%d puts, want all but the one that the bucket had", n)
	}
	if item, _ := srv.store.Lookup([]byte("c7")); string(item.Record.Origin()) != "Ball" {
		t.Errorf("the server has %q", item.Record.Text())
	}
	w.net.RunFor(bridgeQuiet + time.Second)
	wantOutages(t, logs, 1, 1)
	if st := srv.Status().Bridge; st.Error != "" {
		t.Errorf("%+v", st)
	}
}

// wantOutages checks how often it was logged that the bridge is down, and that it has recovered.
func wantOutages(t *testing.T, logs *observer.ObservedLogs, down, up int) {
	t.Helper()
	d, u := logs.FilterMessage("bridge down").Len(), logs.FilterMessage("bridge recovered").Len()
	if d != down || u != up {
		t.Errorf("logged %d times that it is down, %d times that it recovered, want %d and %d", d, u, down, up)
	}
}

// A bucket that can be read but not written, as without the permission to publish or without ACKs, is one outage, and is
// tried no more often than one that is absent.
func TestBridgeCannotPublish(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			w, m, srv, logs := bridged(t, func(m *memBucket) {
				m.broken, m.delay = errors.New("no permission to publish"), after
			})
			w.updates("Alford", 0, 10, stamp)
			w.until("it has failed", func() bool { return srv.Status().Bridge.Error != "" })
			for range 300 {
				w.net.RunFor(time.Second)
				if srv.Status().Bridge.State == BridgeLive {
					t.Fatal("it is live")
				}
			}
			wantOutages(t, logs, 1, 0)
			if st := srv.Status().Bridge; m.opened < 20 || m.opened > 150 || st.Error != m.broken.Error() {
				t.Errorf("%d sessions, %+v", m.opened, st)
			}
			m.broken = nil
			w.net.RunFor(2*bridgeQuiet + after)
			wantOutages(t, logs, 1, 1)
			if st := srv.Status().Bridge; len(m.values) != 10 || st.Error != "" || st.State != BridgeLive {
				t.Errorf("%d entries, %+v", len(m.values), st)
			}
		})
	}
}

// The second bridge is live while updates go on: what the first one has a second for is not old.
func TestBridgeSecondIsLive(t *testing.T) {
	w, m, srv, _ := bridged(t, func(m *memBucket) { m.rank, m.held = 1, true })
	for i := range 100 {
		if i == 10 {
			m.release()
		}
		w.updates("Alford", 0, 1, stamp+i)
		w.net.RunFor(100 * time.Millisecond)
	}
	if st := srv.Status().Bridge; st.State != BridgeLive {
		t.Errorf("%+v", st)
	}
}

// A full bucket refuses new clients. The others are published, and these once there is room.
func TestBridgeRefused(t *testing.T) {
	w, m, srv, logs := bridged(t, nil)
	w.updates("Alford", 0, 100, stamp)
	w.until("published", func() bool { return len(m.values) == 100 })
	m.full = true
	w.updates("Alford", 50, 150, stamp+1)
	w.until("published, or refused", func() bool { return srv.Status().Bridge.Behind == 0 })
	if st := srv.Status().Bridge; st.Refused != 50 || st.Published != 150 || st.Error != errRefusedByBucket.Error() {
		t.Errorf("%+v", st)
	}
	for range 5 {
		w.net.RunFor(bridgeRefusedPass)
		if st := srv.Status().Bridge; st.Error != errRefusedByBucket.Error() || st.Sessions < 2 {
			t.Errorf("%+v", st)
		}
	}
	m.full = false
	sessions := srv.Status().Bridge.Sessions
	w.net.RunFor(bridgeRefusedPass + 3*bridgeForeign)
	if st := srv.Status().Bridge; len(m.values) != 150 || st.Error != "" || st.Sessions != sessions+1 {
		t.Errorf("%d entries, %+v", len(m.values), st)
	}
	if n := logs.FilterMessage("bridge: records refused").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// Everything is compared every bridgePass.
func TestBridgePass(t *testing.T) {
	w, m, srv, logs := bridged(t, nil)
	w.updates("Alford", 0, 100, stamp)
	w.net.RunFor(bridgePass / 2)
	m.values = map[string]string{} // somebody has purged it
	w.net.RunFor(bridgePass/2 + 2*time.Second)
	if len(m.values) != 100 || srv.Status().Bridge.Sessions != 2 || logs.FilterMessage("bridge down").Len() != 0 {
		t.Errorf("%d entries, %+v", len(m.values), srv.Status().Bridge)
	}
}

// A batch is bounded, and so is what is kept for a bucket that shows entries and does not answer.
func TestBridgeBounds(t *testing.T) {
	w, m, srv, _ := bridged(t, func(m *memBucket) { m.err = errors.New("down") })
	const clients = 3*bridgeRecords + 7
	w.updates("Alford", 0, clients, stamp)
	m.err = nil
	w.until("all published", func() bool { return len(m.values) == clients })
	if m.largest != bridgeRecords {
		t.Errorf("a batch of %d records", m.largest)
	}
	m.stalled = true
	w.iamat("Alford", "stalled", stamp)
	most := 0
	for i := range 2 * clients {
		m.add("moving", fmt.Sprintf("AT Ball +0.1 moving +1+1 %d", stamp+i))
		w.until("read", func() bool { return m.asked })
		most = max(most, srv.Status().Bridge.Shown)
	}
	if limit := clients + 2 + bridgeRecords; most > limit+1 || most < limit {
		t.Errorf("%d positions kept for %d records", most, srv.store.Len())
	}
}

// A server that stops publishes the rest, and does not wait for a bucket that is not there.
func TestBridgeDrain(t *testing.T) {
	for _, err := range []error{nil, errors.New("down")} {
		w, m, srv, logs := bridged(t, func(m *memBucket) { m.err = err })
		w.net.RunFor(time.Second)
		w.updates("Alford", 0, 100, stamp)
		begun := w.net.Elapsed()
		w.reactors["Alford"].Stop()
		w.until("stopped", w.reactors["Alford"].Stopped)
		if took := w.net.Elapsed() - begun; took > 2*time.Second {
			t.Errorf("%v: stopped after %v", err, took)
		}
		if want := map[bool]int{true: 100}[err == nil]; len(m.values) != want {
			t.Errorf("%v: %d of %d records published", err, len(m.values), want)
		}
		if n := logs.FilterMessage(NotHandedOverMessage).Len(); (n == 0) != (err == nil) {
			t.Errorf("%v: logged %d times that records were not handed over", err, n)
		}
		if err := srv.StopError(); err != nil {
			t.Error(err)
		}
	}
}

// A server that stops does not wait if the bucket has already shown what the second bridge would publish next.
func TestBridgeDrainShown(t *testing.T) {
	w, m, srv, _ := bridged(t, func(m *memBucket) { m.rank = 1 })
	w.until("live", func() bool { return srv.Status().Bridge.State == BridgeLive })
	r := herdtest.Record(t, "Alford +0.1 kiwi +1+1 5")
	srv.store.Apply(r, 1)
	m.add("kiwi", string(r.AppendAT(nil))) // the first bridge has put it
	w.until("shown", func() bool { return srv.Status().Bridge.Shown == 1 })
	begun := w.net.Elapsed()
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	if took := w.net.Elapsed() - begun; took > time.Second || len(m.puts) > 0 {
		t.Errorf("stopped after %v, %d puts", took, len(m.puts))
	}
}

// A lesser entry that replaces a greater one in the bucket is replaced by it, also if it was put in this session, and if
// the walk has not come to the greater one yet.
func TestBridgeLesserEntryLast(t *testing.T) {
	for _, own := range []bool{false, true} {
		for _, wait := range []time.Duration{0, 3 * bridgeForeign} {
			w, m, srv, _ := bridged(t, nil)
			w.iamat("Alford", "kiwi", stamp)
			w.until("published", func() bool { return len(m.puts) == 1 })
			lesser, greater := m.puts[0], fmt.Sprintf("AT Ball +0.1 kiwi +1+1 %d", stamp+1)
			m.add("kiwi", greater)
			w.net.RunFor(wait)
			m.addEntry("kiwi", lesser, own)
			w.net.RunFor(3 * bridgeForeign)
			if m.values["kiwi"] != greater {
				t.Errorf("own %v after %v: the bucket has %q, and the server %+v", own, wait, m.values["kiwi"], srv.Status().Bridge)
			}
		}
	}
}

// An own entry is not replaced while the record that followed it is on its way.
func TestBridgeOwnEntryBehind(t *testing.T) {
	w, m, srv, _ := bridged(t, nil)
	w.iamat("Alford", "kiwi", stamp)
	w.iamat("Alford", "kiwi", stamp+1)
	w.until("published", func() bool { return len(m.puts) == 2 })
	m.pending = append(m.pending, BucketEntry{Client: []byte("kiwi"), Value: []byte(m.puts[0]), Revision: 1, Own: true})
	m.pass()
	w.net.RunFor(time.Minute)
	if st := srv.Status().Bridge; st.Read != 1 || st.Cures != 0 {
		t.Errorf("%+v", st)
	}
}

// Names of modes are parsed.
func TestBucketModes(t *testing.T) {
	for _, m := range []BucketMode{BucketPublish, BucketShare, BucketAsk} {
		if got, err := ParseBucketMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	if _, err := ParseBucketMode("Share"); err == nil {
		t.Error("Share is a mode")
	}
}

// In each mode entries of this herd are applied, and lesser ones of other herds replaced. Greater ones of other herds are
// not replaced, and are applied in mode share only.
func TestBridgeModes(t *testing.T) {
	for _, mode := range []BucketMode{BucketPublish, BucketShare, BucketAsk} {
		w, m, srv, _ := bridged(t, func(m *memBucket) { m.mode, m.err = mode, errors.New("down") })
		at := func(origin, client string, time int) string {
			return fmt.Sprintf("AT %s +0.1 %s +1+1 %d", origin, client, time)
		}
		for _, client := range []string{"greater", "same", "lesser"} {
			w.iamat("Alford", client, stamp)
		}
		ours := func(client string) string {
			item, ok := srv.store.Lookup([]byte(client))
			if !ok {
				return ""
			}
			return string(item.Record.AppendAT(nil))
		}
		lesser, same := ours("lesser"), ours("same")
		m.add("restored", at("Alford", "restored", stamp))
		m.add("unknown", at("Other", "unknown", stamp))
		m.add("greater", at("Other", "greater", stamp+1))
		m.add("same", same)
		m.add("lesser", at("Other", "lesser", stamp-1))
		before := map[string]string{}
		for client, value := range m.values {
			before[client] = value
		}
		m.err = nil
		w.net.RunFor(3 * bridgeForeign)
		share := mode == BucketShare
		for client, stored := range map[string]bool{"restored": true, "unknown": share, "greater": share} {
			if got := ours(client); (got == before[client]) != stored {
				t.Errorf("%v: the server has %q of %s", mode, got, client)
			}
		}
		before["lesser"] = lesser
		for client, want := range before {
			if got := m.values[client]; got != want {
				t.Errorf("%v: the bucket has %q of %s", mode, got, client)
			}
		}
		m.add("lesser", at("Other", "lesser", stamp-1)) // after the walk
		m.add("greater", at("Other", "greater", stamp+2))
		w.net.RunFor(3 * bridgeForeign)
		if got := m.values["lesser"]; got != lesser || len(m.puts) != 2 {
			t.Errorf("%v: the bucket has %q after %q", mode, got, m.puts)
		}
		st := srv.Status().Bridge
		if foreign := map[bool]uint64{false: 5}[share]; st.Mode != mode.String() || st.Foreign != foreign || st.Cures != 1 {
			t.Errorf("%v: %+v", mode, st)
		}
	}
}

// What is new is published while a pass reads, if the session before was live: once, whatever the pass shows.
func TestBridgePublishesDuringAPass(t *testing.T) {
	for _, rank := range []int{0, 1} {
		w, m, srv, _ := bridged(t, func(m *memBucket) { m.rank = rank })
		w.updates("Alford", 0, 100, stamp)
		w.until("live", func() bool { return len(m.values) == 100 && srv.Status().Bridge.State == BridgeLive })
		lost := m.values["c7"]
		delete(m.values, "c7")
		for client, value := range m.values {
			m.revision++
			m.pending = append(m.pending, BucketEntry{Client: []byte(client), Value: []byte(value), Revision: m.revision})
		}
		m.asked, m.held = false, true
		w.net.RunFor(bridgePass - w.net.Elapsed())
		w.until("the next pass", func() bool { return m.opened == 2 })
		puts := len(m.puts)
		w.updates("Alford", 50, 150, stamp+1)
		w.net.RunFor(5 * time.Second)
		st := srv.Status().Bridge
		if rank > 0 {
			if len(m.puts) > puts || st.State != BridgeReading {
				t.Errorf("rank %d: %d puts, %+v", rank, len(m.puts)-puts, st)
			}
			continue
		}
		if len(m.puts) != puts+100 || st.State != BridgeLive || st.Behind != 0 {
			t.Errorf("during the pass: %d puts, %+v", len(m.puts)-puts, st)
		}
		m.add("c120", fmt.Sprintf("AT Other +0.1 c120 +1+1 %d", stamp))
		m.release()
		w.net.RunFor(5 * time.Second)
		// The pass shows entries that were replaced since, and c120.
		if st := srv.Status().Bridge; st.State != BridgeLive || m.values["c7"] != lost || st.Cures != 51 || len(m.puts) != puts+101+51 {
			t.Errorf("after the pass: %d puts, %+v, the bucket has %q", len(m.puts)-puts, st, m.values["c7"])
		}
		if got := m.values["c120"]; !strings.HasSuffix(got, fmt.Sprint(stamp+1)) {
			t.Errorf("after the pass: the bucket has %q", got)
		}
		w.updates("Alford", 0, 1, stamp+2)
		w.until("published", func() bool { return strings.HasSuffix(m.values["c0"], fmt.Sprint(stamp+2)) })
	}
}

// A server that stops while a pass reads publishes the rest.
func TestBridgeDrainsDuringAPass(t *testing.T) {
	w, m, srv, _ := bridged(t, nil)
	const clients = 3 * bridgeRecords
	w.updates("Alford", 0, 100, stamp)
	w.until("live", func() bool { return len(m.values) == 100 && srv.Status().Bridge.State == BridgeLive })
	m.held, m.delay = true, time.Second
	w.net.RunFor(bridgePass - w.net.Elapsed())
	w.until("the next pass", func() bool { return m.opened == 2 })
	var lines strings.Builder
	for i := range clients {
		fmt.Fprintf(&lines, "IAMAT c%d +1+1 %d\n", i, stamp+1)
	}
	w.dial("Alford").SendString(lines.String())
	w.until("stored", func() bool { return srv.counters.Stored == 100+clients })
	if n := len(m.puts); n == 100+clients {
		t.Error("nothing is left to publish")
	}
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	if n := len(m.puts); n != 100+clients {
		t.Errorf("%d records published, want %d", n-100, clients)
	}
}

// A record that a neighbor has is compared with the bucket, too, when a server starts without records.
func TestBridgeWaitsForNeighbors(t *testing.T) {
	w := newWorld(t, testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
		config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}},
	))
	m := newMemBucket(w)
	m.mode = BucketPublish
	w.buckets = map[string]*memBucket{"Alford": m}
	w.start("Ball")
	w.iamat("Ball", "kiwi", stamp)
	greater := fmt.Sprintf("AT Other +0.1 kiwi +1+1 %d", stamp+1)
	m.add("kiwi", greater)
	w.net.Slow("Alford", "Ball", 300*time.Millisecond)
	w.start("Alford")
	w.net.RunFor(time.Minute)
	if st := w.servers["Alford"].Status(); m.values["kiwi"] != greater || st.Records != 1 || st.Bridge.State != BridgeLive {
		t.Errorf("%d records, %+v, the bucket has %q", st.Records, st.Bridge, m.values["kiwi"])
	}
	// It does not wait for long.
	w.crash("Alford")
	w.net.Cut("Alford", "Ball")
	opened, begun := m.opened, w.net.Elapsed()
	w.start("Alford")
	w.until("opened", func() bool { return m.opened > opened })
	if took := w.net.Elapsed() - begun; took > bridgeNeighbors+bridgeNeighborsCheck {
		t.Errorf("waited for %v", took)
	}
}

// While there is more to publish than fits a batch, one batch of entries is read for each of records. Then the rest is.
func TestBridgeReadingGivesWay(t *testing.T) {
	const full, entries = 4, 32
	w, m, srv, _ := bridged(t, func(m *memBucket) { m.err, m.delay = errors.New("down"), time.Second })
	w.updates("Alford", 0, full*bridgeRecords, stamp)
	m.err = nil
	w.until("the first batch is published", func() bool { return len(m.puts) > 0 })
	for i := range entries {
		client := fmt.Sprintf("weka%d", i)
		m.add(client, "AT Ball +0.1 "+client+" +1+2 1")
	}
	w.until("the last batch is published", func() bool { return len(m.puts) == full*bridgeRecords })
	if read := srv.Status().Bridge.Read; read > 2*full {
		t.Errorf("%d entries read beside %d full batches", read, full)
	}
	w.until("all is read", func() bool { return srv.store.Len() == full*bridgeRecords+entries })
}
