package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/recorder"
	"serverherd/protocol"
)

// Sender knows the processes that neighbors have now, and no others.
func TestSenderOfARecord(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.dial("Ball").SendString("IAMAT kiwi +34.06-118.44 1520023924\n")
	w.until("Alford has it", func() bool { return w.servers["Alford"].store.Len() == 1 })
	srv := w.servers["Alford"]
	item, _ := srv.store.Lookup([]byte("kiwi"))
	if got := srv.Sender(item.From); got != "Welsh" {
		t.Errorf("from %q, want Welsh", got)
	}
	if item.Applied != srv.reactor.Now().UnixNano() {
		t.Errorf("applied at %d, now it is %d", item.Applied, srv.reactor.Now().UnixNano())
	}
	for _, from := range []protocol.Epoch{0, item.From + 1} {
		if got := srv.Sender(from); got != "" {
			t.Errorf("from %v: %q", from, got)
		}
	}
}

// Source tells clients, neighbors and the journal apart.
func TestSourceOfARecord(t *testing.T) {
	w, d := journaled(t)
	w.updates("Alford", 0, 2, stamp)
	w.until("all on the disk", func() bool { return len(d.kept) == 2 })
	w.crash("Alford")
	d.kept["c1"] = strings.Replace(d.kept["c1"], "Alford", "Nobody", 1)
	srv := w.start("Alford")
	w.net.RunFor(time.Millisecond)
	w.updates("Alford", 2, 3, stamp)
	srv.store.Apply(at(t, "c3", stamp), 7)
	for client, want := range map[string]string{"c0": "journal", "c1": "journal", "c2": "client", "c3": "neighbor"} {
		item, ok := srv.store.Lookup([]byte(client))
		if source, _ := srv.Source(item); !ok || source != want {
			t.Errorf("%s: %q, want %s", client, source, want)
		}
	}
}

// A record from the bucket is known as such. It has an event, unless it was read with all others. A neighbor knows whom it
// has it from, and does not measure how long it took.
func TestSourceIsTheBucket(t *testing.T) {
	w := newWorld(t, testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
		config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}},
	))
	m := newMemBucket(w)
	w.buckets = map[string]*memBucket{"Alford": m}
	put := func(client string) { m.add(client, fmt.Sprintf("AT Other +0.1 %s +1+1 %d", client, stamp)) }
	put("before")
	w.startAll()
	w.until("the pass is complete", func() bool { return w.servers["Alford"].Status().Bridge.State == BridgeLive })
	put("after")
	w.until("equal", func() bool { return w.servers["Ball"].store.Len() == 2 && w.equal() })
	srv := w.servers["Alford"]
	for client, events := range map[string]int{"before": 0, "after": 1} {
		f := srv.Flood([]byte(client), 0)
		if f.Latest == nil || f.Latest.Source != "bucket" || f.Latest.Neighbor != "" || f.Latest.FromEpoch != "" {
			t.Errorf("%s: %+v", client, f.Latest)
		}
		read := 0
		for _, e := range f.Events {
			if e.Kind == recorder.Read && e.Position == f.Latest.Seq && string(e.ID) == client {
				read++
			}
		}
		if read != events {
			t.Errorf("%s: %d events of it, want %d: %+v", client, read, events, f.Events)
		}
		if f := w.servers["Ball"].Flood([]byte(client), 0); f.Latest == nil || f.Latest.Neighbor != "Alford" {
			t.Errorf("%s: Ball has it from %+v", client, f.Latest)
		}
	}
	if srv.recorder.Complete() == 0 {
		t.Error("all records are said to have events")
	}
	w.iamat("Alford", "new", stamp)
	w.until("equal", w.equal)
	if st := w.servers["Ball"].Status().Propagation; st.Count != 1 {
		t.Errorf("the propagation of %d records was measured, want that of the new one only", st.Count)
	}
}

// Servers whose herd.toml says the same about the herd have the same hash in their status.
func TestStatusHasTheConfiguration(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.start("Alford").Status().ConfigHash
	if b := w.start("Ball").Status().ConfigHash; a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
	other := testConfig(ring...)
	other.Limits.MaxClients++
	if b := w.startWith("Welsh", other).Status().ConfigHash; a == b {
		t.Errorf("%q although the limits differ", b)
	}
}
