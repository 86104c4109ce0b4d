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

// agreement summarizes how a server's records agree with its neighbors': the worst of them. The remarks
// have details.
func agreement(s *herd.Status) string {
	if s.Digest == fullDigest {
		return "full"
	}
	behind, oldest := uint64(0), time.Time{}
	full, never := false, false
	for _, l := range s.Links {
		behind = max(behind, l.Behind)
		switch {
		case l.State == "plain": // a legacy neighbor: not compared
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
		return fmt.Sprintf("catching up (%d behind)", behind)
	case full:
		return "neighbor full"
	case len(s.Links) == 0:
		return "no neighbors"
	case never || oldest.IsZero():
		return "not compared"
	case age > herd.ComparisonAge:
		return "compared " + uptime(age) + " ago"
	}
	return fmt.Sprintf("in sync, %.0f s ago", age.Seconds())
}

// uptime formats a duration in at most two units.
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

// details are the lines of a server below the table: its address, digest and propagation delay, and the
// clocks of its neighbors, wrapped at statusWidth.
func details(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	where := fmt.Sprintf("%s, digest %s", s.Address, s.Digest)
	if s.Propagation.Count > 0 {
		where += ", propagation " + milliseconds(s.Propagation.P99, true)
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

// clockOf formats the offset of a neighbor's clock from the server's.
func clockOf(c *herd.ClockStatus) string {
	if c == nil {
		return "unknown"
	}
	ahead, off := math.Abs(c.Ahead), c.Uncertainty
	if ahead <= off { // they may be equal
		return "within " + shortTime(ahead+off)
	}
	how := " ahead"
	if c.Ahead < 0 {
		how = " behind"
	}
	return shortTime(ahead) + how
}

// shortTime formats seconds with two or three significant digits.
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

// milliseconds formats a p99.
func milliseconds(seconds float64, known bool) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// duplicates explain the values of herd.LinkStatus.Duplicate.
var duplicates = map[string]string{
	"refused":    "one of them is rejected",
	"taken back": "the replaced one was accepted again, because the other one is gone or is not at its address",
}

// remarks are the warnings about a server: an engine other than the default, links that are down, problems,
// and counters of events that should not happen.
func remarks(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	if s.Engine != engines.Names[0] {
		all = append(all, "engine "+s.Engine+" is for comparison only")
	}
	if s.Digest == fullDigest {
		all = append(all, "full: records were dropped; raise max_clients")
	}
	for _, l := range s.Links {
		switch {
		case l.DivergedSince != nil:
			all = append(all, fmt.Sprintf("records differ from %s since %s", l.Neighbor, l.DivergedSince.Local().Format(time.DateTime)))
		case l.Agreement == fullDigest && s.Digest != fullDigest:
			all = append(all, l.Neighbor+" is full: it dropped records")
		}
		switch {
		case l.State != "live" && l.State != "plain":
			all = append(all, strings.TrimSuffix(fmt.Sprintf("link to %s is %s: %s", l.Neighbor, l.State, l.Error), ": "))
		case !isLive(l):
			all = append(all, "no link from "+l.Neighbor)
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
			all = append(all, fmt.Sprintf("two processes use the name %s: %s", l.Neighbor, duplicates[l.Duplicate]))
		}
	}
	if s.Log.Error != "" {
		all = append(all, "log error: "+s.Log.Error)
	}
	if j := s.Journal; j != nil {
		all = append(all, journalRemarks(j)...)
	}
	if p := s.Places; p != nil && p.File != nil && p.File.Refused != nil {
		all = append(all, fmt.Sprintf("serving the places read at %s; the changed file is invalid: %s",
			p.File.Read.Local().Format(time.DateTime), p.File.Error))
	}
	if p := s.Places; p != nil && p.Network != nil && p.Network.Budget.Error != "" {
		all = append(all, "lookups fail because the daily budget cannot be saved: "+p.Network.Budget.Error)
	}
	c := s.Counters
	for _, event := range []struct {
		n               uint64
		one, many, what string
	}{
		{c.LogDropped, "log entry", "log entries", "dropped"},
		{c.ServerFull, "connection", "connections", "rejected by max_connections"},
		{c.ClientsRefused, "update", "updates", "rejected by max_clients"},
		{c.OutputLimits, "client", "clients", "disconnected by output_hard or output_soft"},
		{c.StallLimits, "client", "clients", "disconnected because they read no replies"},
		{c.MemoryLimits, "client", "clients", "disconnected by max_buffered"},
		{c.InputLimits, "connection", "connections", "closed because held input made no progress"},
		{c.OtherProtocols, "connection", "connections", "closed because of another protocol"},
		{c.LinksUnacknowledged, "link", "links", "closed because the neighbor sent no ACK"},
		{c.LinksUnread, "link", "links", "closed because the neighbor did not read"},
		{c.LinksGarbled, "link", "links", "closed because of bad lines from the neighbor"},
		{c.LookupsBusy, "lookup", "lookups", "rejected because the server was busy"},
		{c.LookupsFailed, "lookup", "lookups", "failed"},
	} {
		if event.n > 0 {
			all = append(all, load.Plural(event.n, event.one, event.many)+" "+event.what)
		}
	}
	return all
}

// journalRemarks are the warnings about a server's journal.
func journalRemarks(j *herd.JournalStatus) (all []string) {
	switch {
	case j.OK:
	case j.Behind > 0:
		all = append(all, strings.TrimSuffix(fmt.Sprintf("journal behind by %s, %.0f s: %s",
			load.Plural(j.Behind, "record", "records"), j.Late, j.Error), ": "))
	default:
		all = append(all, "journal error: "+j.Error)
	}
	if j.Losses > 0 {
		all = append(all, "journal lost and rewritten "+load.Plural(j.Losses, "time", "times"))
	}
	return all
}
