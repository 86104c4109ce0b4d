package herd

import (
	"time"

	"serverherd/herd/feed"
	"serverherd/herd/link"
	"serverherd/herd/recorder"
	"serverherd/protocol"
)

// This file is what is written to the flight recorder by links, and what is read from it.

// copied counts the records of a copy or resume since the last MARK, for one event of the flight recorder. Loop only.
type copied struct {
	applied, duplicates int
	first, last         uint64 // positions of those applied
}

// recordAT records an AT line, or counts it if it belongs to a copy.
func (in *inbound) recordAT(at link.AT) {
	srv := in.server()
	switch tail := srv.store.Tail(); {
	case at.Outcome == feed.Full:
	case at.Copy && at.Outcome == feed.Stored:
		if in.copied.applied == 0 {
			in.copied.first = tail
		}
		in.copied.applied++
		in.copied.last = tail
	case at.Copy:
		in.copied.duplicates++
	case at.Outcome == feed.Stored:
		srv.recorder.Applied(in.session.now, in.neighbor.index, srv.store.Offered(), tail, at.Record.Client())
	default:
		srv.recorder.Duplicate(in.session.now, in.neighbor.index, srv.store.Offered(), at.Record.Client())
	}
}

// recordCopied records what was copied since it was last called: at a MARK, at the end of the connection, and before
// somebody looks.
func (in *inbound) recordCopied() {
	if c := &in.copied; c.applied+c.duplicates > 0 {
		in.server().recorder.Copied(in.session.now, in.neighbor.index, c.first, c.last, c.applied, c.duplicates)
		*c = copied{}
	}
}

// FlightStamp says which server's flight recorder an answer is from, and when it was read. It relates the times of
// events to the wall clock: an event with at_ns was at Now - (now_ns - at_ns).
type FlightStamp struct {
	Server string    `json:"server"`
	Epoch  string    `json:"epoch"`
	Now    time.Time `json:"now"`
	NowNS  int64     `json:"now_ns"` // Now on the clock of the events
	// K: a record is sampled if its hash begins with this many zero bits.
	K int `json:"k"`
}

// Wall returns an event's time on the server's wall clock.
func (s *FlightStamp) Wall(at time.Duration) time.Time { return s.Now.Add(at - time.Duration(s.NowNS)) }

func (srv *Server) flightStamp() FlightStamp {
	now := srv.reactor.Now()
	return FlightStamp{Server: srv.name, Epoch: srv.epoch.String(), Now: now,
		NowNS: srv.recorder.Elapsed(now).Nanoseconds(), K: srv.recorder.K()}
}

// EventPage is a part of a ring of the flight recorder.
type EventPage struct {
	FlightStamp
	Ring   string           `json:"ring"` // "recent" or "sampled"
	Events []recorder.Event `json:"events"`
	Next   uint64           `json:"next"`   // ask for events since this number next
	Missed uint64           `json:"missed"` // events before these that the ring no longer has
}

// MaxEvents is the maximum number of events in an EventPage and in a Flood.
const MaxEvents = 1024

// Events returns events of the sampled or the recent ring, from number since on. Loop only.
func (srv *Server) Events(sampled bool, since uint64) EventPage {
	p, ring := recorder.Page{}, "recent"
	if sampled {
		p, ring = srv.recorder.Sampled(since, MaxEvents), "sampled"
	} else {
		p = srv.recorder.Recent(since, MaxEvents)
	}
	return EventPage{srv.flightStamp(), ring, p.Events, p.Next, p.Missed}
}

// Flood is what one server knows about the spread of one update.
type Flood struct {
	FlightStamp
	Hash   string           `json:"hash"`             // of the update that the events are about; "" if there is none
	Latest *FloodRecord     `json:"latest,omitempty"` // the client's record here: this update, or another one
	Events []recorder.Event `json:"events"`
	// CompleteNS: since this time each record that was applied has an event.
	CompleteNS int64        `json:"complete_ns"`
	Full       bool         `json:"full"` // this server has dropped records because of max_clients
	Links      []LinkStatus `json:"links"`
}

// FloodRecord is a client's record on one server.
type FloodRecord struct {
	AT       []byte `json:"at_b64"` // the AT line, without CRLF
	Hash     string `json:"hash"`
	Seq      uint64 `json:"seq"`                // position in the feed
	Source   string `json:"source"`             // "client" of this server, "neighbor", "journal" or "bucket"
	Neighbor string `json:"neighbor,omitempty"` // its name; "" if that process is not known any more
	// FromEpoch is the process that sent it, see Status.Epoch; "" if no neighbor did.
	FromEpoch string `json:"from_epoch,omitempty"`
}

// Flood returns what the flight recorder has about a client's update with a hash; 0: the latest. Loop only. See
// recorder.Recorder.Flood for how long it takes.
func (srv *Server) Flood(client []byte, hash uint64) Flood {
	for _, n := range srv.neighbors {
		for _, in := range n.inbounds {
			in.recordCopied()
		}
	}
	f := Flood{FlightStamp: srv.flightStamp(), CompleteNS: srv.recorder.Complete().Nanoseconds(),
		Full: srv.store.Overflowed(), Links: []LinkStatus{}, Events: []recorder.Event{}}
	for _, n := range srv.neighbors {
		f.Links = append(f.Links, n.status())
	}
	position := uint64(0)
	if item, ok := srv.store.Lookup(client); ok {
		f.Latest = &FloodRecord{AT: item.Record.AppendAT(nil), Hash: protocol.Digest(item.Hash).String(), Seq: item.Seq}
		f.Latest.Source, f.Latest.Neighbor = srv.Source(item)
		if f.Latest.Source == "neighbor" {
			f.Latest.FromEpoch = item.From.String()
		}
		if hash == 0 {
			hash = item.Hash
		}
		if hash == item.Hash {
			position = item.Seq
		}
	}
	if hash != 0 {
		f.Hash = protocol.Digest(hash).String()
		f.Events = append(f.Events, srv.recorder.Flood(hash, position, MaxEvents)...)
	}
	return f
}

// Source returns where a record came from: "client", "journal", "bucket" or "neighbor", and then the neighbor's name, or "" if it
// was sent by a process that is not known any more. Loop only.
func (srv *Server) Source(item feed.Item) (source, neighbor string) {
	switch {
	case srv.bridge != nil && item.From == srv.bridge.epoch:
		return "bucket", ""
	case item.From != 0:
		return "neighbor", srv.Sender(item.From)
	case item.Seq <= srv.loaded:
		return "journal", ""
	}
	return "client", ""
}
