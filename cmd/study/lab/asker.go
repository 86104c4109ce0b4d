package lab

import (
	"bytes"
	"fmt"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/feed"
	"serverherd/protocol"
	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// asker is one server of a herd that looks up on demand, the alternative to flooding in section 3.3 of the
// paper: a location is stored only at the server that its client is connected to, and other servers ask for
// it when they need it.
//
// It is a favorable implementation: a request is flooded along the topology up to servers that know the
// client, and the answer takes the reverse path immediately. It assumes that clients stay with their server
// and that every client exists, so there are no negative answers. Loop only.
type asker struct {
	name      string
	reactor   *memreactor.Reactor
	store     *feed.Store
	neighbors []reactor.Transport
	asked     int     // queries of its own clients
	messages  *uint64 // count of messages between all askers
	record    protocol.Record
	// waiting has the callbacks for answers, by request. Entries are kept, to detect a request that arrives
	// again by another path.
	waiting map[string]func(at []byte)
}

// newAskers starts a herd of askers in a simulated world.
func newAskers(w *memreactor.World, servers []config.Server, messages *uint64) []*asker {
	var all []*asker
	for i, s := range servers {
		a := &asker{name: s.Name, reactor: w.NewReactor(s.Name), store: feed.NewStore("askers", 1_000_000),
			waiting: map[string]func([]byte){}, messages: messages}
		if _, err := a.reactor.ListenTCP(a.reactor.Listen(s.Address), a); err != nil {
			panic(err) // cannot fail in the simulation
		}
		for _, other := range servers[:i] { // an edge is one connection, used in both directions
			for _, n := range s.Neighbors {
				if n == other.Name {
					a.reactor.ConnectTCP(other.Address, time.Minute, edge{a})
				}
			}
		}
		all = append(all, a)
	}
	w.RunFor(time.Second)
	return all
}

// BuildProtocol implements reactor.Factory.
func (a *asker) BuildProtocol(string) reactor.Protocol { return a.newEnd() }

// edge is the factory of the connections that an asker dials: those to neighbors.
type edge struct{ *asker }

// BuildProtocol implements reactor.Factory.
func (d edge) BuildProtocol(string) reactor.Protocol {
	e := d.newEnd()
	e.dialed = true
	return e
}

// ConnectionFailed implements reactor.ClientFactory.
func (d edge) ConnectionFailed(reason error) { panic(reason) } // connections do not fail in this simulation

// end is one connection of an asker: a client's or, after the line NEIGHBOR, a neighbor's.
type end struct {
	*reactor.LineReceiver
	asker  *asker
	t      reactor.Transport
	dialed bool
}

func (a *asker) newEnd() *end {
	e := &end{asker: a}
	e.LineReceiver = reactor.NewLineReceiver(16384, e)
	return e
}

// ConnectionMade implements reactor.Protocol.
func (e *end) ConnectionMade(t reactor.Transport) {
	e.t = t
	if e.dialed {
		e.asker.neighbors = append(e.asker.neighbors, t)
		t.Write([]byte("NEIGHBOR\n"))
	}
}

// ConnectionLost implements reactor.Protocol.
func (e *end) ConnectionLost(error) {}

// LineLengthExceeded implements reactor.LineHandler.
func (e *end) LineLengthExceeded([]byte) {}

// LineReceived implements reactor.LineHandler.
func (e *end) LineReceived(line []byte) {
	a := e.asker
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(verb) {
	case "NEIGHBOR":
		a.neighbors = append(a.neighbors, e.t)
	case "ASK":
		number, client, _ := bytes.Cut(rest, []byte(" "))
		id := string(number) // line is reused before the answer arrives
		a.seek(id, client, e.t, func(at []byte) { a.send(e.t, "TELL %s %s\n", id, at) })
	case "TELL":
		id, at, _ := bytes.Cut(rest, []byte(" "))
		if answer := a.waiting[string(id)]; answer != nil {
			answer(bytes.Clone(at))
		}
	default:
		e.command(line)
	}
}

// command handles a client's line.
func (e *end) command(line []byte) {
	a := e.asker
	c, err := protocol.Paper.Parse(line, protocol.MaxClientID)
	switch {
	case err != nil:
		e.t.Write(protocol.Paper.AppendUnknown(nil, line))
	case c.Verb == protocol.VerbIAMAT:
		a.record = protocol.MakeRecord(a.record.Text(), a.name, a.reactor.Now(), c)
		a.store.ApplyOwn(a.record)
		e.t.Write(protocol.Paper.AppendAck(nil, a.record))
	default:
		a.asked++
		id := fmt.Sprintf("%s.%d", a.name, a.asked)
		a.seek(id, c.Client, nil, func(at []byte) {
			nothing := func(dst []byte) []byte { return append(dst, "{}"...) }
			reply, _ := protocol.Paper.AppendWhatsat(nil, at, nothing)
			e.t.Write(reply)
		})
	}
}

// seek answers with a client's AT line, or sends the request to all neighbors except the one that it came
// from.
func (a *asker) seek(id string, client []byte, from reactor.Transport, answer func(at []byte)) {
	if _, known := a.waiting[id]; known {
		return // it arrived by another path before
	}
	if item, ok := a.store.Lookup(client); ok {
		a.waiting[id] = nil
		answer(item.Record.AppendAT(nil))
		return
	}
	a.waiting[id] = answer
	for _, n := range a.neighbors {
		if n != from {
			a.send(n, "ASK %s %s\n", id, client)
		}
	}
}

func (a *asker) send(to reactor.Transport, format string, args ...any) {
	*a.messages++
	to.Write(fmt.Appendf(nil, format, args...))
}
