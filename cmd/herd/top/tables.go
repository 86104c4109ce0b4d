package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// column is a column of a table. Widths are fixed, so that nothing moves when numbers change.
type column struct {
	head  string
	width int  // the least; the column that is flexible gets what is left
	right bool // right-aligned
	rank  int  // of columns that do not fit, the one with the greatest rank is left out first; 0: never
	most  int  // of a flexible column; 0: not flexible
}

// cell is a cell of a table: its text, which is safe for a terminal, and what it is sorted by.
type cell struct {
	text  string
	level view.Level // of a cell with levels
	tinge bool       // color it by its level
	order float64    // numbers are sorted downwards first
	short string     // for a narrow column; "": the text is cut
}

// row is a row of a table.
type row struct {
	key    string // identifies it
	server string // that Enter shows
	cells  []cell
	// problem: it has a mark, which is seen without color, too.
	problem bool
}

// maxName is the width of a server's name in a table.
const maxName = 16

// nameWidth is the width of the longest server's name.
func (m *Model) nameWidth() int {
	width := len("SERVER") + 1 // and the mark of the sorted column
	for _, s := range m.servers {
		width = max(width, view.Width(view.OneLine(s.name)))
	}
	return min(width, maxName)
}

func (m *Model) columns() []column {
	name := m.nameWidth()
	if m.screen == linkScreen {
		return []column{
			{head: "FROM", width: name}, {head: "TO", width: name + 2}, {head: "STATE", width: 14, most: 60},
			{head: "AT/S", width: 6, right: true}, {head: "DUP", width: 4, right: true, rank: 2}, {head: "BEHIND", width: 7, right: true},
			{head: "UNACKED", width: 7, right: true, rank: 4}, {head: "CLOCK", width: 13, right: true, rank: 1},
			{head: "SINCE", width: 7, right: true, rank: 3},
		}
	}
	return []column{
		{head: "SERVER", width: name}, {head: "STATE", width: 14, most: 30}, {head: "RECORDS", width: 7, right: true},
		{head: "CLIENTS", width: 7, right: true, rank: 4}, {head: "LINES/S", width: 7, right: true, rank: 1}, {head: "UPD/S", width: 6, right: true},
		{head: "LAG", width: 7, right: true, rank: 2}, {head: "DELAY", width: 7, right: true, rank: 3}, {head: "CPU", width: 4, right: true, rank: 5},
		{head: "MEM", width: 5, right: true, rank: 6}, {head: "UP", width: 7, right: true, rank: 7},
	}
}

// rows are the rows of the table that is shown, filtered and sorted.
func (m *Model) rows() []row {
	rows := m.herdRows
	if m.screen == linkScreen {
		rows = m.linkRows
	}
	all := slices.DeleteFunc(rows(), func(r row) bool { return m.filter != "" && !m.matches(r.cells[0].text, r.cells[1].text) })
	t := m.tables[m.screen]
	if t.sort > 0 {
		slices.SortStableFunc(all, func(a, b row) int { return compare(a.cells[t.sort], b.cells[t.sort]) })
	}
	if t.reverse {
		slices.Reverse(all)
	}
	return all
}

// compare is the order of two cells of a column: texts of the same order go by the alphabet, states of the same
// order keep the order of herd.toml.
func compare(a, b cell) int {
	if a.tinge || b.tinge {
		return cmp.Compare(b.order, a.order)
	}
	return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(a.text, b.text))
}

// text is a cell that is sorted by its text.
func text(t string) cell { return cell{text: view.OneLine(t)} }

// number is a cell with a number in a fixed format.
func number(v value, format func(float64) string) cell {
	if !v.known {
		return cell{text: "-", order: math.Inf(-1)}
	}
	return cell{text: format(v.n), order: v.n}
}

// stateOf says how a server is. The order is by level, and then by the number of records that it lacks.
func (m *Model) stateOf(s *server, all *view.Herd) cell {
	status := s.now.Status
	const most = 1e15 // records
	state := func(level view.Level, behind uint64, text, short string) cell {
		order := float64(level)*most + min(float64(behind), most-1)
		return cell{text: view.OneLine(text), level: level, tinge: true, order: order, short: view.OneLine(short)}
	}
	silent := view.Duration(m.now.Sub(s.answered))
	switch {
	case s.now.NoConsole:
		return state(view.Unknown, 0, "no console", "")
	case !s.heard:
		return state(view.Unknown, 0, "asking", "")
	case status == nil && s.answered.IsZero():
		return state(view.Bad, 0, "no answer", "")
	case status == nil:
		return state(view.Bad, 0, "no answer for "+silent, "no answer "+silent)
	}
	a := m.calm(s, all.Agreement(status))
	if view.HasProblem(status) { // not green beside the mark of a problem
		a.Level = max(a.Level, view.Notice)
	}
	if ago, known := s.restart(); known && a.Level < view.Bad {
		since := view.Duration(ago)
		return state(view.Notice, 0, "restarted "+since+" ago", "restarted "+since)
	}
	if !status.Ready && a.Level < view.Bad {
		return state(view.Notice, 0, "not ready: "+status.Waiting, "not ready")
	}
	behind, lacking := all.Behind(status)
	if a.Level == view.Good {
		behind, lacking = 0, 0
	}
	short := a.Short()
	if strings.HasPrefix(short, "diverged") {
		short = "diverged"
	}
	return state(a.Level, max(behind, lacking), a.Text, short)
}

