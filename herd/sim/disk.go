package sim

import (
	"errors"
	"time"

	"serverherd/herd"
	"serverherd/protocol"
)

// disk is a server's Journal in virtual time. It outlives the processes that use it.
type disk struct {
	host    *host
	kept    map[string]string // by client: the record's text
	delay   time.Duration     // of a commit; a fault's
	failing bool
	writing []protocol.Record // the batch under way
	losses  uint64            // times that what was on it went away
	// disturbed is until when the disk was not well, or had to be written again: for a while after, it
	// may lag.
	disturbed time.Duration
}

// errDisk is what a failing disk says.
var errDisk = errors.New("no space left on device")

// Load implements herd.Journal.
func (d *disk) Load(each func(protocol.Record)) error {
	for _, client := range sortedKeys(d.kept) {
		line, err := protocol.ParseLink([]byte("AT " + d.kept[client] + " disk"))
		if err != nil {
			return err
		}
		each(line.Record)
	}
	return nil
}

// Commit implements herd.Journal.
func (d *disk) Commit(records []protocol.Record, done func(error)) {
	h := d.host
	process := h.reactor
	d.writing = records
	h.w.net.At(d.delay+h.w.span(time.Millisecond, 20*time.Millisecond), func() {
		if process != h.reactor || process.Stopped() {
			return // see crashed
		}
		if d.failing {
			d.writing = nil
			process.CallFromThread(func() { done(errDisk) })
			return
		}
		d.write()
		process.CallFromThread(func() { done(nil) })
	})
}

// State implements herd.Journal.
func (d *disk) State() herd.JournalState { return herd.JournalState{Losses: d.losses} }

// lose forgets what was written. The process is told when it next asks; a batch under way is kept.
func (d *disk) lose() {
	d.kept = map[string]string{}
	d.losses++
	d.disturbed = d.host.w.net.Elapsed()
}

// write puts the batch under way on the disk.
func (d *disk) write() {
	for _, r := range d.writing {
		d.kept[string(r.Client())] = string(r.Text())
	}
	d.writing = nil
}

// crashed ends a commit with its process: all of it is on the disk, or nothing.
func (d *disk) crashed() {
	if !d.failing && d.host.w.rand.IntN(2) == 0 {
		d.write()
	}
	d.writing = nil
}

// lag is how old the newest record may be that is not on a disk that is well.
const lag = 1500 * time.Millisecond

// remember checks, when a process has crashed, that its disk has what was stored a while before.
func (d *disk) remember() {
	h := d.host
	w := h.w
	now := w.net.Elapsed()
	d.crashed()
	if d.failing || d.delay > 0 || now-d.disturbed < 10*time.Second || h.disturbed > now-10*time.Second {
		return
	}
	for client, r := range h.newest {
		if r == nil || now-h.storedAt[client] < lag {
			continue
		}
		kept := w.model.accepted[d.kept[r.clientID]]
		if kept == nil || kept.compare(r) < 0 {
			w.fail("journal", "%s had stored %q %v before it crashed; its disk has %s", h.self.Name, r.text,
				now-h.storedAt[client], kept.words())
		}
	}
}
