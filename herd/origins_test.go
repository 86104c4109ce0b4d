package herd

import (
	"fmt"
	"testing"
	"time"

	"serverherd/herd/config"
)

// grown is the ring with a sixth server beside it.
func grown() *config.Config {
	servers := append([]config.Server(nil), ring...)
	for i, s := range servers {
		if s.Name == "Alford" || s.Name == "Ball" {
			servers[i].Neighbors = append(append([]string(nil), s.Neighbors...), "Irvine")
		}
	}
	return testConfig(append(servers, config.Server{
		Name: "Irvine", Address: "Irvine:1", Neighbors: []string{"Alford", "Ball"},
	})...)
}

// restartWith is one server's part of a rolling change of herd.toml.
func (w *world) restartWith(name string, cfg *config.Config) *Server {
	w.t.Helper()
	w.reactors[name].Stop()
	w.until(name+" has stopped", w.reactors[name].Stopped)
	srv := w.startWith(name, cfg)
	w.until(name+" is ready", func() bool { return srv.Status().Ready })
	return srv
}

// A server joins a herd whose others learn of it one after the other, and leaves it likewise, with
// updates at all of them. Nothing is lost, links stand meanwhile, and what it made outlives it, also
// a restart of the whole herd from its disks.
func TestARollingChangeOfTheServers(t *testing.T) {

	old, grown := testConfig(ring...), grown()
	w := newWorld(t, old)
	w.journals = map[string]Journal{}
	disks := map[string]*disk{}
	for _, s := range grown.Servers {
		disks[s.Name] = w.newDisk()
		w.journals[s.Name] = disks[s.Name]
	}
	w.startAll()
	n := 0
	update := func() {
		t.Helper()
		for _, s := range w.cfg.Servers {
			if w.servers[s.Name] != nil {
				w.iamat(s.Name, fmt.Sprintf("%s%d", s.Name, n), stamp+n)
			}
		}
		n++
	}
	settled := func(what string) {
		t.Helper()
		update()
		w.until(what+": live", w.live)
		w.until(what+": equal", w.equal)
		w.net.RunFor(12 * time.Second) // a MARK comes every five
		w.until(what+": agreed", w.agreed)
		for _, srv := range w.servers {
			for _, l := range srv.Status().Links {
				if l.BadLines > 0 || l.Repairs > 0 {
					t.Errorf("%s: %s has %d bad lines and %d repairs from %s", what, srv.name, l.BadLines, l.Repairs, l.Neighbor)
				}
			}
		}
	}
	update()
	w.restartWith("Alford", grown)
	w.startWith("Irvine", grown)
	w.cfg = grown // the servers to look at
	refused := func(l LinkStatus) bool { return l.Neighbor == "Ball" && l.State == "down" }
	w.until("Irvine is linked as far as it is known", func() bool {
		st := w.servers["Irvine"].Status()
		return st.Links[0].State == "live" && refused(st.Links[1])
	})
	update()
	w.until("what Irvine made is everywhere", func() bool {
		return w.equal() && w.servers["Holiday"].counters.Foreign > 0
	})
	w.restartWith("Ball", grown)
	settled("it has joined")
	for _, name := range []string{"Hamilton", "Holiday", "Welsh"} {
		update()
		w.restartWith(name, grown)
	}
	settled("all know it")
	for _, name := range []string{"Ball", "Welsh"} {
		if k := w.servers[name].counters.Foreign; k != 0 {
			t.Errorf("%s counts %d foreign records", name, k)
		}
	}
	update()
	w.reactors["Irvine"].Stop()
	w.until("Irvine has stopped", w.reactors["Irvine"].Stopped)
	delete(w.servers, "Irvine")
	for _, s := range ring {
		update()
		w.restartWith(s.Name, old)
	}
	w.cfg = old
	settled("it has left")
	records := w.servers["Welsh"].store.Len()
	if _, ok := w.servers["Welsh"].store.Lookup([]byte("Irvine1")); !ok {
		t.Error("what Irvine made is gone")
	}
	w.until("all on the disks", func() bool {
		for _, s := range ring {
			if !disks[s.Name].holds(w.servers[s.Name].store) {
				return false
			}
		}
		return true
	})
	for _, s := range ring {
		w.crash(s.Name)
	}
	w.startAll()
	for _, s := range ring {
		if st := w.servers[s.Name].Status(); int(st.Records) != records || st.Journal.NotTaken > 0 || st.Counters.Foreign == 0 {
			t.Errorf("%s has %d of %d records, %d not taken, %d foreign", s.Name, st.Records, records, st.Journal.NotTaken, st.Counters.Foreign)
		}
	}
	settled("restarted from the disks")
}
