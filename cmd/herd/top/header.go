package top

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
)

// What the header has at most of the herd's name, and the heights from which on its second line and an empty one
// are shown.
const (
	maxTitle    = 24
	twoLines    = 8
	threeLines  = 14
	clockLayout = "15:04:05"
)

// header is about the whole herd: what is wrong, or how its records agree, with the time; then figures. Nothing in
// it moves when a number changes.
func (m *Model) header() []string {
	st := m.o.Styles
	title := view.Cut(view.OneLine("herd "+m.o.Herd), maxTitle)
	clock := m.now.Format(clockLayout)
	v, more := m.verdict()
	room := m.width - view.Width(title) - 3
	showClock := room >= 20+2+len(clock)
	if showClock {
		room -= 2 + len(clock)
	}
	if room < len(more)+8 {
		more = ""
	}
	text := view.Cut(view.OneLine(v.Text), max(room-len(more), 1)) + more
	line := st.Bold(title) + "   " + st.Level(v.Level, text)
	if showClock {
		line += strings.Repeat(" ", max(m.width-ansi.StringWidth(line)-len(clock), 0)) + st.Faint(clock)
	}
	lines := []string{line}
	if m.height >= twoLines {
		lines = append(lines, m.figures())
	}
	if m.height >= threeLines {
		lines = append(lines, "")
	}
	return lines
}

// figures is a line with how many servers answered, the most records that one has, and the updates of all clients.
func (m *Model) figures() string {
	answered, consoles, records := 0, 0, value{}
	pending := false
	updates := value{}
	for _, s := range m.servers {
		if s.now.NoConsole {
			continue
		}
		consoles++
		pending = pending || !s.heard
		if status := s.now.Status; status != nil {
			answered++
			records = value{max(records.n, float64(status.Records)), true}
			if rate := s.stored(); rate.known {
				updates = value{updates.n + rate.n, true}
			}
		}
	}
	level := view.Good
	switch {
	case answered < consoles && pending:
		level = view.Unknown
	case answered < consoles:
		level = view.Bad
	}
	st := m.o.Styles
	return st.Level(level, fmt.Sprintf("%d of %d answered", answered, consoles)) +
		fmt.Sprintf("  %7s records  %6s updates/s", number(records, view.Number[float64]).text, number(updates, view.Rate).text)
}

// verdict says what is wrong with the herd. If nothing is, it says the worst of what the servers' states are. More
// says how many problems there are besides.
func (m *Model) verdict() (v view.Text, more string) {
	all := m.herd()
	summary := m.summary()
	switch {
	case summary.Consoles == 0:
		return view.Text{Level: view.Bad, Text: "! no server has a console in herd.toml"}, ""
	case summary.Answered == 0 && slices.ContainsFunc(m.servers, func(s *server) bool { return !s.heard }):
		return view.Text{Level: view.Unknown, Text: "asking the servers"}, ""
	case summary.Answered == 0:
		return view.Text{Level: view.Bad, Text: "! no server answers; is the herd running?"}, ""
	}
	if n := len(summary.Problems); n > 0 {
		text := lineText(summary.Problems[0])
		var silent []string
		for _, s := range m.servers {
			if s.heard && s.now.Status == nil && !s.now.NoConsole {
				silent = append(silent, s.name)
			}
		}
		if len(silent) > 0 {
			text = strings.Join(silent, ", ") + ": no answer"
			n -= silentLines(summary.Problems, silent) - 1
		}
		if n > 1 {
			more = " (and " + view.Count(n-1) + " more)"
		}
		return view.Text{Level: view.Bad, Text: "! " + text}, more
	}
	var worst cell
	name := ""
	for _, s := range m.servers {
		if state := m.stateOf(s, all); !s.now.NoConsole && (name == "" || state.order > worst.order) {
			worst, name = state, s.name
		}
	}
	v = view.Text{Level: worst.level, Text: worst.text}
	if v.Level > view.Good {
		v.Text = name + ": " + v.Text
	}
	if v.Level == view.Bad {
		v.Text = "! " + v.Text
	}
	return v, ""
}

