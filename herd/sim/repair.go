package sim

import (
	"fmt"
	"time"

	"serverherd/protocol"
)

// repair damages one server's state, as only a memory fault or a bug could, and checks that the herd detects and repairs
// it at the first attempt, even if the repair is cut several times.
func (w *world) repair() {
	if w.failure != nil {
		return
	}
	if w.crowded() && !w.until(10*time.Second, w.equal) {
		w.fail("agreement", "not equal 10 s after a crowd:%s", w.describe())
		return
	}
	w.damaged = true
	w.log("damage: " + w.damage())
	w.breaks = w.rand.IntN(5)
	if !w.until(repairedWithin, w.equal) {
		w.fail("agreement", "not repaired within %v:%s", repairedWithin, w.describe())
	}
	w.breaks = 0
	if !w.until(liveWithin, w.live) {
		w.fail("links", "not live after a repair:%s", w.describe())
	}
	for _, h := range w.hosts {
		for _, l := range h.server.Status().Links {
			if l.Repairs > 1 {
				w.fail("agreement", "%s repaired %s %d times", h.self.Name, l.Neighbor, l.Repairs)
			}
		}
	}
}

// crowded sometimes creates a crowd first, so that a repair takes more than one turn.
func (w *world) crowded() bool {
	h := w.anyHost()
	if len(w.hosts) > 7 || w.narrow || w.rand.IntN(4) > 0 {
		return false
	}
	h.users[0].connect()
	w.log("crowd " + h.users[0].crowd(100+w.rand.IntN(150)))
	w.pass(time.Second)
	return true
}

// damage replaces one record of one server by an older one, or removes it.
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
		held = own // all other servers received it from this one
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
