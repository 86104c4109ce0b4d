package sim

import (
	"errors"
	"time"

	"serverherd/protocol"
)

// disk is a server's Journal in virtual time. It outlives the processes that use it.
type disk struct {
	host    *host
	kept    map[string]string // by client: the record's text
	delay   time.Duration     // of a commit; a fault's
	failing bool
	// disturbed is until when the disk was not well: for a while after, it may lag.
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

// Commit implements herd.Journal. A crash meanwhile leaves all of it on the disk, or nothing.
func (d *disk) Commit(records []protocol.Record, done func(error)) {
	h := d.host
	w := h.w
	process, generation := h.reactor, h.generation
	w.net.At(d.delay+w.span(time.Millisecond, 20*time.Millisecond), func() {
		alive := h.generation == generation && !process.Stopped()
		if d.failing || !alive && w.rand.IntN(2) == 0 {
			if alive {
				process.CallFromThread(func() { done(errDisk) })
			}
			return
		}
		for _, r := range records {
			d.keep(string(r.Client()), string(r.Text()))
		}
		if alive {
			process.CallFromThread(func() { done(nil) })
		}
	})
}

// keep replaces a client's record. What comes late of a process that is gone replaces nothing that
// its successor has written.
func (d *disk) keep(client, text string) {
	old, known := d.host.w.model.accepted[d.kept[client]]
	if r := d.host.w.model.accepted[text]; known && r != nil && r.compare(old) < 0 {
		return
	}
	d.kept[client] = text
}

// lag is how old the newest record may be that is not on a disk that is well.
const lag = 1500 * time.Millisecond

// remember checks, when a process has crashed, that its disk has what was stored a while before.
func (d *disk) remember() {
	h := d.host
	w := h.w
	now := w.net.Elapsed()
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
