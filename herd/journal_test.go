package herd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor/memreactor"
)

// disk is a Journal in virtual time, which outlives the servers that use it.
type disk struct {
	net     *memreactor.World
	kept    map[string]string // client: record
	delay   time.Duration
	err     error
	refuse  error // of Load
	state   JournalState
	commits int
	largest int
}

func (d *disk) State() JournalState { return d.state }

// lose makes the disk forget everything, as a directory that is removed does.
func (d *disk) lose() {
	d.kept = map[string]string{}
	d.state.Losses++
}

func (w *world) newDisk() *disk { return &disk{net: w.net, kept: map[string]string{}} }

func (d *disk) Load(each func(protocol.Record)) error {
	for _, text := range d.kept { // order: a Store does not mind
		l, err := protocol.ParseLink([]byte("AT " + text + " x"))
		if err != nil {
			return err
		}
		each(l.Record)
	}
	return d.refuse
}

func (d *disk) Commit(records []protocol.Record, done func(error)) {
	d.commits++
	d.largest = max(d.largest, len(records))
	d.net.At(d.delay, func() {
		if d.err == nil {
			for _, r := range records {
				d.kept[string(r.Client())] = string(r.Text())
			}
		}
		done(d.err)
	})
}

// holds says whether the disk has what the store has.
func (d *disk) holds(s *feed.Store) bool {
	if len(d.kept) != s.Len() {
		return false
	}
	for client, text := range d.kept { // order: each is judged by itself
		item, ok := s.Lookup([]byte(client))
		if !ok || string(item.Record.Text()) != text {
			return false
		}
	}
	return true
}

// journaled is a server without neighbors, with a journal.
func journaled(t *testing.T) (*world, *disk) {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	d := w.newDisk()
	w.journals = map[string]Journal{"Alford": d}
	w.start("Alford")
	return w, d
}

func (w *world) updates(server string, from, to, second int) {
	w.t.Helper()
	var lines strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&lines, "IAMAT c%d +1-1 %d\n", i, second)
	}
	c := w.dial(server)
	c.ask(to-from, lines.String())
	c.Close()
}

func TestTheJournalFollows(t *testing.T) {
	w, d := journaled(t)
	w.updates("Alford", 0, 500, stamp)
	w.updates("Alford", 100, 300, stamp+1)
	srv := w.servers["Alford"]
	w.until("all on the disk", func() bool { return d.holds(srv.store) && srv.Status().Journal.Behind == 0 })
	if st := srv.Status().Journal; !st.OK || st.Records < 500 || st.Commits != uint64(d.commits) || st.Late != 0 {
		t.Errorf("%+v", st)
	}
	before := d.commits
	w.net.RunFor(time.Minute)
	if d.commits != before {
		t.Errorf("%d commits in a minute without updates", d.commits-before)
	}
}

func TestARestartLoadsTheJournal(t *testing.T) {
	w, d := journaled(t)
	w.updates("Alford", 0, 500, stamp)
	w.until("all on the disk", func() bool { return len(d.kept) == 500 })
	w.crash("Alford")
	d.kept["c7"] = strings.Replace(d.kept["c7"], "Alford", "Nobody", 1)
	srv := w.start("Alford")
	// One of them is of a server that has left herd.toml.
	if st := srv.Status(); st.Records != 500 || st.Journal.Loaded != 500 || st.Journal.NotTaken != 0 || st.Journal.Behind != 0 || st.Counters.Foreign != 1 {
		t.Errorf("%d records, %d foreign, journal %+v", st.Records, st.Counters.Foreign, st.Journal)
	}
	w.net.RunFor(time.Minute)
	if got := srv.Status().Journal.Commits; got != 0 {
		t.Errorf("%d commits of what was loaded", got)
	}
	w.updates("Alford", 0, 1, stamp) // known
	w.updates("Alford", 1, 2, stamp+1)
	w.until("the new one on the disk", func() bool { return strings.HasSuffix(d.kept["c1"], fmt.Sprint(stamp+1)) })
}

