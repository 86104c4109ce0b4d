package main

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columnGap separates columns.
const columnGap = "  "

// column is the layout of a column.
type column struct {
	head  string
	right bool // right-aligned
}

// writeColumns writes a table of cells that are safe for a terminal. It pads them by display width;
// text/tabwriter counts characters, but wide characters take two terminal columns and combining marks none.
func writeColumns(w *bytes.Buffer, columns []column, rows [][]string) {
	widths := make([]int, len(columns))
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i], widths[i] = c.head, textWidth(c.head)
		for _, row := range rows {
			widths[i] = max(widths[i], textWidth(row[i]))
		}
	}
	for _, row := range append([][]string{heads}, rows...) {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-textWidth(cell))
			if columns[i].right {
				line += pad + cell + columnGap
			} else {
				line += cell + pad + columnGap
			}
		}
		w.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// runeWidth is the display width of a printable character: two columns for wide East Asian characters and
// emoji (Unicode Standard Annex 11), none for combining marks.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func textWidth(text string) (n int) {
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// spaces replaces the spaces in Japanese and French names, which would be escaped otherwise.
var spaces = strings.NewReplacer("\u3000", " ", "\u00a0", " ", "\u202f", " ")

// cell makes untrusted text one line that is safe for a terminal, truncated to a width of most. An empty
// text becomes "-".
func cell(text string, most int) string {
	if strings.TrimSpace(text) == "" {
		return "-"
	}
	text = spaces.Replace(text)
	text = oneCell(text)
	if textWidth(text) <= most {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeWidth(r); n > most-1 { // one column is for the ellipsis
			return text[:i] + "…"
		}
	}
	return text
}

var (
	anchor = regexp.MustCompile(`(?is)<a\s[^>]*href\s*=\s*["']?([^"'\s>]+)["']?[^>]*>(.*?)</a\s*>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// fromHTML converts an HTML attribution to plain text. A link becomes its text and URL.
func fromHTML(text string) string {
	text = tag.ReplaceAllString(anchor.ReplaceAllString(text, "$2 ($1)"), "")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}