// silentLines is how many of the problems are that servers did not answer.
func silentLines(problems []view.Line, silent []string) (n int) {
	for _, p := range problems {
		if len(p.Servers) > 0 && slices.Contains(silent, p.Servers[0]) {
			n++
		}
	}
	return n
}

// summary leaves out servers that were not heard yet: that they have not answered is no problem.
func (m *Model) summary() view.Summary {
	h := m.herd()
	h.All = slices.DeleteFunc(h.All, func(a ask.Status) bool { return !m.find(a.Server).heard })
	summary := h.Summary()
	summary.Consoles += len(m.servers) - len(h.All)
	return summary
}

// lineText is the text of a remark about servers, or about the herd.
func lineText(l view.Line) string {
	if len(l.Servers) == 0 {
		return l.Text
	}
	return strings.Join(l.Servers, ", ") + ": " + l.Text
}

// footer is the last line: the filter that is typed, or the keys, as many as fit.
func (m *Model) footer() string {
	st := m.o.Styles
	if m.filtering {
		hint := "  Enter keeps the filter, Esc removes it"
		if view.Width(m.filter)+2+len(hint) > m.width {
			hint = ""
		}
		return "/" + m.filter + "▏" + st.Faint(hint)
	}
	keys := [][2]string{{"q", "quit"}, {"?", "help"}, {"Enter", "server"}, {"l", "links"}, {"s", "sort"}, {"r", "reverse"}, {"/", "filter"}}
	switch {
	case m.help:
		keys = [][2]string{{"q", "quit"}, {"j k", "scroll"}, {"any other key", "back"}}
	case m.screen == serverScreen:
		keys = [][2]string{{"q", "quit"}, {"?", "help"}, {"Esc", "back"}, {"l", "links"}, {"j k", "scroll"}}
	case m.screen == linkScreen:
		keys[3][1] = "herd"
	}
	line, used := "", 0
	if m.filter != "" && m.screen != serverScreen && !m.help {
		filter := view.Cut("filter: "+m.filter, max(m.width-len("  Esc removes it"), 1))
		line, used = st.Level(view.Notice, filter), view.Width(filter)
		keys = append([][2]string{{"Esc", "removes it"}}, keys...)
	}
	for _, k := range keys {
		gap := map[bool]string{true: "  "}[used > 0]
		if used += len(gap) + len(k[0]) + 1 + len(k[1]); used > m.width {
			break
		}
		line += gap + st.Bold(k[0]) + " " + st.Faint(k[1])
	}
	return line
}

// problemLines is what is wrong with the herd, and then what is unusual: a paragraph for each.
func (m *Model) problemLines() (all [][]string) {
	summary := m.summary()
	for _, p := range summary.Problems {
		all = append(all, m.remark(view.Text{Level: view.Bad, Text: lineText(p)}))
	}
	for _, p := range summary.Notes {
		all = append(all, m.remark(view.Text{Level: view.Notice, Text: lineText(p)}))
	}
	return all
}

// maxRemark is the display width of a remark, which may contain text of a console.
const maxRemark = 400

// remark is a remark in lines, with a mark as in herd status.
func (m *Model) remark(r view.Text) (lines []string) {
	mark := map[bool]string{true: "! ", false: "- "}[r.Level == view.Bad]
	for _, line := range view.Wrap(view.Cut(view.OneLine(r.Text), maxRemark), max(m.width-4, 10)) {
		lines = append(lines, "  "+m.o.Styles.Level(r.Level, mark+line))
		mark = "  "
	}
	return lines
}

// problems is what is wrong, in at most room lines.
func (m *Model) problems(room int) (lines []string) {
	all := m.problemLines()
	if len(all) == 0 {
		return nil
	}
	if room > 2 {
		lines, room = append(lines, ""), room-1
	}
	for i, p := range all {
		last := i == len(all)-1
		if len(p) > room || !last && len(p) == room {
			text := fmt.Sprintf("and %d more: Enter shows a server's", len(all)-i)
			if i == 0 {
				text = fmt.Sprintf("%s: Enter shows a server's", view.Plural(uint64(len(all)), "remark", "remarks"))
			}
			return append(lines, "  "+m.o.Styles.Faint(text))
		}
		lines, room = append(lines, p...), room-len(p)
	}
	return lines
}
