package lab

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"serverherd/reactor/memreactor"
)

// traffic simulates clients that update and query a herd in virtual time. Each client sends its updates to
// one server; queries about any client go to any server. One goroutine.
type traffic struct {
	world     *memreactor.World
	rand      *rand.Rand
	addresses []string
	clients   int

	idle    [][]*memreactor.Client // idle connections, by server
	busy    []*operation
	newest  []int64 // by client: the time of the last acknowledged update
	stamp   int64
	counted bool // operations are measured

	done, queries, stale int
	response, asking     []float64 // latencies in milliseconds: of all operations, of queries
}

// operation is a request in flight.
type operation struct {
	conn    *memreactor.Client
	server  int
	client  int
	query   bool
	stamp   int64 // of an update, its time; of a query, the newest acknowledged time when it was sent
	sent    time.Duration
	counted bool
}

// newTraffic creates all clients, distributed evenly over the servers, before anything is measured.
func newTraffic(w *memreactor.World, addresses []string, clients int) *traffic {
	t := &traffic{world: w, rand: w.Rand(), addresses: addresses, clients: clients,
		idle: make([][]*memreactor.Client, len(addresses)), newest: make([]int64, clients),
		stamp: 1_500_000_000}
	for client := range clients {
		t.send(client%len(addresses), client, false)
	}
	t.settle()
	return t
}

// settle waits until all operations are answered and all updates have propagated.
func (t *traffic) settle() {
	for len(t.busy) > 0 {
		if !t.world.Step() {
			panic("study: no reply to an operation")
		}
		t.collect()
	}
	t.world.RunFor(time.Second)
}

// operate sends n operations at random times with a mean interval of pace. Updates is the share of updates.
func (t *traffic) operate(n int, updates float64, pace time.Duration) {
	t.counted = true
	for range n {
		gap := time.Duration(t.rand.ExpFloat64() * float64(pace))
		for end := t.world.Elapsed() + gap; t.world.RunUntil(end-t.world.Elapsed(), t.answered); {
			t.collect()
		}
		client := t.rand.IntN(t.clients)
		if t.rand.Float64() < updates {
			t.send(client%len(t.addresses), client, false)
		} else {
			t.send(t.rand.IntN(len(t.addresses)), client, true)
		}
	}
	t.counted = false
	t.settle()
}

// send sends one operation to a server.
func (t *traffic) send(server, client int, query bool) {
	o := &operation{
		server: server, client: client, query: query, sent: t.world.Elapsed(), counted: t.counted,
	}
	if free := t.idle[server]; len(free) > 0 {
		o.conn, t.idle[server] = free[len(free)-1], free[:len(free)-1]
	} else {
		o.conn = t.world.Dial(t.addresses[server])
	}
	if query {
		o.stamp = t.newest[client]
		o.conn.SendString(fmt.Sprintf("WHATSAT client%d 10 1\n", client))
	} else {
		t.stamp++
		o.stamp = t.stamp
		o.conn.SendString(fmt.Sprintf("IAMAT client%d +34.068930-118.445127 %d\n", client, t.stamp))
	}
	t.busy = append(t.busy, o)
}

var endOfReply = []byte("\n\n")

// answered reports whether any operation has its reply.
func (t *traffic) answered() bool {
	for _, o := range t.busy {
		if bytes.HasSuffix(o.conn.Received(), endOfReply) {
			return true
		}
	}
	return false
}

// collect handles the replies that have arrived.
func (t *traffic) collect() {
	waiting := t.busy[:0]
	for _, o := range t.busy {
		if bytes.HasSuffix(o.conn.Received(), endOfReply) {
			t.complete(o)
		} else {
			waiting = append(waiting, o)
		}
	}
	t.busy = waiting
}

// complete checks a reply and counts it.
func (t *traffic) complete(o *operation) {
	var server, diff, id, coords string
	var stamp int64
	reply := o.conn.Take()
	_, err := fmt.Sscanf(reply, "AT %s %s %s %s %d", &server, &diff, &id, &coords, &stamp)
	if err != nil || id != fmt.Sprintf("client%d", o.client) || !o.query && stamp != o.stamp {
		panic(fmt.Sprintf("study: unexpected reply to %+v: %q", *o, reply))
	}
	t.idle[o.server] = append(t.idle[o.server], o.conn)
	if !o.query {
		t.newest[o.client] = max(t.newest[o.client], stamp)
	}
	if !o.counted {
		return
	}
	took := float64(t.world.Elapsed()-o.sent) / float64(time.Millisecond)
	t.done++
	t.response = append(t.response, took)
	if o.query {
		t.queries++
		t.asking = append(t.asking, took)
		if stamp < o.stamp {
			t.stale++
		}
	}
}
