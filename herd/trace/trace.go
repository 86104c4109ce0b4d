// Package trace builds the tree by which one update spread, from what the flight recorders of all servers have about
// it. It is pure: the answers are its input.
package trace

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/recorder"
	"serverherd/protocol"
)

// Answer is one server's part.
type Answer struct {
	Server string
	Error  string // why Flood is nil
	Flood  *herd.Flood
}

// Outcome is how an update came to a server, or why it did not.
type Outcome string

// The outcomes.
const (
	FromClient   Outcome = "client"     // it was sent by a client of this server
	FromNeighbor Outcome = "neighbor"   // it came on a link
	Copied       Outcome = "copied"     // it came in a copy or a resume of a link
	Journal      Outcome = "journal"    // it was loaded from the journal
	Bucket       Outcome = "bucket"     // it was read from the bucket that several herds share
	Old          Outcome = "old"        // it is here; its events are not in the rings any more
	Superseded   Outcome = "superseded" // a newer one is here: since before this one was sent, or arrived, if Why says so
	Behind       Outcome = "behind"     // it is not here
	Unanswered   Outcome = "unanswered" // the server did not answer
)

// Delay is a time between two servers.
type Delay struct {
	Seconds float64 `json:"seconds"`
	// Uncertainty is half of the round trip of the PING by which the clocks were compared; 0 between servers on one machine.
	Uncertainty float64 `json:"uncertainty"`
}

// Node is one server in the tree.
type Node struct {
	Server  string  `json:"server"`
	Outcome Outcome `json:"outcome"`
	From    string  `json:"from,omitempty"` // the neighbor, if known
	Depth   int     `json:"depth"`          // 0: a root
	Holds   bool    `json:"holds"`          // it is the client's record on this server now
	// At is when it was applied, on this server's clock.
	At *time.Time `json:"at,omitempty"`
	// After is the time since the root had it, Hop the time since From had it. Both are nil if unknown.
	After *Delay `json:"after,omitempty"`
	Hop   *Delay `json:"hop,omitempty"`
	// Restarted: the process of From that sent it was another one than now.
	Restarted  bool        `json:"restarted,omitempty"`
	Duplicates []Duplicate `json:"duplicates,omitempty"`
	Why        string      `json:"why,omitempty"` // Superseded, Behind, Unanswered
}

// Duplicate is an AT line that a server had already.
type Duplicate struct {
	From string    `json:"from"`
	At   time.Time `json:"at"` // on the server's clock
}

// Has reports whether the update is, or was, on the server.
func (n *Node) Has() bool { return n.Holds || n.At != nil }

// Tree is the way of one update through the herd.
type Tree struct {
	AT    []byte `json:"at_b64"` // the AT line
	Hash  string `json:"hash"`   // of the record, the same on every server
	Nodes []Node `json:"nodes"`  // each after the one that it is below; at the end those that do not have it
	// Received is the number of AT lines of this update that servers are known to have received outside of copies, Most
	// is how many a flood needs at most: 2E-(N-1), for E edges and N servers.
	Received   int `json:"received"`
	Duplicates int `json:"duplicates"`
	Most       int `json:"most"`
	Edges      int `json:"edges"`
}

// ErrUnknown is the error if no server that answered knows the client.
var ErrUnknown = errors.New("no server knows this client")

// Latest returns the hash and the AT line of the greatest record of a client in all answers: the update to trace.
func Latest(client []byte, answers []Answer) (hash string, at []byte, err error) {
	var greatest protocol.Record
	for _, a := range answers {
		if a.Flood == nil || a.Flood.Latest == nil {
			continue
		}
		r, err := record(a.Flood.Latest.AT)
		if err != nil || !bytes.Equal(r.Client(), client) || Number(a.Flood.Latest.Hash) == 0 {
			continue // Build reports it
		}
		if at == nil || r.Compare(greatest) > 0 {
			greatest, hash, at = r, a.Flood.Latest.Hash, a.Flood.Latest.AT
		}
	}
	if at == nil {
		return "", nil, ErrUnknown
	}
	return hash, at, nil
}

// Merge returns the second answers about an update with a hash, but for servers whose flight recorder has lost its events
// since the first ones: of these the first.
func Merge(hash string, first, second []Answer) []Answer {
	merged := slices.Clone(second)
	for i, a := range first {
		f := second[i].Flood
		if a.Flood != nil && a.Flood.Hash == hash && (f == nil || len(f.Events) < len(a.Flood.Events)) {
			merged[i] = a
		}
	}
	return merged
}

// Number returns a hash as a number; 0 if it is none.
func Number(hash string) uint64 {
	n, _ := protocol.ParseDigest(hash)
	return uint64(n)
}

// record parses an AT line as clients get it.
func record(at []byte) (protocol.Record, error) {
	l, err := protocol.ParseLink(fmt.Appendf(nil, "%s x", at))
	if err != nil || l.Verb != protocol.LinkAT {
		return protocol.Record{}, errors.New("not an AT line")
	}
	return l.Record, nil
}

// Build builds the tree of the update with a hash, whose AT line is at. All answers must be about it.
func Build(servers []config.Server, answers []Answer, hash string, at []byte) (*Tree, error) {
	traced, err := record(at)
	if err != nil {
		return nil, err
	}
	b := newBuilder(servers, answers, hash)
	b.traced = traced
	t := &Tree{AT: at, Hash: hash}
	for i, s := range servers {
		for _, other := range servers[:i] {
			if slices.Contains(s.Neighbors, other.Name) {
				t.Edges++
			}
		}
	}
	t.Most = 2*t.Edges - (len(servers) - 1)
	for _, p := range b.order {
		t.Received += p.received
		t.Duplicates += len(p.node.Duplicates)
		b.missing(p)
		p.node.Restarted = b.restarted(p)
	}
	b.delays()
	t.Nodes = b.tree()
	return t, nil
}

