package top

import (
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
		body = m.scrolled(helpBody(m.o.Styles, m.width), room)
	case m.screen == serverScreen:
		body = m.scrolled(m.serverBody(), room)
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

// scrolled is the part of a text that is shown in room lines. The last of them says how many lines follow.
func (m *Model) scrolled(lines []string, room int) []string {
	m.scroll = min(m.scroll, max(len(lines)-room, 0))
	lines = lines[m.scroll:]
	if len(lines) <= room || room == 0 {
		return lines
	}
	more := len(lines) - room + 1
	return append(slices.Clone(lines[:room-1]), "  "+m.o.Styles.Faint("↓ "+view.Plural(uint64(more), "more line", "more lines")+" below: j or Down"))
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
	if left := room - len(lines); left > 0 && m.screen == herdScreen {
		lines = append(lines, m.problems(left)...)
	}
	return lines
}

// layout is the columns that fit, and their widths. Of those that do not fit, the one with the greatest rank goes
// first.
func (m *Model) layout() (columns []column, index []int) {
	used := 0
	for i, c := range m.columns() {
		columns, index = append(columns, c), append(index, i)
		used += gap(c) + c.width
	}
	for used > m.width {
		out := 0
		for i, c := range columns {
			if c.rank > columns[out].rank {
				out = i
			}
		}
		if columns[out].rank == 0 {
			break
		}
		used -= gap(columns[out]) + columns[out].width
		columns, index = slices.Delete(columns, out, out+1), slices.Delete(index, out, out+1)
	}
	for i := range columns {
		if c := &columns[i]; c.most > 0 {
			c.width = min(c.width+max(m.width-used, 0), c.most)
		}
	}
	return columns, index
}

// gap is the space before a column. Before the first one is the mark of the selected row, before the state the mark
// of a row with a problem.
func gap(c column) int {
	switch {
	case c.right:
		return 1
	case c.most > 0:
		return 3
	}
	return 2
}

func (m *Model) headLine() string {
	columns, index := m.layout()
	t := m.tables[m.screen]
	line := ""
	for i, c := range columns {
		head := c.head
		if index[i] == t.sort {
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
		switch {
		case i == 0 && selected:
			space = st.Bold("> ")
		case c.most > 0 && r.problem:
			space = " " + st.Level(view.Bad, "!") + " "
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
