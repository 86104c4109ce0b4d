package sim

import (
	"errors"
	"strconv"
	"time"

	"serverherd/herd"
)

// askAfter is the age from which a record is old in a herd in mode ask.
const askAfter = 5 * time.Second

var errNoReply = errors.New("no reply in time")

// asker is a host's herd.Asker.
type asker struct{ host *host }

// Ask implements herd.Asker. The entry is read a while after the request, and is older than the reply.
func (a asker) Ask(client []byte, timeout time.Duration, done func([]byte, error)) {
	w := a.host.w
	b, process := w.bucket, a.host.reactor
	id, value, err := string(client), "", error(nil)
	there, back := b.delay(), b.delay()
	w.net.At(there, func() {
		if b.absent > 0 {
			back, err = timeout, errAbsent
		} else if e := b.entries[id]; e != nil {
			value = e.value
		}
		if there+back > timeout {
			back, err = max(0, timeout-there), errNoReply
		}
		w.net.At(back, func() {
			if process == a.host.reactor && !process.Stopped() {
				process.CallFromThread(func() { done([]byte(value), err) })
			}
		})
	})
}

// asker returns the host's access to single entries of the bucket; nil if it has none.
func (h *host) asker() herd.Asker {
	if h.mode() != herd.BucketAsk {
		return nil
	}
	return asker{h}
}

// checkAsks checks, without faults and updates, that a herd in mode ask answers with the newest record of a client, which the
// bucket has, also if only the other herd was told of it.
func (w *world) checkAsks() {
	for _, c := range w.cells {
		if c.mode == herd.BucketAsk {
			w.checkAsksOf(c)
		}
	}
}

const asks = 30

func (w *world) checkAsksOf(c *cell) {
	for _, h := range c.hosts {
		h.users[0].connect()
	}
	for range asks {
		h := c.hosts[w.rand.IntN(len(c.hosts))]
		id := w.client()
		u, client := h.users[0], w.model.client(id)
		want := h.newestOf(client)
		if e := w.bucket.entries[id]; e != nil && (want == nil || h.outdated(want)) {
			if kept := w.bucket.recordOf(e); kept != nil && (want == nil || kept.compare(want) > 0) {
				want = kept
				w.result.Asked++
			}
		}
		u.conn.SendString("WHATSAT " + id + " 10 2\n")
		u.expectAtLeast(id, want)
	}
	w.pass(5 * time.Second)
	for _, h := range c.hosts {
		u := h.users[0]
		if u.check(); len(u.pending) > 0 {
			w.fail("replies", "%s has not answered %+v:%s", h.self.Name, u.pending[0], w.describe())
		}
	}
}

// outdated reports whether a record of the host is so old that its server asks the bucket.
func (h *host) outdated(r *record) bool {
	seconds, _ := strconv.ParseInt("0"+r.whole, 10, 64)
	return seconds < h.reactor.Now().Add(-askAfter).Unix()
}
