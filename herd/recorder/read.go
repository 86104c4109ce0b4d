package recorder

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"serverherd/protocol"
)

var kindNames = [...]string{Stored: "stored", Applied: "applied", Duplicate: "duplicate", Read: "read", Sent: "sent", Copied: "copied"}

// String returns the name that JSON has.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Event is a recorded event, as a value: read on the loop, used anywhere. Which fields are set depends on Kind: see the
// package's documentation.
type Event struct {
	At       time.Duration // since the recorder was made
	Kind     Kind
	K        int    // the K that was in force
	Neighbor string // "" if Stored or Read

	Hash     uint64 // Stored, Applied, Duplicate, Read
	Position uint64 // Stored, Applied, Read
	ID       []byte // the first IDBytes of the client's id, likewise
	IDLength int    // the length of the whole id

	First, Last uint64 // Sent, Copied
	New, Old    uint64 // Copied: the numbers of records that were new and that were not
}

func (r *Recorder) event(s *slot) Event {
	e := Event{At: s.at, Kind: s.kind, K: int(s.k)}
	if s.kind != Stored && s.kind != Read {
		e.Neighbor = r.neighbors[s.neighbor]
	}
	switch s.kind {
	case Sent:
		e.First, e.Last = s.hash, s.position
	case Copied:
		e.First, e.Last = s.hash, s.position
		e.New, e.Old = binary.LittleEndian.Uint64(s.id[:]), binary.LittleEndian.Uint64(s.id[8:])
	default:
		e.Hash, e.Position, e.IDLength = s.hash, s.position, int(s.idLength)
		e.ID = append([]byte(nil), s.id[:min(e.IDLength, IDBytes)]...)
	}
	return e
}

// Covers reports whether a Sent or Copied event may be about the record at a position.
func (e *Event) Covers(position uint64) bool {
	return (e.Kind == Sent || e.Kind == Copied) && position != 0 && e.First <= position && position <= e.Last
}

// ofFlood reports whether an event is about the record with a hash, or may be: see Covers.
func (s *slot) ofFlood(hash, position uint64) bool {
	if s.kind == Sent || s.kind == Copied {
		return position != 0 && s.hash <= position && position <= s.position
	}
	return s.hash == hash
}

// Page is a part of a ring.
type Page struct {
	Events []Event
	Next   uint64 // the number of the event after them
	Missed uint64 // events before them that are not in the ring any more
}

// Sampled returns events of the sampled ring, from number since on, at most most of them.
func (r *Recorder) Sampled(since uint64, most int) Page { return r.page(&r.sampled, since, most) }

// Recent returns events of the recent ring, likewise.
func (r *Recorder) Recent(since uint64, most int) Page { return r.page(&r.recent, since, most) }

func (r *Recorder) page(from *ring, since uint64, most int) Page {
	oldest := from.count - min(from.count, Size)
	since = min(since, from.count) // of a process before this one
	p := Page{Next: max(since, oldest), Missed: max(since, oldest) - since}
	n := min(from.count-p.Next, uint64(most))
	p.Events = make([]Event, 0, n)
	for range n {
		p.Events = append(p.Events, r.event(&from.slots[p.Next%Size]))
		p.Next++
	}
	return p
}

// Flood returns the events about the record with a hash, and those of Sent and Copied that cover the position at which
// it is or was here; 0: unknown, then the recorder looks for it in its events. The oldest come first, at most most of
// them. It scans both rings: BenchmarkFlood says how long that takes.
func (r *Recorder) Flood(hash, position uint64, most int) []Event {
	for i := range r.recent.slots {
		if position == 0 {
			position = r.recent.slots[i].positionOf(hash)
		}
		if position == 0 {
			position = r.sampled.slots[i].positionOf(hash)
		}
	}
	recent, sampled := r.recent.flood(nil, hash, position, most), r.sampled.flood(nil, hash, position, most)
	// The last of the sampled ones are also among the recent ones, in the same order.
	older := len(sampled)
	for i := len(recent) - 1; i >= 0 && older > 0; i-- {
		if recent[i] == sampled[older-1] {
			older--
		}
	}
	found := append(sampled[:older], recent...)
	found = found[:min(len(found), most)]
	events := make([]Event, 0, len(found))
	for i := range found {
		events = append(events, r.event(&found[i]))
	}
	return events
}

// Complete returns the time from which on each record that was applied has an event of its own in the recent ring: what
// was before is not in the ring any more, or came in a copy or when the whole bucket was read.
func (r *Recorder) Complete() time.Duration {
	if r.recent.count <= Size {
		return r.copied
	}
	return max(r.copied, r.recent.slots[r.recent.count%Size].at+1)
}

// positionOf returns the position of the record with a hash, if the event says so.
func (s *slot) positionOf(hash uint64) uint64 {
	if s.hash == hash && (s.kind == Stored || s.kind == Applied || s.kind == Read) {
		return s.position
	}
	return 0
}

// flood appends the slots about a record, the oldest first.
func (r *ring) flood(found []slot, hash, position uint64, most int) []slot {
	for n := r.count - min(r.count, Size); n < r.count && len(found) < most; n++ {
		if s := &r.slots[n%Size]; s.ofFlood(hash, position) {
			found = append(found, *s)
		}
	}
	return found
}

// eventJSON is an Event as JSON.
type eventJSON struct {
	At       int64  `json:"at_ns"`
	Kind     string `json:"kind"`
	K        int    `json:"k"`
	Neighbor string `json:"neighbor,omitempty"`
	Hash     string `json:"hash,omitempty"`
	Seq      uint64 `json:"seq,omitempty"`
	ID       string `json:"id,omitempty"`
	IDBytes  string `json:"id_b64,omitempty"`
	IDLength int    `json:"id_length,omitempty"`
	First    uint64 `json:"first,omitempty"`
	Last     uint64 `json:"last,omitempty"`
	New      uint64 `json:"new,omitempty"`
	Old      uint64 `json:"old,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	j := eventJSON{At: e.At.Nanoseconds(), Kind: e.Kind.String(), K: e.K, Neighbor: e.Neighbor, Seq: e.Position,
		IDLength: e.IDLength, First: e.First, Last: e.Last, New: e.New, Old: e.Old}
	if e.Kind < Sent {
		j.Hash = protocol.Digest(e.Hash).String()
		j.ID, j.IDBytes = protocol.Escape(e.ID), base64.StdEncoding.EncodeToString(e.ID)
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Event) UnmarshalJSON(p []byte) error {
	var j eventJSON
	if err := json.Unmarshal(p, &j); err != nil {
		return err
	}
	*e = Event{At: time.Duration(j.At), K: j.K, Neighbor: j.Neighbor, Position: j.Seq, IDLength: j.IDLength,
		First: j.First, Last: j.Last, New: j.New, Old: j.Old}
	for k, name := range kindNames {
		if name != "" && name == j.Kind {
			e.Kind = Kind(k)
		}
	}
	if e.Kind == 0 {
		return fmt.Errorf("unknown kind of event %q", j.Kind)
	}
	if e.Kind >= Sent {
		return nil
	}
	hash, ok := protocol.ParseDigest(j.Hash)
	if !ok {
		return fmt.Errorf("invalid hash %q", j.Hash)
	}
	e.Hash = uint64(hash)
	var err error
	e.ID, err = base64.StdEncoding.DecodeString(j.IDBytes)
	return err
}
