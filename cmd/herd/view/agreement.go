package view

import (
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

// FullDigest replaces the digest of a server that has dropped records beyond max_clients: its records are
// not compared.
const FullDigest = "full"

// Settling is how long updates may be on their way where nothing is wrong: the time between the two answers that Of
// gets.
const Settling = 500 * time.Millisecond

// Herd is what is known about all servers: their latest answers, and those of a moment before, by which updates
// that are under way are told from records that a server lacks.
type Herd struct {
	All         []ask.Status
	before, now map[string]*herd.Status
}

// Of returns what all servers' answers say. Before is their answers at least Settling earlier, or nil.
func Of(before, all []ask.Status) *Herd {
	return &Herd{All: all, before: byName(before), now: byName(all)}
}

func byName(all []ask.Status) map[string]*herd.Status {
	m := make(map[string]*herd.Status, len(all))
	for _, a := range all {
		if a.Status != nil {
			m[a.Server] = a.Status
		}
	}
	return m
}

// Status is the status of a server; nil if it did not answer.
func (h *Herd) Status(server string) *herd.Status { return h.now[server] }

// underWay is how long updates may be on their way: a server that lacks no more than a neighbor got in that time
// is not catching up, it is busy.
const underWay = time.Second

// UnderWay is the agreement of a server that lacks only what has just come to a neighbor.
var UnderWay = Text{Good, "updates under way"}

// Agreement says whether a server has the records of its neighbors: the worst that is known of them. Remarks has
// details.
func (h *Herd) Agreement(s *herd.Status) Text {
	if s.Digest == FullDigest {
		return Text{Bad, "full: lacks records"}
	}
	oldest, since := time.Time{}, time.Time{}
	full, never := false, false
	for i := range s.Links {
		l := &s.Links[i]
		switch {
		case l.State == herd.LinkLegacy: // not compared
		case l.DivergedSince != nil:
			if since.IsZero() || l.DivergedSince.Before(since) {
				since = *l.DivergedSince
			}
		case l.Agreement == FullDigest:
			full = true
		case equal(s, h.now[l.Neighbor]): // whatever they know of it
			if oldest.IsZero() {
				oldest = s.Now
			}
		case l.Checked == nil:
			never = true
		case oldest.IsZero() || l.Checked.Before(oldest):
			oldest = *l.Checked
		}
	}
	lag := h.behind(s)
	age := s.Now.Sub(oldest)
	switch {
	case !since.IsZero():
		return Text{Bad, "diverged since " + Clock(since, s.Now)}
	case lag.behind > 0 && !lag.busy:
		return Text{Notice, "catching up (" + Count(lag.behind) + " behind)"}
	case full:
		return Text{Bad, "a neighbor is full"}
	case lag.lacking > 0:
		return Text{Notice, "a neighbor is " + Count(lag.lacking) + " behind"}
	case len(s.Links) == 0:
		return Text{Unknown, "no neighbors"}
	case never || oldest.IsZero():
		return Text{Unknown, "not compared"}
	case lag.behind > 0, age > herd.ComparisonAge && h.growth(s) > 0: // servers compare when nothing is under way
		return UnderWay
	case age > herd.ComparisonAge:
		return Text{Notice, "compared " + Duration(age) + " ago"}
	}
	return Text{Good, "in sync"}
}

// Short is the text in fewer words, for narrow columns.
func (t Text) Short() string { return shorter.Replace(t.Text) }

var shorter = strings.NewReplacer("catching up (", "", ")", "", "diverged since", "diverged", "a neighbor is ", "neighbor ", "updates under way", "under way")

// Behind is how many records of a neighbor's feed a server may lack, by what its neighbors say, and how many of its
// own a neighbor that did not answer may lack.
func (h *Herd) Behind(s *herd.Status) (behind, lacking uint64) {
	all := h.behind(s)
	return all.behind, all.lacking
}

// lag is what a server lacks.
type lag struct {
	behind  uint64 // of records of a neighbor's feed, at most
	busy    bool   // no more than a neighbor got within underWay
	lacking uint64 // of its own records, a neighbor that did not answer, at most
}

// behind finds out what a server lacks, by what its neighbors say.
func (h *Herd) behind(s *herd.Status) lag {
	all := lag{busy: true}
	for i := range s.Links {
		l := &s.Links[i]
		other := h.now[l.Neighbor]
		if other == nil {
			all.lacking = max(all.lacking, h.Lag(s, l))
			continue
		}
		back := other.Link(s.Server)
		if back == nil {
			continue
		}
		n := h.Lag(other, back)
		all.behind = max(all.behind, n)
		all.busy = all.busy && float64(n) <= h.growth(other)
	}
	return all
}

// growth is how many updates have come to a server within underWay, by its last two answers; of an unknown time
// 0.
func (h *Herd) growth(s *herd.Status) float64 {
	before := h.before[s.Server]
	if before == nil || before.Epoch != s.Epoch || before.Tail > s.Tail || !before.Now.Before(s.Now) {
		return 0
	}
	return float64(s.Tail-before.Tail) * max(1, underWay.Seconds()/s.Now.Sub(before.Now).Seconds())
}

// shortestAT is less than the bytes of any AT line between servers.
const shortestAT = 16

// Lag is an upper bound on the records of a server's feed that a neighbor lacks: 0 if both have the same records.
// LinkStatus.Behind is a difference of feed positions. It has the updates that the neighbor itself sent, up to a second
// after they came; all updates of a client, of which only the last one is a record; and what is not acknowledged yet. So
// the neighbor lacks no more than the positions that are not sent, the lines that are not acknowledged, and the records
// that there are.
func (h *Herd) Lag(s *herd.Status, l *herd.LinkStatus) uint64 {
	if equal(s, h.now[l.Neighbor]) {
		return 0
	}
	n := min(l.Behind, s.Records)
	if l.Sent <= s.Tail {
		lines := uint64(max(0, l.Unacknowledged)+shortestAT-1) / shortestAT
		n = min(n, s.Tail-l.Sent+lines)
	}
	return n
}

// equal reports whether two servers have the same records.
func equal(a, b *herd.Status) bool {
	return a != nil && b != nil && a.Digest == b.Digest && a.Records == b.Records && a.Digest != FullDigest
}

// Differ reports whether servers that answered have different records. While the herd is written to, they differ
// in any snapshot: see Disagree.
func (h *Herd) Differ() bool {
	var first *herd.Status
	for _, a := range h.All {
		switch {
		case a.Status == nil || a.Status.Digest == FullDigest:
		case first == nil:
			first = a.Status
		case !equal(first, a.Status):
			return true
		}
	}
	return false
}

// Disagree reports whether servers have different records, and no update is on its way: their digests differ
// now, and no feed has moved since the answers before.
func (h *Herd) Disagree() bool {
	if len(h.before) == 0 {
		return false
	}
	for _, a := range h.All {
		if b := h.before[a.Server]; a.Status != nil && b != nil && a.Status.Tail != b.Tail {
			return false
		}
	}
	return h.Differ()
}