// A herd that is stopped as a whole remembers; who was away longer does not bring back the past.
func TestAWholeHerdRestarts(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	w.journals = map[string]Journal{}
	disks := map[string]*disk{}
	for _, s := range ring {
		disks[s.Name] = w.newDisk()
		w.journals[s.Name] = disks[s.Name]
	}
	w.startAll()
	w.updates("Ball", 0, 300, stamp)
	w.until("equal", w.equal)
	w.net.RunFor(2 * time.Second)
	w.crash("Ball")
	w.updates("Welsh", 0, 300, stamp+5)
	w.until("equal", w.equal)
	w.net.RunFor(2 * time.Second)
	for _, s := range ring {
		if w.servers[s.Name] != nil {
			w.crash(s.Name)
		}
	}
	w.startAll()
	w.until("equal", w.equal)
	for _, s := range ring {
		item, ok := w.servers[s.Name].store.Lookup([]byte("c299"))
		if !ok || string(item.Record.Time()) != fmt.Sprint(stamp+5) {
			t.Errorf("%s has %q", s.Name, item.Record.Text())
		}
	}
	w.until("on all disks", func() bool {
		for _, s := range ring {
			if !disks[s.Name].holds(w.servers[s.Name].store) {
				return false
			}
		}
		return true
	})
}

func TestAFailingDiskCostsOnlyLag(t *testing.T) {
	w, d := journaled(t)
	srv := w.servers["Alford"]
	d.err = errors.New("no space left on device")
	for i := range 100 {
		w.updates("Alford", 0, 50, stamp+i)
		w.net.RunFor(time.Second)
	}
	st := srv.Status().Journal
	if st.OK || st.Behind < 50 || st.Error != d.err.Error() || st.Late < 60 || srv.store.Len() != 50 {
		t.Errorf("while it fails: %+v", st)
	}
	if st.Failures < 10 || st.Failures > 100 {
		t.Errorf("%d tries in 100 s, want one every few seconds", st.Failures)
	}
	if len(d.kept) != 0 {
		t.Errorf("%d records on a disk that fails", len(d.kept))
	}
	d.err = nil
	w.until("all on the disk", func() bool { return d.holds(srv.store) })
	w.until("well", func() bool { return srv.Status().Journal.OK })
}

func TestAStalledDiskDoesNotGrow(t *testing.T) {
	w, d := journaled(t)
	srv := w.servers["Alford"]
	d.delay = 30 * time.Second
	for i := range 20 {
		w.updates("Alford", 0, 50, stamp+i)
		w.net.RunFor(time.Second)
	}
	if st := srv.Status().Journal; st.OK || d.commits != 1 || d.largest > 50 ||
		!strings.HasPrefix(st.Error, "the disk has not answered for 2") {
		t.Errorf("while it stalls: %+v, %d commits", st, d.commits)
	}
	d.delay = 0
	w.until("all on the disk", func() bool { return d.holds(srv.store) })
	if d.largest > 50 {
		t.Errorf("%d records in one commit, of 50 clients", d.largest)
	}
}

// What is on its way when the server is told to stop is written first, but not for ever.
func TestDrainingWaitsForTheDisk(t *testing.T) {
	for _, test := range []struct {
		delay, most time.Duration
		written     bool
	}{{2 * time.Second, 4500 * time.Millisecond, true}, {time.Hour, 5100 * time.Millisecond, false}} {
		w, d := journaled(t)
		w.updates("Alford", 0, 10, stamp)
		w.until("all on the disk", func() bool { return len(d.kept) == 10 })
		d.delay = test.delay
		w.updates("Alford", 10, 20, stamp)
		srv := w.servers["Alford"]
		w.reactors["Alford"].Stop()
		stopped := w.net.Elapsed()
		w.until("stopped", w.reactors["Alford"].Stopped)
		switch err := srv.StopError(); {
		case test.written && err != nil:
			t.Errorf("a disk that takes %v: %v", test.delay, err)
		case !test.written && (err == nil || err.Error() != "10 records are not on the disk: the disk has not answered for 5s"):
			t.Errorf("a disk that takes %v: %v", test.delay, err)
		}
		if took := w.net.Elapsed() - stopped; took > test.most {
			t.Errorf("a disk that takes %v: stopped in %v", test.delay, took)
		}
		if written := len(d.kept) == 20; written != test.written {
			t.Errorf("a disk that takes %v: written %v", test.delay, written)
		}
	}
}

