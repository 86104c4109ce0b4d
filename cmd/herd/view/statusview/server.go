package statusview

import (
	"fmt"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// labelWidth is the width of the labels of a server's details.
const labelWidth = 13

// Server shows one server in detail, with what its neighbors say about their links to it.
func (s Screen) Server(a ask.Status, h *view.Herd) (lines []string) {
	v := a.Status
	if v == nil {
		level := view.Bad
		if a.NoConsole {
			level = view.Unknown
		}
		return append(s.Wrapped(level, "", a.Server+": "+a.Error), s.seenByOthers(a.Server, h)...)
	}
	var problems, notes []view.Line
	for _, r := range view.Remarks(v) {
		if r.Level == view.Bad {
			problems = append(problems, view.Line{Text: r.Text})
		} else {
			notes = append(notes, view.Line{Text: r.Text})
		}
	}
	level, state := view.Good, "ready"
	if !v.Ready {
		level, state = view.Notice, "not ready: "+v.Waiting
	}
	if len(problems) > 0 {
		level = view.Bad
		state += ", " + view.Plural(uint64(len(problems)), "problem", "problems")
	}
	lines = s.Wrapped(level, "", fmt.Sprintf("%s: up %s, %s", a.Server, view.Duration(v.Now.Sub(v.Started)), state))
	lines = append(lines, "")
	if len(problems) > 0 {
		lines = append(append(lines, s.remarks(view.Bad, "! ", problems)...), "")
	}
	lines = append(lines, s.details(v, h)...)
	if len(v.Links) > 0 {
		lines = append(append(lines, ""), s.links(v, h)...)
	}
	if len(notes) > 0 {
		lines = append(append(lines, ""), s.remarks(view.Notice, "- ", notes)...)
	}
	return lines
}

// seenByOthers is what other servers say about their links to a server that did not answer.
func (s Screen) seenByOthers(server string, h *view.Herd) (lines []string) {
	for _, a := range h.All {
		if l := linkTo(h, a.Server, server); l != nil {
			level := view.Bad
			if view.Live(l.LinkStatus) {
				level = view.Good
			}
			text := fmt.Sprintf("%s: its link to %s is %s for %s", a.Server, server, live(l.LinkStatus), view.Duration(l.age()))
			if l.Error != "" {
				text += ": " + l.Reason()
			}
			lines = append(lines, s.Wrapped(level, "- ", text)...)
		}
	}
	return lines
}

// details are lines with a label.
func (s Screen) details(v *herd.Status, h *view.Herd) (lines []string) {
	add := func(label string, level view.Level, text string) {
		for _, part := range view.Wrap(view.Cut(view.OneLine(text), longestText), s.Width-labelWidth) {
			if level != view.Unknown {
				part = s.Level(level, part)
			}
			lines = append(lines, s.Faint(label+strings.Repeat(" ", labelWidth-len(label)))+part)
			label = ""
		}
	}
	plain := view.Unknown
	add("address", plain, v.Address)
	add("process", plain, fmt.Sprintf("%s, pid %d, engine %s, epoch %s", v.Version, v.PID, v.Engine, v.Epoch))
	add("records", plain, fmt.Sprintf("%s, digest %s, feed position %s", view.Count(v.Records), v.Digest, view.Count(v.Tail)))
	agreement := h.Agreement(v)
	add("agreement", agreement.Level, agreement.Text)
	if p := v.Propagation; p.Count > 0 {
		add("delay", plain, fmt.Sprintf("p50 %s, p90 %s, p99 %s, max %s since the start", view.Latency(p.P50, true), view.Latency(p.P90, true),
			view.Latency(p.P99, true), view.Latency(p.Max, true)))
	}
	add("event loop", plain, fmt.Sprintf("lag p99 %s since the start, slowest call %s, %s", view.Bound(v.Loop.LagP99, v.Loop.LagP99 > 0),
		view.Latency(v.Loop.Slowest, v.Loop.Slowest > 0), view.Plural(v.Loop.SlowTurns, "slow turn", "slow turns")))
	add("clients", plain, fmt.Sprintf("%s connected, %s buffered, %s open", view.Count(view.Clients(v)),
		view.Bytes(v.Buffered), view.Plural(uint64(max(0, v.Lookups.Open)), "lookup", "lookups")))
	add("requests", plain, fmt.Sprintf("%s IAMAT, %s WHATSAT, %s refused, %s replies", view.Count(v.Counters.IAMAT),
		view.Count(v.Counters.WHATSAT), view.Count(v.Counters.Refused), view.Count(v.Counters.Replies)))
	if t := v.Tokens; t != nil {
		level := plain
		if t.Error != "" {
			level = view.Bad
		}
		add("tokens", level, fmt.Sprintf("%s, %s expired, read at %s; shown on %s", view.Plural(uint64(max(0, t.Count)), "token", "tokens"),
			view.Count(t.Expired), t.Loaded.Local().Format(time.DateTime), view.Plural(uint64(max(0, t.Connections)), "connection", "connections")))
	}
	if t := v.TLS; t != nil {
		level := plain
		if t.Error != "" {
			level = view.Bad
		}
		add("tls", level, view.TLSText(t))
	}
	if j := v.Journal; j != nil {
		level, text := plain, "ok"
		if !j.OK {
			level, text = view.Bad, "failing"
		}
		add("journal", level, fmt.Sprintf("%s, %s written in %s", text, view.Plural(j.Records, "record", "records"),
			view.Plural(j.Commits, "commit", "commits")))
	}
	if b := v.Bridge; b != nil {
		level := plain
		if b.Error != "" {
			level = view.Bad
		}
		add("bridge", level, fmt.Sprintf("%s, %s behind, %s published, %s applied", b.State, view.Plural(b.Behind, "record", "records"),
			view.Count(b.Published), view.Count(b.Applied)))
	}
	if a := v.Asks; a != nil {
		level, text := plain, "ok"
		if !a.OK {
			level, text = view.Bad, "failing"
		}
		add("asks", level, fmt.Sprintf("%s, %s sent to the bucket, %s found, %s failed", text, view.Count(a.Sent), view.Count(a.Found), view.Count(a.Failed)))
	}
	if l := v.Log; l.Level == l.ConfiguredLevel {
		add("log", plain, l.File)
	} else {
		add("log", view.Notice, fmt.Sprintf("%s, level %s until the restart; herd.toml: %s", l.File, l.Level, l.ConfiguredLevel))
	}
	var clocks []string
	for _, l := range v.Links {
		clocks = append(clocks, l.Neighbor+" "+view.ClockOf(l.Clock))
	}
	if len(clocks) > 0 {
		add("clocks", plain, strings.Join(clocks, ", "))
	}
	return lines
}

const (
	stateColumn  = 1
	behindColumn = 3
)

// links has two rows for each neighbor, one for each direction, and below them what happened to the links.
func (s Screen) links(v *herd.Status, h *view.Herd) []string {
	columns := []view.Column{{Head: "LINK"}, {Head: "STATE"}, {Head: "FOR", Right: true}, {Head: "BEHIND", Right: true},
		{Head: "UNACKED B", Right: true}, {Head: "AT LINES", Right: true}, {Head: "DUPLICATES", Right: true}}
	var rows [][]string
	var good, caughtUp []bool
	add := func(direction, state string, l *link, lines, duplicates string) {
		since, behind, bytes := "-", "-", "-"
		if l != nil {
			since, behind, bytes = view.Duration(l.age()), view.Number(l.lag(h)), view.Number(l.Unacknowledged)
		}
		shown := view.Cell(state, widestNumber)
		if l != nil && view.OverTLS(l.LinkStatus) {
			shown += ", TLS"
		}
		rows = append(rows, []string{view.OneLine(direction), shown, since, behind, bytes, lines, duplicates})
		good = append(good, state == herd.LinkLive || state == legacy)
		caughtUp = append(caughtUp, l == nil || l.lag(h) == 0)
	}
	var events []string
	for i := range v.Links {
		l := &v.Links[i]
		if i == mostLines {
			events = append(events, fmt.Sprintf("and %s more neighbors", view.Count(len(v.Links)-i)))
			break
		}
		add("to "+l.Neighbor, live(l), &link{l, v}, view.Number(l.ATSent), "")
		back := linkTo(h, l.Neighbor, v.Server)
		state := herd.LinkDown
		switch {
		case l.State == herd.LinkLegacy:
			state = legacy
		case back != nil:
			state = live(back.LinkStatus)
		case l.Receiving:
			state = herd.LinkLive
		}
		add("from "+l.Neighbor, state, back, view.Number(l.ATReceived), view.Number(l.Duplicates))
		if text := happened(l); text != "" {
			events = append(events, s.Wrapped(view.Unknown, "", l.Neighbor+": "+text)...)
		}
	}
	s.Fit(columns, rows, nameColumn, stateColumn)
	lines := view.Table(columns, rows, func(row, column int, text string) string {
		switch {
		case row < 0:
			return s.Faint(text)
		case column == nameColumn && !good[row]:
			return s.Level(view.Bad, text)
		case column == stateColumn && good[row]:
			return s.Level(view.Good, text)
		case column == stateColumn:
			return s.Level(view.Bad, text)
		case column == behindColumn && !caughtUp[row]:
			return s.Level(view.Notice, text)
		}
		return text
	})
	return append(lines, events...)
}

// happened lists what happened to a link, by its counters.
func happened(l *herd.LinkStatus) string {
	var all []string
	for _, event := range []struct {
		n         uint64
		one, many string
	}{
		{l.Copies, "full copy", "full copies"}, {l.Resumes, "resume", "resumes"}, {l.Repairs, "repair", "repairs"},
		{l.Stalls, "stall", "stalls"}, {l.DialsFailed, "failed dial", "failed dials"}, {l.BadLines, "bad line", "bad lines"},
		{l.TakenBack, "former process taken back", "former processes taken back"},
	} {
		if event.n > 0 {
			all = append(all, view.Plural(event.n, event.one, event.many))
		}
	}
	return strings.Join(all, ", ")
}
