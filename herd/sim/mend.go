package sim

import (
	"fmt"

	"serverherd/protocol"
)

// mend breaks one server's state as only a fault of its memory or of its program could, and sees
// the herd find and mend it, at the first attempt, even if that is cut again and again.
func (w *world) mend() {
	if w.failure != nil {
		return
	}
	w.damaged = true
	w.tell("damage: " + w.damage())
	for range w.rand.IntN(4) {
		w.breakCopy(4000)
	}
	if !w.until(mendedWithin, w.equal) {
		w.fail("agreement", "not mended in %v:%s", mendedWithin, w.describe())
	}
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