// A client that does not read makes the stop take the drain time, in which a neighbor goes on sending. What it has sent
// last is written, too: nothing is wrong with the disk.
func TestDrainingWritesWhatCameLast(t *testing.T) {
	for _, test := range []struct {
		delay time.Duration // of the disk
		want  string
	}{{30 * time.Millisecond, ""}, {time.Hour, "records are not on the disk: the disk has not answered for 5s"}} {
		w := newWorld(t, testConfig(ring...))
		d := w.newDisk()
		w.journals = map[string]Journal{"Alford": d}
		srv := w.start("Alford")
		w.start("Welsh")
		w.until("live", w.live)
		deaf := w.dial("Alford")
		deaf.Stall()
		deaf.SendString(strings.Repeat("help\n", 10_000))
		w.net.RunFor(time.Second)
		d.delay = test.delay
		w.reactors["Alford"].Stop()
		stopped := w.net.Elapsed()
		for i := 0; !w.reactors["Alford"].Stopped(); i++ {
			w.iamat("Welsh", "kiwi", stamp+i)
			w.net.RunFor(10 * time.Millisecond)
		}
		if took := w.net.Elapsed() - stopped; took < srv.cfg.Limits.Drain || took > srv.cfg.Limits.Drain+maxDrainRetry+time.Second {
			t.Errorf("a disk that takes %v: stopped in %v", test.delay, took)
		}
		if err := srv.StopError(); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("a disk that takes %v: %v, want %q", test.delay, err, test.want)
		}
		if test.want == "" && !d.holds(srv.store) {
			t.Errorf("the disk has %v", d.kept)
		}
	}
}

// A disk that fails is not asked over and over while the server waits for it.
func TestDrainingWithAFailingDisk(t *testing.T) {
	w, d := journaled(t)
	d.err = errors.New("no space left on device")
	w.updates("Alford", 0, 10, stamp)
	w.net.RunFor(time.Second)
	before := d.commits
	srv := w.servers["Alford"]
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	if n := d.commits - before; n > int(srv.cfg.Limits.Drain/maxDrainRetry)+1 {
		t.Errorf("%d tries in the drain time of 5 s", n)
	}
	if err := srv.StopError(); err == nil || err.Error() != "10 records are not on the disk: no space left on device" {
		t.Errorf("StopError: %v", err)
	}
}

// A disk that has recovered, or recovers during the stop, holds nobody up: pauses between tries grew
// while it failed.
func TestDrainingWhenTheDiskHasRecovered(t *testing.T) {
	for failing := 60 * time.Second; failing < 65*time.Second; failing += 700 * time.Millisecond {
		for _, recovers := range []time.Duration{0, 1100 * time.Millisecond} {
			w, d := journaled(t)
			d.err = errors.New("no space left on device")
			w.updates("Alford", 0, 10, stamp)
			w.net.RunFor(failing)
			srv := w.servers["Alford"]
			w.net.At(recovers, func() { d.err = nil })
			w.net.RunFor(0)
			w.stop("Alford", recovers, recovers+maxDrainRetry+50*time.Millisecond)
			if !d.holds(srv.store) || srv.StopError() != nil {
				t.Errorf("failing for %v: %d records on the disk, %v", failing, len(d.kept), srv.StopError())
			}
		}
	}
}

