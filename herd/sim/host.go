package sim

import (
	"math/rand/v2"
	"strconv"
	"time"

	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/reactor/memreactor"
)

// host is a server in the world: its name and address, which stay, the process that currently runs there, and what the
// checkers know about it.
type host struct {
	w          *world
	index      int
	self       config.Server
	users      []*user
	clock      time.Duration // how much it is ahead
	clockSet   time.Duration // when it was last set
	lastFault  time.Duration // when it was last paused or disconnected
	revoked    time.Duration // when the token was last removed
	faultUntil time.Duration // until when there may be a fault between it and others

	disk   *disk // nil: it has no journal
	cell   *cell // nil: there is one herd
	bridge bool  // it has a bridge to the bucket
	rank   int   // of that
	absent bool  // it has not joined the herd yet, or has left it

	// sent contains the well-formed IAMATs that clients have sent here, without their verb.
	sent map[string]bool

	// The current process; server is nil while there is none.
	generation int
	cfg        *config.Config
	reactor    *memreactor.Reactor
	server     *herd.Server
	started    time.Duration
	stopping   bool
	stopBegun  time.Duration
	cursor     *feed.Cursor
	newest     []*record       // by client, as in the store; nil: none
	storedAt   []time.Duration // when these were stored
	touched    bool            // in world.touched
	tap        *tap
	session    *bucketSession // of its bridge, the last
	epoch      uint64
	resuming   []resuming
}

// resuming is a link that was sent a position to resume from, and the number of copies it had begun before.
type resuming struct {
	neighbor string
	copies   uint64
}

// start starts a process.
func (h *host) start() {
	w := h.w
	h.generation++
	h.cfg = h.config()
	h.reactor = w.net.NewReactor(h.self.Name)
	h.reactor.SetClock(h.clock)
	h.reactor.SetWork(w.lookup)
	h.tap = &tap{host: h, wires: map[uint64]*wire{}, known: map[string]known{}}
	var journal herd.Journal
	if h.disk != nil {
		journal = h.disk
	}
	var shared herd.Bucket
	var pass time.Duration
	if h.bridge {
		shared, pass = bridgeTo{h}, w.bucket.pass
	}
	server, err := herd.NewServer(herd.Options{
		Journal: journal, Bucket: shared, BridgeRank: h.rank, BucketMode: h.mode(), BridgePass: pass,
		Asker: h.asker(), AskAfter: askAfter,
		Config: h.cfg, Name: h.self.Name, Reactor: h.reactor, Places: fakePlaces{}, Log: zap.NewNop(),
		Tokens: w.tokens, Lines: h.tap, Rand: rand.New(rand.NewPCG(w.rand.Uint64(), w.rand.Uint64())),
		Engine: "mem", Version: "sim",
	})
	if err != nil {
		panic(err)
	}
	if _, err := server.Start(h.reactor.Listen(h.self.Address)); err != nil {
		panic(err)
	}
	h.server, h.started, h.stopping = server, w.net.Elapsed(), false
	h.epoch, _ = strconv.ParseUint(server.Status().Epoch, 16, 64)
	w.processes[h.epoch] = h
	h.resuming = h.resuming[:0]
	h.newest, h.storedAt = h.newest[:0], h.storedAt[:0]
	h.lastFault = w.net.Elapsed()
	h.cursor = server.Store().Head()
	h.follow()
}

// config returns the current herd.toml of the host's herd.
func (h *host) config() *config.Config {
	if h.cell != nil {
		return h.cell.cfg
	}
	return h.w.cfg
}

// mode returns what its herd does with the records of the other herd.
func (h *host) mode() herd.BucketMode {
	if h.cell != nil {
		return h.cell.mode
	}
	return 0
}

// crash ends the process as kill -9 does.
func (h *host) crash() {
	if h.server == nil {
		return
	}
	if h.session != nil {
		h.session.crash()
	}
	h.reactor.Crash()
	h.server = nil
	if h.disk != nil {
		h.disk.checkCrash()
	}
}