// herdRows has a row for each server.
func (m *Model) herdRows() (rows []row) {
	all := m.herd()
	for i, s := range m.servers {
		name := text(s.name)
		name.order = float64(-i)
		cells := []cell{name, m.stateOf(s, all)}
		if status := s.now.Status; status != nil {
			has := func(n float64) value { return value{n, true} }
			cells = append(cells,
				number(has(float64(status.Records)), view.Number[float64]), number(has(float64(view.Clients(status))), view.Number[float64]),
				number(s.lines(), view.Rate), number(s.updates(), view.Rate), number(s.lag(), bound), number(s.propagation(), bound),
				number(s.cpu(), view.Percent), number(value{float64(status.Process.Resident), status.Process.Resident > 0}, size),
				number(has(status.Now.Sub(status.Started).Seconds()), age))
		}
		problem := cells[1].level == view.Bad || view.HasProblem(s.now.Status)
		rows = append(rows, fill(row{s.name, s.name, cells, problem}, 11))
	}
	return rows
}

// fill adds unknown cells.
func fill(r row, columns int) row {
	for len(r.cells) < columns {
		r.cells = append(r.cells, number(value{}, nil))
	}
	return r
}

// linkRows has a row for each direction of each edge.
func (m *Model) linkRows() (rows []row) {
	for _, s := range m.servers {
		for _, to := range m.neighbors(s.name) {
			r := row{key: s.name + " " + to, server: s.name}
			from := text(s.name)
			from.order = -float64(len(rows))
			r.cells = []cell{from, text("→ " + to)}
			if l := s.link(to); l != nil {
				r.cells = append(r.cells, m.linkCells(s, l)...)
			} else {
				r.cells = append(r.cells, cell{text: "unknown: no answer", level: view.Bad, tinge: true, order: float64(view.Bad), short: "no answer"})
			}
			r.problem = r.cells[2].level == view.Bad
			rows = append(rows, fill(r, 9))
		}
	}
	return rows
}

// neighbors are the neighbors of a server, as far as any server says so.
func (m *Model) neighbors(name string) (all []string) {
	for _, s := range m.servers {
		status := s.now.Status
		switch {
		case status == nil:
		case s.name == name:
			for _, l := range status.Links {
				all = append(all, l.Neighbor)
			}
		case status.Link(name) != nil:
			all = append(all, s.name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// link is a server's link to a neighbor; nil if it did not answer.
func (s *server) link(neighbor string) *herd.LinkStatus {
	if s.now.Status == nil {
		return nil
	}
	return s.now.Status.Link(neighbor)
}

// find is the server called name, or nil.
func (m *Model) find(name string) *server {
	for _, s := range m.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// linkCells are the cells of a link that the sending server knows: its state, the rate of AT lines, the share of
// duplicates as the receiver counts them, how many records the receiver lacks, and how far its clock is ahead.
func (m *Model) linkCells(s *server, l *herd.LinkStatus) []cell {
	state := linkState(l)
	dup := value{}
	if to := m.find(l.Neighbor); to != nil {
		received := to.linkCount(s.name, func(l *herd.LinkStatus) uint64 { return l.ATReceived })
		again := to.linkCount(s.name, func(l *herd.LinkStatus) uint64 { return l.Duplicates })
		dup = value{again.n / received.n, again.known && received.known && received.n > 0}
	}
	clock := cell{text: view.ClockOf(l.Clock), order: math.Inf(-1)}
	if l.Clock != nil {
		clock.order = math.Abs(l.Clock.Ahead)
		clock.level, clock.tinge = view.Bad, l.Clock.Wrong
	}
	return []cell{
		state, number(s.linkCount(l.Neighbor, func(l *herd.LinkStatus) uint64 { return l.ATSent }), view.Rate), number(dup, view.Percent),
		number(value{float64(m.herd().Lag(s.now.Status, l)), true}, view.Number[float64]), number(value{float64(l.Unacknowledged), true}, size), clock,
		number(value{s.now.Status.Now.Sub(l.Since).Seconds(), true}, age),
	}
}

// linkState says how a link is.
func linkState(l *herd.LinkStatus) cell {
	level := view.Notice
	switch l.State {
	case herd.LinkLive, herd.LinkLegacy:
		level = view.Good
	case herd.LinkDown:
		level = view.Bad
	}
	what := l.State
	if l.State == herd.LinkLegacy {
		what = "legacy"
	}
	if view.OverTLS(l) {
		what += ", TLS"
	}
	if l.Error != "" {
		what += ": " + l.Reason()
	}
	return cell{text: view.OneLine(what), level: level, tinge: true, order: float64(level)}
}

// The formats of numbers have at most seven characters.

// size formats bytes in at most five characters.
func size(n float64) string {
	for _, unit := range []string{"B", "K", "M", "G", "T", "P", "E"} {
		switch {
		case n < 9.95 && unit != "B":
			return fmt.Sprintf("%.1f%s", n, unit)
		case n < 999.5:
			return fmt.Sprintf("%.0f%s", n, unit)
		}
		n /= 1024
	}
	return "huge"
}

// bound formats an upper bound in seconds, such as that of a histogram.
func bound(n float64) string { return "<" + latency(n) }

// latency formats seconds.
func latency(n float64) string { return view.Latency(n, true) }

// age formats seconds.
func age(n float64) string { return view.Duration(time.Duration(n * float64(time.Second))) }
