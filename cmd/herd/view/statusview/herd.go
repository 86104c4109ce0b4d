// Package statusview makes the lines that herd status prints, for a display width. What is wrong comes first.
package statusview

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd"
)

// Screen is how lines are made.
type Screen struct {
	Width int // at least Narrowest
	style.Styles
}

const (
	// mostLines is how many problems, and how many notes, are shown.
	mostLines = 20
	// widestNumber is the width of the columns of numbers.
	widestNumber = 9
	// longestText is the display width of a remark, which may contain text of a console.
	longestText = 400
)

// Narrowest is the least width of a screen.
const Narrowest = 76

// The narrowest columns of a table that is too wide.
const (
	narrowestName      = 6
	narrowestAgreement = 10
)

// Herd shows all servers: a headline, the problems, a table with a row for each, and notes.
func (s Screen) Herd(name string, h *view.Herd) (lines []string) {
	v := h.Summary()
	level, headline := view.Good, "no problems"
	switch {
	case v.Consoles == 0:
		level, headline = view.Bad, "no server has a console in herd.toml"
	case len(v.Problems) > 0:
		level, headline = view.Bad, view.Plural(uint64(len(v.Problems)), "problem", "problems")
	}
	lines = s.Wrapped(level, "", fmt.Sprintf("%s: %d of %d answered, %s", name, v.Answered, v.Consoles, headline))
	lines = append(lines, "")
	if problems := s.remarks(view.Bad, "! ", v.Problems); len(problems) > 0 {
		lines = append(append(lines, problems...), "")
	}
	lines = append(lines, s.table(h)...)
	lines = append(lines, s.bridges(h)...)
	if notes := s.remarks(view.Notice, "- ", v.Notes); len(notes) > 0 {
		lines = append(append(lines, ""), notes...)
	}
	return lines
}

