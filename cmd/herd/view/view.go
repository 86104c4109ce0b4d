// Package view says in words what the servers' statuses mean: whether they agree, what is wrong, how long
// something took. It makes hostile strings safe for a terminal. The commands and the page share it.
//
// Package style has the colors.
package view

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

// Level is how good a piece of news is.
type Level int

// The levels, the best first.
const (
	Good    Level = iota
	Unknown       // nothing is known, or nothing is expected
	Notice        // it ends by itself, or is over
	Bad           // somebody has to do something
)

// String is good, unknown, notice or bad.
func (l Level) String() string { return []string{"good", "unknown", "notice", "bad"}[l] }

// Text is a text with its level.
type Text struct {
	Level Level
	Text  string
}

// FullDigest replaces the digest of a server that has dropped records beyond max_clients: its records are
// not compared.
const FullDigest = "full"

// Agreement says whether a server has the records of its neighbors: the worst that is known of them. All is
// the latest answers of all servers, or nil if only s is known. Remarks has details.
func Agreement(s *herd.Status, all []ask.Status) Text {
	if s.Digest == FullDigest {
		return Text{Bad, "full: lacks records"}
	}
	oldest, since := time.Time{}, time.Time{}
	full, never := false, false
	for _, l := range s.Links {
		other := statusOf(all, l.Neighbor)
		switch {
		case l.State == "plain": // a legacy neighbor: not compared
		case l.DivergedSince != nil:
			if since.IsZero() || l.DivergedSince.Before(since) {
				since = *l.DivergedSince
			}
		case l.Agreement == FullDigest:
			full = true
		case equal(s, other): // whatever they know of it
			if oldest.IsZero() {
				oldest = s.Now
			}
		case l.Checked == nil:
			never = true
		case oldest.IsZero() || l.Checked.Before(oldest):
			oldest = *l.Checked
		}
	}
	behind, lacking := Behind(s, all)
	age := s.Now.Sub(oldest)
	switch {
	case !since.IsZero():
		return Text{Bad, "diverged since " + Clock(since, s.Now)}
	case behind > 0:
		return Text{Notice, "catching up (" + Count(behind) + " behind)"}
	case full:
		return Text{Bad, "a neighbor is full"}
	case lacking > 0:
		return Text{Notice, "a neighbor is " + Count(lacking) + " behind"}
	case len(s.Links) == 0:
		return Text{Unknown, "no neighbors"}
	case never || oldest.IsZero():
		return Text{Unknown, "not compared"}
	case age > herd.ComparisonAge:
		return Text{Notice, "compared " + Duration(age) + " ago"}
	}
	return Text{Good, "in sync"}
}

// Behind is how many records of a neighbor's feed a server may lack, by what its neighbors say, and how many of
// its own a neighbor that did not answer may lack. Between servers with equal digests it is 0, because a
// record is acknowledged up to a second after it arrived.
func Behind(s *herd.Status, all []ask.Status) (behind, lacking uint64) {
	for _, l := range s.Links {
		other := statusOf(all, l.Neighbor)
		switch {
		case other == nil:
			lacking = max(lacking, l.Behind)
		default:
			behind = max(behind, Lag(other, linkTo(other, s.Server), all))
		}
	}
	return behind, lacking
}

// Lag is how many records of a server's feed its neighbor may lack: 0 if both have the same records.
func Lag(s *herd.Status, l herd.LinkStatus, all []ask.Status) uint64 {
	if equal(s, statusOf(all, l.Neighbor)) {
		return 0
	}
	return l.Behind
}

// linkTo is a server's link to a neighbor; the zero value if it has none.
func linkTo(s *herd.Status, neighbor string) herd.LinkStatus {
	for _, l := range s.Links {
		if l.Neighbor == neighbor {
			return l
		}
	}
	return herd.LinkStatus{}
}

// equal reports whether two servers have the same records.
func equal(a, b *herd.Status) bool {
	return a != nil && b != nil && a.Digest == b.Digest && a.Records == b.Records && a.Digest != FullDigest
}

// statusOf is the status of the server called name; nil if it did not answer.
func statusOf(all []ask.Status, name string) *herd.Status {
	for _, a := range all {
		if a.Server == name {
			return a.Status
		}
	}
	return nil
}

