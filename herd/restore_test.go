package herd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"serverherd/herd/config"
)

// An empty server with a bridge is not ready until it has read the bucket, or bridgeRestore has passed.
func TestRestore(t *testing.T) {
	const waiting = "waiting for the records in the bucket"
	for _, c := range []struct {
		name  string
		after time.Duration // until the bucket is there and has passed all entries
		err   error         // of sessions before
	}{
		{"at once", 0, nil},
		{"a slow bucket", 4 * time.Second, nil},
		{"a bucket that is too slow", 15 * time.Second, nil},
		{"a bucket that is down", 4 * time.Second, errors.New("no servers available for connection")},
		{"a bucket that is down for long", time.Minute, errors.New("no servers available for connection")},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, m, srv, logs := bridged(t, func(m *memBucket) {
				m.held, m.err = c.after > 0, c.err
				for i := range 100 {
					m.add(fmt.Sprint("c", i), fmt.Sprintf("AT Alford +0.1 c%d +1+1 %d", i, stamp))
				}
			})
			until := func(at time.Duration) *Status {
				w.net.RunFor(at - w.net.Elapsed())
				st := srv.Status()
				return &st
			}
			if st := until(0); st.Ready || st.Waiting != waiting || st.Bridge.Restored {
				t.Errorf("at the start: ready %v, %q, %+v", st.Ready, st.Waiting, st.Bridge)
			}
			if c.after > 0 {
				if st := until(min(c.after, bridgeRestore) - time.Millisecond); st.Ready || st.Waiting != waiting {
					t.Errorf("before: ready %v, %q", st.Ready, st.Waiting)
				}
				if st := until(c.after); st.Ready != (c.after > bridgeRestore) || st.Bridge.Restored || st.Records != 0 {
					t.Errorf("after %v: ready %v, %d records, %+v", c.after, st.Ready, st.Records, st.Bridge)
				}
				if m.err == nil {
					m.release()
				}
				m.held, m.err = false, nil
			}
			w.until("restored", func() bool { return srv.Status().Bridge.Restored })
			if st := srv.Status(); !st.Ready || st.Records != 100 {
				t.Errorf("ready %v, %d records, %+v", st.Ready, st.Records, st.Bridge)
			}
			w.net.RunFor(2 * bridgePass) // further passes are nothing new
			entries := logs.FilterMessage("records restored").All()
			if len(entries) != 1 || entries[0].ContextMap()["records"] != uint64(100) {
				t.Errorf("logged %v", entries)
			}
		})
	}
}

// A server that has its records from the journal or a neighbor does not wait for the bucket. A neighbor without records
// says nothing.
func TestRestoreNotNeeded(t *testing.T) {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
		config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}},
	)
	for _, source := range []string{"", "journal", "neighbor"} {
		w := newWorld(t, cfg)
		m := newMemBucket(w)
		m.held = true
		w.buckets = map[string]*memBucket{"Alford": m}
		w.journals = map[string]Journal{}
		if source == "journal" {
			d := w.newDisk()
			d.kept["kiwi"] = fmt.Sprintf("Alford +0.1 kiwi +1+1 %d", stamp)
			w.journals["Alford"] = d
		}
		w.start("Ball")
		if source == "neighbor" {
			w.iamat("Ball", "kiwi", stamp)
		}
		w.start("Alford")
		w.until("synced", func() bool { return w.live() && w.servers["Alford"].neighbors[0].heard.EverSynced() })
		if st := w.servers["Alford"].Status(); st.Ready != (source != "") || w.net.Elapsed() > bridgeRestore/2 {
			t.Errorf("records from %q: ready %v, %q after %v", source, st.Ready, st.Waiting, w.net.Elapsed())
		}
		if source == "" {
			w.iamat("Ball", "kiwi", stamp) // this is not what the herd had
			w.until("equal", w.equal)
			if st := w.servers["Alford"].Status(); st.Ready {
				t.Error("ready because of a new record")
			}
		}
	}
}
