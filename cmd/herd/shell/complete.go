package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"serverherd/cmd/herd/view"
)

const (
	maxKnown    = 1000                   // ids of the session that are kept
	maxListed   = 40                     // completions that are listed
	idsPatience = 300 * time.Millisecond // for Server.IDs
)

// commands are the first words of lines. Those with a dot are the shell's own.
const (
	atCommand   = ".at"
	helpCommand = ".help"
)

var commands = []string{"IAMAT", "WHATSAT", "help", "quit", atCommand, helpCommand}

// completer completes words.
type completer struct {
	names []string
	ids   func(ctx context.Context, prefix string) []string // may be nil
	known []string                                          // ids of the session, the latest last
	now   func() time.Time
}

// note remembers the client of a line that was answered without an error.
func (c *completer) note(line string) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "IAMAT" && f[0] != "WHATSAT" {
		return
	}
	if i := slices.Index(c.known, f[1]); i >= 0 {
		c.known = slices.Delete(c.known, i, i+1)
	}
	c.known = append(c.known, f[1])
	if len(c.known) > maxKnown {
		c.known = slices.Delete(c.known, 0, 1)
	}
}

// complete completes the word before pos. It returns the new line and position, and if there are several
// completions and they have nothing more in common, these.
func (c *completer) complete(line string, pos int) (newLine string, newPos int, list []string) {
	head := line[:pos]
	start := strings.LastIndexAny(head, " \t") + 1
	word, before := head[start:], strings.Fields(head[:start])
	found := c.candidates(before, word)
	if len(found) == 0 {
		return line, pos, nil
	}
	insert := common(found)
	if len(found) == 1 {
		insert += " "
	}
	rest := line[pos:]
	if len(found) == 1 && strings.HasPrefix(rest, " ") {
		rest = rest[1:]
	}
	if insert == word {
		return line, pos, found
	}
	newLine = head[:start] + insert
	return newLine + rest, len(newLine), nil
}

// candidates are the words that may stand behind others and begin with prefix.
func (c *completer) candidates(before []string, prefix string) (found []string) {
	add := func(words []string, fold bool) {
		for _, w := range words {
			if len(w) >= len(prefix) && (w[:len(prefix)] == prefix || fold && strings.EqualFold(w[:len(prefix)], prefix)) {
				found = append(found, w)
			}
		}
	}
	switch {
	case len(before) == 0:
		add(commands, true)
	case len(before) == 1 && before[0] == atCommand:
		add(c.names, true)
	case len(before) == 1 && (before[0] == "IAMAT" || before[0] == "WHATSAT"):
		add(c.known, false)
		if c.ids != nil {
			ctx, cancel := context.WithTimeout(context.Background(), idsPatience)
			defer cancel()
			add(c.ids(ctx, prefix), false)
		}
		found = slices.DeleteFunc(found, func(id string) bool { return !typeable(id) })
	case len(before) == 3 && before[0] == "IAMAT" && prefix == "":
		now := c.now()
		return []string{fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// typeable reports whether a word can be typed in the line editor.
func typeable(word string) bool {
	return utf8.ValidString(word) && !strings.ContainsFunc(word, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
}

// common is the longest common prefix of words, at a boundary of characters.
func common(words []string) string {
	first := words[0]
	for _, w := range words[1:] {
		n := 0
		for n < min(len(first), len(w)) && first[n] == w[n] {
			n++
		}
		for n > 0 && n < len(first) && !utf8.RuneStart(first[n]) {
			n--
		}
		first = first[:n]
	}
	return first
}

// columns arranges words in columns, as ls does: in the order of reading down, each line shorter than width.
func columns(words []string, width int) []string {
	const gap = 2
	for rows := 1; ; rows++ {
		lines, used := make([]string, rows), 0
		for first := 0; first < len(words); first += rows {
			column := words[first:min(first+rows, len(words))]
			widest := 0
			for i, w := range column {
				lines[i] += strings.Repeat(" ", used-view.Width(lines[i])) + w
				widest = max(widest, view.Width(w))
			}
			used += widest + gap
		}
		if used-gap < width || rows >= len(words) {
			return lines
		}
	}
}