// DigestsDiffer reports whether servers that answered have different records. While the herd is written to,
// they differ in any snapshot: see Disagree.
func DigestsDiffer(all []ask.Status) bool {
	var first *herd.Status
	for _, a := range all {
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
// now, and no feed has moved since answers that are at least half a second older.
func Disagree(before, now []ask.Status) bool {
	for _, a := range now {
		if b := statusOf(before, a.Server); a.Status != nil && b != nil && a.Status.Tail != b.Tail {
			return false
		}
	}
	return DigestsDiffer(now)
}

// Live reports whether a link is live in both directions. A legacy neighbor (state "plain") connects only
// when it has something to send.
func Live(l herd.LinkStatus) bool {
	return l.State == "live" && l.Receiving || l.State == "plain"
}

// LiveLinks counts live links.
func LiveLinks(s *herd.Status) (n int) {
	for _, l := range s.Links {
		if Live(l) {
			n++
		}
	}
	return n
}

// Line is a remark about one or more servers, or about the herd if there are none.
type Line struct {
	Servers []string
	Text    string
}

// Summary is the state of a herd in words.
type Summary struct {
	Answered, Consoles int    // servers that answered, of those with a console
	Problems           []Line // somebody has to do something
	Notes              []Line // what is unusual, or was
}

// Summarize makes a summary of all servers' answers. Disagree is the result of Disagree.
func Summarize(all []ask.Status, disagree bool) Summary {
	var v Summary
	for _, a := range all {
		if !a.NoConsole {
			v.Consoles++
		}
		switch {
		case a.Status != nil:
			v.Answered++
		case !a.NoConsole:
			v.Problems = add(v.Problems, a.Server, a.Error)
		}
	}
	if disagree {
		v.Problems = append(v.Problems, Line{Text: "the servers do not have the same records"})
	}
	v.Notes = Differences(all)
	for _, a := range all {
		for _, r := range Remarks(a.Status) {
			if r.Level == Bad {
				v.Problems = add(v.Problems, a.Server, r.Text)
			} else {
				v.Notes = add(v.Notes, a.Server, r.Text)
			}
		}
	}
	return v
}

// add adds a remark about a server. Servers with the same remark share a line.
func add(all []Line, server, text string) []Line {
	i := slices.IndexFunc(all, func(l Line) bool { return l.Text == text && len(l.Servers) > 0 })
	if i < 0 {
		return append(all, Line{[]string{server}, text})
	}
	all[i].Servers = append(all[i].Servers, server)
	return all
}

// Well reports whether all servers with a console answered and nothing is wrong. It is false if no server
// has a console.
func (v Summary) Well() bool {
	return v.Consoles > 0 && v.Answered == v.Consoles && len(v.Problems) == 0
}

// HasProblem reports whether a server has a problem now. Past events, which are only counted, do not matter.
func HasProblem(s *herd.Status) bool {
	return slices.ContainsFunc(Remarks(s), func(t Text) bool { return t.Level == Bad })
}

// Count formats a number with commas.
func Count[N int | uint64](n N) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Number is Count in at most 9 characters: from 10 million on, it has three digits and a unit.
func Number[N int | uint64](n N) string {
	f := float64(n)
	if f < 1e7 {
		return Count(n)
	}
	for _, unit := range []string{"k", "M", "G", "T", "P"} {
		if f /= 1000; f < 999.5 {
			return fmt.Sprintf("%.3g%s", f, unit)
		}
	}
	return fmt.Sprintf("%.3gE", f/1000)
}

// Bytes formats a number of bytes with a unit and three digits.
func Bytes(n float64) string {
	for _, unit := range []string{"bytes", "kB", "MB"} {
		if n < 999.5 {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f GB", n)
}

// Plural formats a number with its unit.
func Plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Clock formats a time in the local time zone: of today without its date.
func Clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateOnly)
}

// Duration formats a duration in at most two units, from days to seconds, and 7 characters. A negative one,
// by a clock that was set, is 0s.
func Duration(d time.Duration) string {
	s := int64(max(0, d).Round(time.Second).Seconds())
	if s >= 100*86400 {
		return fmt.Sprintf("%dd", s/86400)
	}
	for _, unit := range []struct {
		of          int64
		large, less string
		lessOf      int64
	}{{86400, "d", "h", 3600}, {3600, "h", "m", 60}, {60, "m", "s", 1}} {
		if s >= unit.of {
			return fmt.Sprintf("%d%s%d%s", s/unit.of, unit.large, s%unit.of/unit.lessOf, unit.less)
		}
	}
	return fmt.Sprintf("%ds", s)
}

// Latency formats seconds with two or three significant digits; "-" if nothing was measured.
func Latency(seconds float64, known bool) string {
	switch d := time.Duration(seconds * 1e9); {
	case !known:
		return "-"
	case d < 100*time.Microsecond:
		return "0.1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", seconds)
	default:
		return Duration(d)
	}
}

// ClockOf says how far a neighbor's clock is from the server's.
func ClockOf(c *herd.ClockStatus) string {
	if c == nil {
		return "unknown"
	}
	ahead, off := math.Abs(c.Ahead), c.Uncertainty
	if ahead <= off { // they may be equal
		return "within " + Latency(ahead+off, true)
	}
	how := " ahead"
	if c.Ahead < 0 {
		how = " behind"
	}
	return Latency(ahead, true) + how
}

// join is strings.Join of what is not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}
