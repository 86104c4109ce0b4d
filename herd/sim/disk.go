package sim

import (
	"errors"
	"time"

	"serverherd/herd"
	"serverherd/protocol"
)

// disk is a server's Journal in virtual time. It is kept when processes crash.
type disk struct {
	host    *host
	kept    map[string]string // by client: the record's text
	delay   time.Duration     // of a commit, while a fault lasts
	failing bool
	writing []protocol.Record // the batch being written
	losses  uint64            // how often its content was lost
	// lastFault is when the last fault of the disk ended: for a while after it, it may lag.
	lastFault time.Duration
}

// errDisk is the error of a failing disk.
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
			return // see finishCommit
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

// lose deletes what was written. The process notices when it next calls State. A batch being written is kept.
func (d *disk) lose() {
	d.kept = map[string]string{}
	d.losses++
	d.lastFault = d.host.w.net.Elapsed()
}

// write puts the current batch on the disk.
func (d *disk) write() {
	for _, r := range d.writing {
		d.kept[string(r.Client())] = string(r.Text())
	}
	d.writing = nil
}

// finishCommit ends a commit when its process crashes: either all of the batch is on the disk, or nothing.
func (d *disk) finishCommit() {
	if !d.failing && d.host.w.rand.IntN(2) == 0 {
		d.write()
	}
	d.writing = nil
}

// lag is the maximum age of a record that is not on a disk without faults.
const lag = 1500 * time.Millisecond

// checkCrash checks, when a process has crashed, that its disk has what was stored more than lag before.
func (d *disk) checkCrash() {
	h := d.host
	w := h.w
	now := w.net.Elapsed()
	d.finishCommit()
	if d.failing || d.delay > 0 || now-d.lastFault < 10*time.Second || h.lastFault > now-10*time.Second {
		return
	}
	for client, r := range h.newest {
		if r == nil || now-h.storedAt[client] < lag {
			continue
		}
		kept := w.model.accepted[d.kept[r.clientID]]
		if kept == nil || kept.compare(r) < 0 {
			w.fail("journal", "%s had stored %q %v before it crashed; its disk has %s", h.self.Name, r.text,
				now-h.storedAt[client], kept)
		}
	}
}
