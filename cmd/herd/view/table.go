package view

import "strings"

// Gap separates columns.
const Gap = "  "

// Column is the layout of a column.
type Column struct {
	Head  string
	Right bool // right-aligned
	Width int  // at least; columns whose cells change have one, so that nothing moves
}

// Table makes the lines of a table of cells that are safe for a terminal. It pads them by display width;
// text/tabwriter counts characters, but wide characters take two terminal columns and combining marks none.
// Paint, if it is not nil, gets each padded cell with its row (-1: the head) and column, to color it.
func Table(columns []Column, rows [][]string, paint func(row, column int, text string) string) (lines []string) {
	widths := make([]int, len(columns))
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i], widths[i] = c.Head, max(c.Width, Width(c.Head))
		for _, row := range rows {
			widths[i] = max(widths[i], Width(row[i]))
		}
	}
	for k, row := range append([][]string{heads}, rows...) {
		last := len(row) - 1
		for last > 0 && row[last] == "" {
			last--
		}
		line := ""
		for i, cell := range row[:last+1] {
			pad := strings.Repeat(" ", widths[i]-Width(cell))
			switch {
			case columns[i].Right:
				cell = pad + cell
			case i < last:
				cell += pad
			}
			if paint != nil {
				cell = paint(k-1, i, cell)
			}
			if i > 0 {
				line += Gap
			}
			line += cell
		}
		lines = append(lines, line)
	}
	return lines
}
