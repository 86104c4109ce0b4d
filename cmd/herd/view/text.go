package view

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Escape escapes all unprintable characters except tabs and LFs. Client ids may contain any byte, and
// terminals interpret control characters.
func Escape(text string) string {
	clean := func(r rune) bool { return r == '\n' || r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if clean(r) {
			b.WriteString(text[:size])
		} else {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// OneLine is Escape that escapes tabs and LFs, too.
func OneLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(Escape(text))
}

// spaces replaces the spaces in Japanese and French names, which would be escaped otherwise.
var spaces = strings.NewReplacer("\u3000", " ", "\u00a0", " ", "\u202f", " ")

// Cell makes untrusted text one line that is safe for a terminal, truncated to a display width of most, which
// is at least 1. An empty text becomes "-".
func Cell(text string, most int) string {
	if strings.TrimSpace(text) == "" {
		return "-"
	}
	return Cut(OneLine(spaces.Replace(text)), most)
}

// Cut truncates text that is safe for a terminal to a display width of most, which is at least 1.
func Cut(text string, most int) string {
	if Width(text) <= most {
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

// Wrap breaks text that is safe for a terminal into lines of a display width of most: between words where it
// can.
func Wrap(text string, most int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		for {
			separator := " "
			if line == "" {
				separator = ""
			}
			if head := fitting(word, most-Width(line)-len(separator)); head == word {
				line += separator + word
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			head := fitting(word, most)
			if head == "" { // not even one character
				_, size := utf8.DecodeRuneInString(word)
				head = word[:size]
			}
			lines, word = append(lines, head), word[len(head):]
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// fitting is the longest beginning of text with a display width of most.
func fitting(text string, most int) string {
	n := 0
	for i, r := range text {
		if n += runeWidth(r); n > most {
			return text[:i]
		}
	}
	return text
}

// Width is the display width of text without control characters.
func Width(text string) (n int) {
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
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
