package sim

import (
	"fmt"
	"time"

	"serverherd/protocol"
)

// mend breaks one server's state as only a fault of its memory or of its program could, and sees
// the herd find and mend it, at the first attempt, even if that is cut again and again.
func (w *world) mend() {
	if w.failure != nil {
		return
	}
	if w.crowded() && !w.until(10*time.Second, w.equal) {
		w.fail("agreement", "not equal 10 s after a crowd came:%s", w.describe())
		return
	}
	w.damaged = true
	w.tell("damage: " + w.damage())
	w.breaks = w.rand.IntN(5)
	if !w.until(mendedWithin, w.equal) {
		w.fail("agreement", "not mended in %v:%s", mendedWithin, w.describe())
	}
	w.breaks = 0
	if !w.until(liveWithin, w.live) {
		w.fail("links", "not live after a repair:%s", w.describe())
	}
	for _, h := range w.hosts {
		for _, l := range h.server.Status().Links {
			if l.Repairs > 1 {
				w.fail("agreement", "%s repaired what %s has %d times", h.self.Name, l.Neighbor, l.Repairs)
			}
		}
	}
}

// crowded lets a crowd come first, sometimes, so that a repair takes more than a turn.
func (w *world) crowded() bool {
	h := w.anyHost()
	if len(w.hosts) > 7 || w.narrow || w.rand.IntN(4) > 0 {
		return false
	}
	h.users[0].connect()
	w.tell("crowd " + h.users[0].crowd(100+w.rand.IntN(150)))
	w.pass(time.Second)
	return true
}

// damage makes one record of one server older than it was, or removes it.
func (w *world) damage() string {
	h := w.anyHost()
	var held, own []*record
	for _, r := range h.newest {
		if r != nil {
			held = append(held, r)
			if r.origin == h.self.Name {
				own = append(own, r)
			}
		}
	}
	if len(own) > 0 && w.rand.IntN(2) == 0 {
		held = own // all others have it from here
	}
	if len(held) == 0 {
		return "none, there are no records"
	}
	r := held[w.rand.IntN(len(held))]
	h.setNewest(r.client, nil)
	for _, older := range w.model.records[r.client] {
		if w.rand.IntN(2) == 0 && older.compare(r) < 0 {
			line, err := protocol.ParseLink([]byte("AT " + older.text + " Nobody"))
			if err != nil {
				panic(err)
			}
			h.server.Store().Damage([]byte(r.clientID), &line.Record)
			h.follow()
			return fmt.Sprintf("%s has %.60q instead of %.60q", h.self.Name, older.text, r.text)
		}
	}
	h.server.Store().Damage([]byte(r.clientID), nil)
	return fmt.Sprintf("%s has lost %.60q", h.self.Name, r.text)
}
