package main

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columnGap stands between two columns.
const columnGap = "  "

// column is how the cells of a column are set.
type column struct {
	head  string
	right bool // its cells end below each other
}

// writeColumns writes a table. Cells are safe for a terminal, and as wide as it shows them:
// text/tabwriter counts characters, of which the Chinese take two columns and accents none.
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

// runeWidth is how many columns a terminal gives a character that prints: two to the wide ones of
// East Asia and emoji (Unicode Standard Annex 11), none to a mark on the one before.
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

// spaces are those of Japanese and French names, which a terminal need not see escaped.
var spaces = strings.NewReplacer("\u3000", " ", "\u00a0", " ", "\u202f", " ")

// cell is text of any origin as one line for a terminal, no wider than most, or "-" if it is empty.
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
		if n += runeWidth(r); n > most-1 { // which leaves one for the dots
			return text[:i] + "…"
		}
	}
	return text
}

var (
	anchor = regexp.MustCompile(`(?is)<a\s[^>]*href\s*=\s*["']?([^"'\s>]+)["']?[^>]*>(.*?)</a\s*>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// fromHTML is an attribution as a terminal can show it: a link becomes its text and its address.
func fromHTML(text string) string {
	text = tag.ReplaceAllString(anchor.ReplaceAllString(text, "$2 ($1)"), "")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}