// bridges are the bridges without an error, which is a problem.
func (s Screen) bridges(h *view.Herd) (lines []string) {
	for _, a := range h.All {
		if v := a.Status; v != nil && v.Bridge != nil && v.Bridge.Error == "" {
			lines = append(lines, s.Wrapped(view.Unknown, "", a.Server+": "+view.BridgeText(v.Bridge))...)
		}
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// remarks makes the lines of remarks, of mostLines of them.
func (s Screen) remarks(level view.Level, mark string, all []view.Line) (lines []string) {
	for i, l := range all {
		if i == mostLines {
			return append(lines, s.Level(level, fmt.Sprintf("%sand %s more", mark, view.Count(len(all)-i))))
		}
		lines = append(lines, s.Wrapped(level, mark, lineOf(l))...)
	}
	return lines
}

// lineOf is the text of a remark about servers.
func lineOf(l view.Line) string {
	if len(l.Servers) == 0 {
		return l.Text
	}
	return strings.Join(l.Servers, ", ") + ": " + l.Text
}

// Wrapped makes lines of untrusted text behind a mark, colored by its level.
func (s Screen) Wrapped(level view.Level, mark, text string) (lines []string) {
	for i, part := range view.Wrap(view.Cut(view.OneLine(text), longestText), s.Width-len(mark)) {
		if i == 1 {
			mark = strings.Repeat(" ", len(mark))
		}
		lines = append(lines, s.Level(level, mark+part))
	}
	return lines
}

// Columns of the table of servers. The last one is its agreement.
const (
	nameColumn  = 0
	linksColumn = 2
	delayColumn = 6
)

// usualAgreement is the room for an agreement before names are cut, and before there is a delay: that of
// "catching up (1,052 behind)".
const usualAgreement = 26

// table has a row for each server. Widths do not depend on numbers, nor on agreements, so that nothing moves
// when they change.
func (s Screen) table(h *view.Herd) []string {
	columns := []view.Column{{Head: "SERVER"}, {Head: "UP", Right: true, Width: 6}, {Head: "LINKS", Right: true},
		{Head: "RECORDS", Right: true}, {Head: "CLIENTS", Right: true}, {Head: "LAG", Right: true, Width: 7},
		{Head: "DELAY", Right: true, Width: 6}, {Head: "AGREEMENT"}}
	var rows [][]string
	agreements := make([]view.Text, len(h.All))
	for i, a := range h.All {
		agreements[i] = agreementOf(a, h)
		row := []string{view.OneLine(a.Server)}
		for _, number := range numbers(a.Status) {
			row = append(row, view.Cut(number, widestNumber))
		}
		rows = append(rows, append(row, ""))
	}
	if _, total := widths(columns, rows); total-len("AGREEMENT")+usualAgreement > s.Width {
		columns = slices.Delete(columns, delayColumn, delayColumn+1)
		for i, row := range rows {
			rows[i] = slices.Delete(row, delayColumn, delayColumn+1)
		}
	}
	last := len(columns) - 1
	all, total := widths(columns, rows)
	total -= all[last]
	if over := total + usualAgreement - s.Width; over > 0 {
		name := max(all[nameColumn]-over, narrowestName)
		total -= all[nameColumn] - name
		for _, row := range rows {
			row[nameColumn] = view.Cut(row[nameColumn], name)
		}
	}
	for i, row := range rows {
		text, room := agreements[i], max(s.Width-total, narrowestAgreement)
		if row[last] = view.OneLine(text.Text); view.Width(row[last]) > room {
			row[last] = view.Cut(view.OneLine(text.Short()), room)
		}
	}
	return view.Table(columns, rows, func(row, column int, text string) string {
		if row < 0 {
			return s.Faint(text)
		}
		a := h.All[row]
		v := a.Status
		switch {
		case column == last:
			return s.Level(agreements[row].Level, text)
		case v == nil && a.NoConsole:
			return s.Faint(text)
		case v == nil || column == nameColumn && view.HasProblem(v) || column == linksColumn && view.LiveLinks(v) < len(v.Links):
			return s.Level(view.Bad, text)
		}
		return text
	})
}

// numbers are a server's cells between its name and its agreement.
func numbers(v *herd.Status) []string {
	if v == nil {
		return []string{"-", "-", "-", "-", "-", "-"}
	}
	return []string{
		view.Duration(v.Now.Sub(v.Started)), fmt.Sprintf("%d/%d", view.LiveLinks(v), len(v.Links)), view.Number(v.Records),
		view.Number(view.Clients(v)), view.Bound(v.Loop.LagP99, v.Loop.LagP99 > 0),
		view.Latency(v.Propagation.P99, v.Propagation.Count > 0),
	}
}

// agreementOf is view.Herd.Agreement, or why it is unknown.
func agreementOf(a ask.Status, h *view.Herd) view.Text {
	switch {
	case a.Status != nil:
		return h.Agreement(a.Status)
	case a.NoConsole:
		return view.Text{Level: view.Unknown, Text: a.Error}
	}
	return view.Text{Level: view.Bad, Text: Failure(a.Code)}
}

// Failure says in two words why a console's answer cannot be used, by the status of HTTP; 0: there was none in time.
func Failure(code int) string {
	switch code {
	case 0:
		return "no answer"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "no access"
	}
	return "bad answer"
}

// widths are the widths of a table's columns, and of all with the gaps between them.
func widths(columns []view.Column, rows [][]string) (all []int, total int) {
	total = len(view.Gap) * (len(columns) - 1)
	for i, c := range columns {
		n := max(c.Width, view.Width(c.Head))
		for _, row := range rows {
			n = max(n, view.Width(row[i]))
		}
		all = append(all, n)
		total += n
	}
	return all, total
}

// Fit cuts two columns if a table is wider than the screen: the first one, and if need be the other.
func (s Screen) Fit(columns []view.Column, rows [][]string, first, other int) {
	all, total := widths(columns, rows)
	for _, cut := range []struct{ column, least int }{{first, narrowestName}, {other, narrowestAgreement}} {
		if over := total - s.Width; over > 0 {
			width := max(all[cut.column]-over, min(cut.least, all[cut.column]))
			total -= all[cut.column] - width
			for _, row := range rows {
				row[cut.column] = view.Cut(row[cut.column], width)
			}
		}
	}
}

// legacy is the state of a link to a legacy neighbor in words.
const legacy = "legacy"

// live is a link's state in words: that it is live, or what it is doing instead.
func live(l *herd.LinkStatus) string {
	if l.State == herd.LinkLegacy {
		return legacy
	}
	return l.State
}

// link is a server's link to a neighbor.
type link struct {
	*herd.LinkStatus
	of *herd.Status
}

// linkTo is a server's link to a neighbor; nil if the server did not answer or has none.
func linkTo(h *view.Herd, server, neighbor string) *link {
	of := h.Status(server)
	if l := of.Link(neighbor); l != nil {
		return &link{l, of}
	}
	return nil
}

func (l *link) age() time.Duration      { return l.of.Now.Sub(l.Since) }
func (l *link) lag(h *view.Herd) uint64 { return h.Lag(l.of, l.LinkStatus) }
