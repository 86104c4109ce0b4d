package lab

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"serverherd/reactor/memreactor"
)

// traffic is clients that update and query a herd in virtual time. Each client has a server that
// it stays with and updates; anyone asks any server about any client. One goroutine.
type traffic struct {
	world     *memreactor.World
	rand      *rand.Rand
	addresses []string
	clients   int

	idle    [][]*memreactor.Client // connections without a question, by server
	busy    []*operation
	newest  []int64 // of each client: the stamp of the last update that was acknowledged
	stamp   int64
	counted bool // operations are measured

	done, queries, stale int
	response, asking     []float64 // in milliseconds: of all operations, of queries
}

// operation is one line under way.
type operation struct {
	conn    *memreactor.Client
	server  int
	client  int
	query   bool
	stamp   int64 // an update's own; for a query the newest that was acknowledged when it was sent
	sent    time.Duration
	counted bool
}

// Every client is known before anything is measured, and each server has as many.
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

// settle waits until everything is answered and has come everywhere.
func (t *traffic) settle() {
	for len(t.busy) > 0 {
		if !t.world.Step() {
			panic("study: an operation is never answered")
		}
		t.collect()
	}
	t.world.RunFor(time.Second)
}

// operate sends n operations at chance times, pace apart in the mean, of which a part are updates.
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

// answered says whether any operation has its reply.
func (t *traffic) answered() bool {
	for _, o := range t.busy {
		if bytes.HasSuffix(o.conn.Received(), endOfReply) {
			return true
		}
	}
	return false
}

// collect takes the replies that have come.
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
		panic(fmt.Sprintf("study: the reply to %+v is %q", *o, reply))
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
