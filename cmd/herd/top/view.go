package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"serverherd/cmd/herd/view"
)

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(m.Frame())
	v.AltScreen = true
	v.WindowTitle = "herd top"
	return v
}

// Frame is the screen as text: exactly its height in lines, none wider than its width.
func (m *Model) Frame() string {
	head, foot := m.header(), m.footer()
	room := max(m.height-len(head)-1, 0)
	var body []string
	switch {
	case m.help:
		body = strings.Split(helpText, "\n")
	case m.screen == serverScreen:
		body = m.serverBody()
		m.scroll = min(m.scroll, max(len(body)-room, 0))
		body = body[m.scroll:]
	default:
		body = m.tableBody(room)
	}
	lines := append(head, body...)
	lines = lines[:min(len(lines), max(m.height-1, 0))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, foot)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "")
	}
	return strings.Join(lines, "\n")
}

// none is a table's selected row if no row is marked.
const none = "\x00"

// Whole is the screen of the herd with all rows and all problems, for --once.
func (m *Model) Whole(width int) string {
	m.width, m.height = width, 1<<10
	m.tables[herdScreen].selected = none
	lines := append(m.header(), m.tableBody(m.height)...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, "")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

// header is the line about the whole herd, and an empty one where there is room.
func (m *Model) header() []string {
	all := m.answers()
	answered, consoles, records := 0, 0, uint64(0)
	worst := cell{text: "nothing known", level: view.Unknown}
	updates, rated := 0.0, false
	for _, s := range m.servers {
		if s.now.NoConsole {
			continue
		}
		consoles++
		status := s.now.Status
		if status == nil {
			continue
		}
		answered++
		records = max(records, status.Records)
		if state := m.stateOf(s, all); answered == 1 || state.level > worst.level {
			worst = state
		}
		if rate := s.stored(); rate.known {
			updates, rated = updates+rate.n, true
		}
	}
	if view.Disagree(m.before, all) {
		worst = cell{text: "the records differ", level: view.Bad}
	}
	st := m.o.Styles
	count := st.Level(view.Good, fmt.Sprintf("%d of %d answered", answered, consoles))
	if answered < consoles {
		count = st.Level(view.Bad, fmt.Sprintf("%d of %d answered", answered, consoles))
	}
	line := ""
	for _, form := range []struct{ prefix, gap, state string }{
		{"herd ", "   ", worst.text}, {"herd ", "  ", worst.text}, {"herd ", "  ", cmp.Or(worst.short, worst.text)},
		{"", "  ", cmp.Or(worst.short, worst.text)},
	} {
		line = strings.Join([]string{
			st.Bold(form.prefix + view.OneLine(m.o.Herd)), count, amount(float64(records)) + " records",
			number(value{updates, rated}, perSecond).text + " updates/s", st.Level(worst.level, form.state),
		}, form.gap)
		if ansi.StringWidth(line) <= m.width {
			break
		}
	}
	clock := m.now.Format("15:04:05")
	if pad := m.width - ansi.StringWidth(line) - len(clock); pad > 1 {
		line += strings.Repeat(" ", pad) + st.Faint(clock)
	}
	if m.height < 8 {
		return []string{line}
	}
	return []string{line, ""}
}

// footer is the last line: the filter that is typed, or the keys.
func (m *Model) footer() string {
	st := m.o.Styles
	if m.filtering {
		return "/" + m.filter + "▏" + st.Faint("  Enter keeps the filter, Esc removes it")
	}
	keys := [][2]string{{"q", "quit"}, {"?", "help"}, {"Enter", "server"}, {"l", "links"}, {"s", "sort"}, {"r", "reverse"}, {"/", "filter"}}
	switch {
	case m.help:
		keys = [][2]string{{"q", "quit"}, {"any key", "back"}}
	case m.screen == serverScreen:
		keys = [][2]string{{"q", "quit"}, {"?", "help"}, {"Esc", "back"}, {"l", "links"}, {"j k", "scroll"}}
	case m.screen == linkScreen:
		keys[3][1] = "herd"
	}
	var all []string
	for _, k := range keys {
		all = append(all, st.Bold(k[0])+" "+st.Faint(k[1]))
	}
	line := strings.Join(all, "  ")
	if m.filter != "" && m.screen != serverScreen {
		line = st.Level(view.Notice, "filter: "+m.filter) + "  " + st.Bold("Esc") + st.Faint(" removes it  ") + line
	}
	return line
}

// tableBody is a table in at most room lines, and below it what is wrong.
func (m *Model) tableBody(room int) (lines []string) {
	rows := m.rows()
	t := m.tables[m.screen]
	at := max(slices.IndexFunc(rows, func(r row) bool { return r.key == t.selected }), 0)
	fitting := max(room-1, 1)
	first := 0
	if len(rows) > fitting { // keep the selected row in the middle of those shown
		first = min(max(at-fitting/2, 0), len(rows)-fitting)
	}
	lines = append(lines, m.headLine())
	for i, r := range rows[first:min(len(rows), first+fitting)] {
		lines = append(lines, m.rowLine(r, first+i == at && t.selected != none))
	}
	if len(rows) == 0 {
		lines = append(lines, "  "+m.o.Styles.Faint("nothing matches the filter"))
	}
	if left := room - len(lines); left > 2 && m.screen == herdScreen {
		lines = append(lines, m.problems(left)...)
	}
	return lines
}

// layout is the columns that fit, and their widths.
func (m *Model) layout() (columns []column, index []int) {
	used := 0
	flexible := -1
	for i, c := range m.columns() {
		if c.from > m.width {
			continue
		}
		if c.most > 0 {
			flexible = len(columns)
		}
		columns, index = append(columns, c), append(index, i)
		used += c.width + gap(c)
	}
	if flexible >= 0 {
		c := &columns[flexible]
		c.width = min(c.width+max(m.width-used, 0), c.most)
	}
	return columns, index
}

// gap is the space before a column; before the first one is the mark of the selected row.
func gap(c column) int {
	if c.right {
		return 1
	}
	return 2
}

func (m *Model) headLine() string {
	columns, index := m.layout()
	t := m.tables[m.screen]
	line := ""
	for i, c := range columns {
		head := c.head
		if index[i] == t.sort && (t.sort > 0 || t.reverse) {
			arrow := "↓"
			if t.reverse {
				arrow = "↑"
			}
			if c.right && len(head) == c.width { // the arrow takes the gap
				line += arrow + head
				continue
			}
			head = map[bool]string{true: arrow + head, false: head + arrow}[c.right]
		}
		line += strings.Repeat(" ", gap(c)) + padded(head, c)
	}
	return m.o.Styles.Bold(strings.TrimRight(line, " "))
}

func (m *Model) rowLine(r row, selected bool) string {
	columns, index := m.layout()
	st := m.o.Styles
	line := ""
	for i, c := range columns {
		cell := r.cells[index[i]]
		text := cell.text
		if view.Width(text) > c.width && cell.short != "" {
			text = cell.short
		}
		text = padded(text, c)
		switch {
		case cell.tinge:
			text = st.Level(cell.level, text)
		case cell.text == "-":
			text = st.Faint(text)
		case selected && i == 0:
			text = st.Bold(text)
		}
		space := strings.Repeat(" ", gap(c))
		if i == 0 && selected {
			space = st.Bold("> ")
		}
		line += space + text
	}
	return line
}

// padded is a text with the width of a column.
func padded(text string, c column) string {
	text = view.Cut(text, c.width)
	pad := strings.Repeat(" ", max(c.width-view.Width(text), 0))
	if c.right {
		return pad + text
	}
	return text + pad
}

// problems is what is wrong, in at most room lines.
func (m *Model) problems(room int) (lines []string) {
	all := m.answers()
	summary := view.Summarize(all, view.Disagree(m.before, all))
	st := m.o.Styles
	add := func(level view.Level, from []view.Line) {
		for _, p := range from {
			text := view.OneLine(p.Text)
			if len(p.Servers) > 0 {
				text = view.OneLine(strings.Join(p.Servers, ", ")) + ": " + text
			}
			lines = append(lines, "  "+st.Level(level, view.Cut(text, max(m.width-2, 1))))
		}
	}
	add(view.Bad, summary.Problems)
	add(view.Notice, summary.Notes)
	if len(lines) == 0 {
		return nil
	}
	lines = append([]string{""}, lines...)
	if len(lines) > room {
		lines = append(lines[:room-1], "  "+st.Faint(fmt.Sprintf("and %d more", len(lines)-room+1)))
	}
	return lines
}

const helpText = `  STATE     how a server's records agree with its neighbors', or why it does not
            answer; "under way" are updates of the last second
  RECORDS   clients with a location      CLIENTS  connections but neighbors'
  LINES/S   lines of clients             UPD/S    records that were new to it
  LAG       99 % of the calls to its loop waited no longer; of the last answers
  PROP      likewise, from the server that was told of an update to this one;
            with the difference of the clocks between machines
  CPU, MEM  of the process; 100% is one core

  In the links: DUP is the share of AT lines that the receiver had already,
  BEHIND the records that it lacks, UNACKED bytes without their ACK, CLOCK how
  far its clock is from the sender's, SINCE how long it is in this state.

  Up Down j k    select            Enter    show a server       Esc   back
  g G PgUp PgDn  first, last, page s S      next sort column, the one before
  l Tab          links or herd     r        reverse             /     filter
  q Ctrl-C       quit`