// Records that are gone from the disk are written again, also those of a commit under way.
func TestAJournalThatLosesItsRecords(t *testing.T) {
	for _, during := range []time.Duration{0, 10 * time.Millisecond, 3 * time.Second} {
		t.Run(fmt.Sprint(during), func(t *testing.T) {
			w, d := journaled(t)
			srv := w.servers["Alford"]
			w.updates("Alford", 0, 50, stamp)
			w.until("all on the disk", func() bool { return d.holds(srv.store) })
			if d.delay = during; during > 0 {
				w.updates("Alford", 50, 60, stamp)
				w.net.RunFor(commitPause + during/2)
			}
			d.lose()
			w.until("all are written again", func() bool { return d.holds(srv.store) && srv.Status().Journal.OK })
			if st := srv.Status().Journal; st.Losses != 1 || st.Behind != 0 {
				t.Errorf("%+v", st)
			}
			before := d.commits
			w.net.RunFor(time.Minute)
			if n := d.commits - before; n > 0 {
				t.Errorf("%d commits more", n)
			}
		})
	}
}

// What is lost while the server stops is written before it has stopped.
func TestDrainingNoticesALoss(t *testing.T) {
	w, d := journaled(t)
	srv := w.servers["Alford"]
	w.updates("Alford", 0, 50, stamp)
	w.until("all on the disk", func() bool { return d.holds(srv.store) })
	w.net.RunFor(10 * time.Second)
	d.lose()
	w.reactors["Alford"].Stop()
	w.until("stopped", w.reactors["Alford"].Stopped)
	if !d.holds(srv.store) || srv.StopError() != nil {
		t.Errorf("%d records on the disk, %v", len(d.kept), srv.StopError())
	}
	d.lose()
	if err := srv.StopError(); err == nil || err.Error() != "50 records are not on the disk" {
		t.Errorf("StopError of a loss after that: %v", err)
	}
}

// A directory that has trouble is reported although commits succeed.
func TestAJournalWithTrouble(t *testing.T) {
	w, d := journaled(t)
	srv := w.servers["Alford"]
	d.state.Err = errors.New("read-only file system")
	w.updates("Alford", 0, 10, stamp)
	w.until("all on the disk", func() bool { return d.holds(srv.store) })
	if st := srv.Status().Journal; st.OK || st.Error != "read-only file system" || st.Behind != 0 {
		t.Errorf("%+v", st)
	}
	d.state.Err = nil
	if st := srv.Status().Journal; !st.OK || st.Error != "" {
		t.Errorf("%+v", st)
	}
}

func TestManyRecordsAreWrittenInManyTurns(t *testing.T) {
	w, d := journaled(t)
	w.cfg.Limits.MaxClients = 50_000
	w.crash("Alford")
	srv := w.start("Alford")
	d.delay = time.Second
	for i := range 40 {
		w.updates("Alford", i*1000, (i+1)*1000, stamp)
	}
	w.until("all on the disk", func() bool { return d.holds(srv.store) })
	if d.largest > commitRecords {
		t.Errorf("%d records in one commit", d.largest)
	}
}

func TestAJournalThatCannotBeLoadedStopsTheStart(t *testing.T) {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	d := w.newDisk()
	d.refuse = errors.New("corrupt")
	_, err := NewServer(w.options("Alford", w.net.NewReactor("Alford"), d))
	if err == nil || !strings.Contains(err.Error(), "load the journal: corrupt") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkJournaling is the loop's cost of a record that goes to the disk.
func BenchmarkJournaling(b *testing.B) {
	w := newWorld(b, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	d := w.newDisk()
	w.journals = map[string]Journal{"Alford": d}
	srv := w.start("Alford")
	for i := range 1000 {
		srv.store.Apply(at(b, fmt.Sprint("client", i), stamp), 0)
	}
	j := srv.journal
	j.journal = instantly{}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		j.sent.Rewind()
		j.commit()
		n += len(j.batch)
		j.done(nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

type instantly struct{}

func (instantly) Load(func(protocol.Record)) error          { return nil }
func (instantly) Commit([]protocol.Record, func(err error)) {}
func (instantly) State() JournalState                       { return JournalState{} }