// gone reports whether there is no process, so that one could be started.
func (h *host) gone() bool {
	if h.stopping && h.reactor.Stopped() {
		h.server, h.stopping = nil, false
		if h.disk != nil {
			h.disk.finishCommit() // it may have ended during a commit
		}
	}
	return h.server == nil
}

// touch records that the process has received something, which may change its store.
func (h *host) touch() {
	if !h.touched {
		h.touched = true
		h.w.touched = append(h.w.touched, h)
	}
}

// newestOf returns the record of a client in the store.
func (h *host) newestOf(client int) *record {
	if client < len(h.newest) {
		return h.newest[client]
	}
	return nil
}

func (h *host) setNewest(client int, r *record) {
	for client >= len(h.newest) {
		h.newest = append(h.newest, nil)
		h.storedAt = append(h.storedAt, 0)
	}
	h.newest[client] = r
	h.storedAt[client] = h.w.net.Elapsed()
}

// follow checks every record that the process has stored since the last call.
func (h *host) follow() {
	if h.server == nil {
		return
	}
	for {
		item, ok := h.cursor.Next()
		if !ok {
			break
		}
		h.stored(item)
	}
	for _, r := range h.resuming {
		if h.copies(r.neighbor) != r.copies && !h.w.damaged {
			h.w.fail("positions", "%s was sent a position to resume from by %s, and sends everything",
				h.self.Name, r.neighbor)
		}
	}
	h.resuming = h.resuming[:0]
}

// copies returns the number of copies that the process has begun for a neighbor.
func (h *host) copies(neighbor string) uint64 { return h.link(neighbor).Copies }

// link returns the status of the link to a neighbor.
func (h *host) link(neighbor string) herd.LinkStatus {
	for _, l := range h.server.Status().Links {
		if l.Neighbor == neighbor {
			return l
		}
	}
	panic("sim: no neighbor " + neighbor)
}

// stored checks one record that was stored.
func (h *host) stored(item feed.Item) {
	w := h.w
	r := w.model.accepted[string(item.Record.Text())]
	if r == nil {
		if r = h.originated(item); r == nil {
			return
		}
	}
	if h.cell != nil && !h.cell.takes(r) {
		w.fail("foreign", "%s stored %q in mode %v", h.self.Name, r.text, h.cell.mode)
	}
	before := h.newestOf(r.client)
	h.setNewest(r.client, r)
	r.held[h.index] = h.generation
	if r.first[h.index].generation != h.generation {
		r.first[h.index] = arrival{h.generation, uint64(item.From)}
	}
	switch {
	case before == nil:
	case r.compare(before) <= 0:
		w.fail("monotone", "%s had %q and stored %q", h.self.Name, before.text, r.text)
	case item.From == 0 && r.compareTime(before) <= 0:
		w.fail("monotone", "%s had %q and stored its own %q, whose time is not later", h.self.Name,
			before.text, r.text)
	}
}

// originated accepts a record that was not seen anywhere before, if this server may just have made it from a client's
// line. It returns nil after a failure.
func (h *host) originated(item feed.Item) *record {
	w := h.w
	r := w.model.parse(string(item.Record.Text()))
	switch {
	case r == nil:
		w.fail("accepted", "%s stored %q", h.self.Name, item.Record.Text())
		return nil
	case item.From != 0 || r.origin != h.self.Name:
		w.fail("accepted", "%s stored %q, which no server has made", h.self.Name, r.text)
		return nil
	case !h.sent[r.clientID+" "+r.coords+" "+r.at]:
		w.fail("accepted", "%s stored %q, which no client has sent", h.self.Name, r.text)
		return nil
	}
	if want := r.diffAt(h.reactor.Now()); r.diff != want {
		w.fail("accepted", "%s stored %q, whose diff should be %s", h.self.Name, r.text, want)
		return nil
	}
	w.model.accept(r)
	w.result.Updates++
	return r
}
