package herd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/herdtest"
)

// A batch of long records is bounded by its bytes.
func TestBridgeBatchBytes(t *testing.T) {
	w, m, _, _ := bridged(t, func(m *memBucket) { m.err = errors.New("down") })
	const clients = 3000
	var lines strings.Builder
	for i := range clients {
		fmt.Fprintf(&lines, "IAMAT %d%s +1+1 5\n", i, strings.Repeat("x", 1000))
	}
	w.dial("Alford").ask(clients, lines.String())
	m.err = nil
	w.until("all published", func() bool { return len(m.values) == clients })
	if m.bytes < bridgeBytes || m.bytes > bridgeBytes+1100 || m.largest > bridgeRecords {
		t.Errorf("a batch of %d records, one of %d bytes", m.largest, m.bytes)
	}
}

// A turn looks at a bounded number of records, also if there is nothing to publish.
func TestBridgeLook(t *testing.T) {
	w, m, srv, _ := bridged(t, func(m *memBucket) { m.err = errors.New("down") })
	const clients = 2*bridgeLook + 100
	w.updates("Alford", 0, clients, stamp)
	for c := srv.store.Head(); ; {
		item, ok := c.Next()
		if !ok {
			break
		}
		m.add(string(item.Record.Client()), string(item.Record.AppendAT(nil)))
	}
	m.err = nil
	w.until("reading", func() bool { return srv.bridge.session != nil })
	most, last := uint64(0), uint64(0)
	for last < clients && w.net.Step() {
		position := last
		if s := srv.bridge.session; s != nil {
			position = s.own.cursor.Position()
		}
		most, last = max(most, position-last), position
	}
	if most != bridgeLook || len(m.puts) > 0 {
		t.Errorf("%d records in a turn, %d published", most, len(m.puts))
	}
}

// A second bridge lets the first one publish, and a bridge lets another herd publish its own records.
func TestBridgeDelays(t *testing.T) {
	for rank := range 2 {
		for _, origin := range []string{"Alford", "Other"} {
			w, m, srv, _ := bridged(t, func(m *memBucket) { m.rank = rank })
			w.until("live", func() bool { return srv.Status().Bridge.State == BridgeLive })
			begun := w.net.Elapsed()
			srv.store.Apply(herdtest.Record(t, origin+" +0.1 kiwi +1+1 5"), 1)
			srv.pumpSoon()
			w.until("published", func() bool { return len(m.puts) == 1 })
			least := time.Duration(rank) * bridgeTurn
			if origin == "Other" {
				least += bridgeForeign
			}
			if took := w.net.Elapsed() - begun; took < least || took > 2*least+2*srv.sweepPeriod() {
				t.Errorf("rank %d: a record of %s is published after %v", rank, origin, took)
			}
		}
	}
}