// newBuilder reads the answers about the update with a hash.
func newBuilder(servers []config.Server, answers []Answer, hash string) *builder {
	b := &builder{servers: servers, hash: hash, parts: make(map[string]*part)}
	for i, s := range servers {
		p := &part{server: s, flood: answers[i].Flood}
		p.node = Node{Server: s.Name}
		b.parts[s.Name] = p
		b.order = append(b.order, p)
		if p.flood == nil {
			p.node.Outcome, p.node.Why = Unanswered, answers[i].Error
			continue
		}
		b.read(p)
	}
	return b
}

// part is what is known about one server.
type part struct {
	server   config.Server
	flood    *herd.Flood
	node     Node
	received int
	placed   bool
}

type builder struct {
	servers []config.Server
	hash    string
	traced  protocol.Record
	parts   map[string]*part
	order   []*part
}

// read finds out how the update came to a server, by its events and by its record.
func (b *builder) read(p *part) {
	f, n := p.flood, &p.node
	n.Holds = f.Latest != nil && f.Latest.Hash == b.hash
	for i := range f.Events {
		e := &f.Events[i]
		wall := f.Wall(e.At)
		switch {
		case !plausible(wall): // of a console that is none: it could not be encoded
		case e.Kind == recorder.Sent:
		case e.Kind == recorder.Copied:
			if n.Outcome == "" && n.Holds && e.Neighbor == f.Latest.Neighbor && e.Covers(f.Latest.Seq) {
				n.Outcome, n.From, n.At = Copied, e.Neighbor, &wall
			}
		case protocol.Digest(e.Hash).String() != b.hash:
		case e.Kind == recorder.Duplicate:
			n.Duplicates = append(n.Duplicates, Duplicate{e.Neighbor, wall})
			p.received++
		case e.Kind == recorder.Stored:
			n.Outcome, n.From, n.At = FromClient, "", &wall
		case e.Kind == recorder.Read:
			n.Outcome, n.From, n.At = Bucket, "", &wall
		case e.Kind == recorder.Applied:
			n.Outcome, n.From, n.At = FromNeighbor, e.Neighbor, &wall
			p.received++
		}
	}
	switch {
	case n.Outcome != "":
	case !n.Holds:
	case f.Latest.Source == "client":
		n.Outcome = FromClient
	case f.Latest.Source == "journal":
		n.Outcome = Journal
	case f.Latest.Source == "bucket":
		n.Outcome = Bucket
	default:
		n.Outcome, n.From = Old, f.Latest.Neighbor
	}
}

// plausible reports whether a time can be encoded as JSON.
func plausible(t time.Time) bool { return t.Year() > 1 && t.Year() < 9999 }

// missing finds out why the update is not on a server.
func (b *builder) missing(p *part) {
	f, n := p.flood, &p.node
	if n.Outcome != "" {
		return
	}
	n.Outcome = Behind
	if f.Latest != nil {
		r, err := record(f.Latest.AT)
		switch {
		case err != nil || !bytes.Equal(r.Client(), b.traced.Client()):
			n.Outcome, n.Why = Unanswered, "its answer is not about this client"
			return
		case r.Compare(b.traced) > 0:
			n.Outcome, n.Why = Superseded, "it has a newer update"
			if b.neverHad(p) {
				n.Why = "a newer update was here first"
			}
			return
		}
	}
	n.Why = b.whyBehind(p)
}

// restarted reports whether the process that sent the update to a server is not the one that answered for it.
func (b *builder) restarted(p *part) bool {
	from := b.parts[p.node.From]
	return p.knowsSender() && from != nil && from.flood != nil && from.flood.Epoch != p.flood.Latest.FromEpoch
}

// knowsSender reports whether the server knows which process sent it the update.
func (p *part) knowsSender() bool { return p.node.Holds && p.flood.Latest.FromEpoch != "" }

// neverHad reports whether the update, which is not among a server's events, would be if it had ever been here. This
// compares clocks, so it can be known on one machine only.
func (b *builder) neverHad(p *part) bool {
	for _, from := range b.order {
		if from.node.Outcome == FromClient && from.node.At != nil {
			return oneMachine(from, p) && p.flood.Wall(time.Duration(p.flood.CompleteNS)).Before(*from.node.At)
		}
	}
	return false
}

// whyBehind returns why a server does not have what its neighbors have.
func (b *builder) whyBehind(p *part) string {
	if p.flood.Full {
		return "full: it drops records beyond max_clients"
	}
	var why []string
	for _, name := range p.server.Neighbors {
		from := b.parts[name]
		switch {
		case from == nil:
			why = append(why, name+" is not in herd.toml")
		case from.flood == nil:
			why = append(why, name+" did not answer")
		case !from.node.Has():
			why = append(why, name+" does not have it")
		default:
			why = append(why, linkTo(from.flood, p.server.Name))
		}
	}
	if len(why) == 0 {
		return "it has no neighbors"
	}
	return strings.Join(why, "; ")
}

// linkTo describes the link of a server, which has the update, to a neighbor, which does not.
func linkTo(f *herd.Flood, to string) string {
	switch l := f.Link(to); {
	case l == nil:
		return f.Server + " has no link to it"
	case l.Error != "":
		return fmt.Sprintf("link from %s is %s: %s", f.Server, l.State, l.Reason())
	default:
		return fmt.Sprintf("link from %s is %s", f.Server, l.State)
	}
}
