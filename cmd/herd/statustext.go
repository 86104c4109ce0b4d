package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"serverherd/cmd/herd/engines"
	"serverherd/cmd/herd/load"
	"serverherd/herd"
)

// agreement is a server's least happy neighbor, in a few words; its remarks have the rest.
func agreement(s *herd.Status) string {
	if s.Digest == fullDigest {
		return "full"
	}
	behind, oldest := uint64(0), time.Time{}
	full, never := false, false
	for _, l := range s.Links {
		behind = max(behind, l.Behind)
		switch {
		case l.State == "plain": // nothing is compared with it
		case l.DivergedSince != nil:
			return "diverged"
		case l.Agreement == fullDigest:
			full = true
		case l.Checked == nil:
			never = true
		case oldest.IsZero() || l.Checked.Before(oldest):
			oldest = *l.Checked
		}
	}
	age := s.Now.Sub(oldest)
	switch {
	case behind > 0:
		return fmt.Sprintf("neighbor lacks %d", behind)
	case full:
		return "neighbor full"
	case len(s.Links) == 0:
		return "alone"
	case never || oldest.IsZero():
		return "not compared"
	case age > herd.ComparisonAge:
		return "compared " + uptime(age) + " ago"
	}
	return fmt.Sprintf("in sync, %.0f s ago", age.Seconds())
}

// uptime is a time in at most two units.
func uptime(d time.Duration) string {
	s := int64(d.Round(time.Second).Seconds())
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

// details are what the table has no room for: where a server listens, what it holds, how long updates take
// to come, and the clocks of its neighbors, of which each line takes as many as there is room for.
func details(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	where := fmt.Sprintf("%s, digest %s", s.Address, s.Digest)
	if s.Propagation.Count > 0 {
		where += ", updates come in " + milliseconds(s.Propagation.P99, true)
	}
	all = append(all, where)
	const head = "clocks: "
	line := head
	for _, l := range s.Links {
		text := l.Neighbor + " " + clockOf(l.Clock)
		if line != head && len(s.Server)+2+len(line)+2+len(text) > statusWidth {
			all, line = append(all, line), head
		}
		if line != head {
			line += ", "
		}
		line += text
	}
	if line != head {
		all = append(all, line)
	}
	return all
}

// clockOf tells how far a neighbor's clock is from the server's.
func clockOf(c *herd.ClockStatus) string {
	if c == nil {
		return "unknown"
	}
	ahead, off := math.Abs(c.Ahead), c.Uncertainty
	if ahead <= off { // it may as well be the same
		return "within " + shortTime(ahead+off)
	}
	how := " ahead"
	if c.Ahead < 0 {
		how = " behind"
	}
	return shortTime(ahead) + how
}

// shortTime writes seconds with two digits or more, and without those that nobody needs.
func shortTime(seconds float64) string {
	switch d := time.Duration(seconds * 1e9); {
	case d < 100*time.Microsecond:
		return "0.1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", seconds)
	default:
		return uptime(d)
	}
}

// milliseconds is a p99 in words.
func milliseconds(seconds float64, known bool) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// duplicates are the values of herd.LinkStatus.Duplicate in words.
var duplicates = map[string]string{
	"refused":    "one of them is refused",
	"taken back": "the one that had been replaced was taken back, as the other one has gone or is not at its address",
}

// remarks are an engine that is not the usual one, links that are not live, and the counters of what
// should not happen.
func remarks(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	if s.Engine != engines.Names[0] {
		all = append(all, "its engine is "+s.Engine+", which is for comparing")
	}
	if s.Digest == fullDigest {
		all = append(all, "full: lacks records; raise max_clients")
	}
	for _, l := range s.Links {
		switch {
		case l.DivergedSince != nil:
			all = append(all, fmt.Sprintf("%s holds other records since %s", l.Neighbor, l.DivergedSince.Local().Format(time.DateTime)))
		case l.Agreement == fullDigest && s.Digest != fullDigest:
			all = append(all, l.Neighbor+" is full: lacks records")
		}
		switch {
		case l.State != "live" && l.State != "plain":
			all = append(all, strings.TrimSuffix(fmt.Sprintf("link to %s is %s: %s", l.Neighbor, l.State, l.Error), ": "))
		case !isLive(l):
			all = append(all, l.Neighbor+" has not linked to it")
		}
		if c := l.Clock; c != nil && c.Wrong {
			how := "ahead of"
			if c.Ahead < 0 {
				how = "behind"
			}
			ahead := time.Duration(math.Abs(c.Ahead) * float64(time.Second)).Round(time.Millisecond)
			all = append(all, fmt.Sprintf("the clock of %s is %v %s this server's", l.Neighbor, ahead, how))
		}
		if l.Duplicate != "" {
			all = append(all, fmt.Sprintf("two processes claim the name %s: %s", l.Neighbor, duplicates[l.Duplicate]))
		}
	}
	if s.Log.Error != "" {
		all = append(all, "the log: "+s.Log.Error)
	}
	if j := s.Journal; j != nil {
		all = append(all, journalRemarks(j)...)
	}
	if p := s.Places; p != nil && p.File != nil && p.File.Refused != nil {
		all = append(all, fmt.Sprintf("the places are those of %s; refused since: %s",
			p.File.Read.Local().Format(time.DateTime), p.File.Error))
	}
	if p := s.Places; p != nil && p.Network != nil && p.Network.Budget.Error != "" {
		all = append(all, "lookups are refused, for they cannot be counted: "+p.Network.Budget.Error)
	}
	c := s.Counters
	for _, trouble := range []struct {
		n               uint64
		one, many, what string
	}{
		{c.LogDropped, "log entry", "log entries", "dropped"},
		{c.ServerFull, "connection", "connections", "refused, being full"},
		{c.ClientsRefused, "update", "updates", "refused beyond max_clients"},
		{c.OutputLimits, "slow reader", "slow readers", "cut off"},
		{c.StallLimits, "client", "clients", "cut off for reading nothing"},
		{c.MemoryLimits, "client", "clients", "cut off for max_buffered"},
		{c.InputLimits, "connection", "connections", "closed because held input made no progress"},
		{c.OtherProtocols, "connection", "connections", "refused that spoke another protocol"},
		{c.LinksUnacknowledged, "link", "links", "dropped whose neighbor acknowledged nothing"},
		{c.LinksUnread, "link", "links", "dropped whose neighbor did not read"},
		{c.LinksGarbled, "link", "links", "dropped for what the neighbor sent"},
		{c.LookupsBusy, "lookup", "lookups", "refused, being busy"},
		{c.LookupsFailed, "lookup", "lookups", "failed"},
	} {
		if trouble.n > 0 {
			all = append(all, load.Plural(trouble.n, trouble.one, trouble.many)+" "+trouble.what)
		}
	}
	return all
}

// journalRemarks are what is or was wrong with a server's journal.
func journalRemarks(j *herd.JournalStatus) (all []string) {
	switch {
	case j.OK:
	case j.Behind > 0:
		all = append(all, strings.TrimSuffix(fmt.Sprintf("the journal is behind by %s and %.0f s: %s",
			load.Plural(j.Behind, "record", "records"), j.Late, j.Error), ": "))
	default:
		all = append(all, "the journal has an error: "+j.Error)
	}
	if j.Losses > 0 {
		all = append(all, "the journal was lost and written again "+load.Plural(j.Losses, "time", "times"))
	}
	return all
}
