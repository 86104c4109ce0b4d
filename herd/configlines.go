package herd

import (
	"strconv"
	"strings"
)

// locate finds the line of each table and key in a TOML text that parses, by its full name; the
// n-th [[server]], from 0, is server[n]. The TOML library does not tell: of the keys of an array
// of tables it knows the last only.
func locate(text string) map[string]int {
	s := scanner{text: text, line: 1, lines: map[string]int{}}
	for s.skipBlank(); s.i < len(s.text); s.skipBlank() {
		if s.text[s.i] == '[' {
			s.header()
		} else {
			s.found(append(s.table[:len(s.table):len(s.table)], s.key()...))
			s.i++ // =
			s.skipValue()
		}
	}
	return s.lines
}

// lineOf finds the line of a key or, if it is not written out, of what it would be in; else 0.
func lineOf(lines map[string]int, name string) int {
	for {
		if line := lines[name]; line > 0 {
			return line
		}
		end := strings.LastIndexAny(name, ".[")
		if end < 0 {
			return 0
		}
		name = name[:end]
	}
}

// scanner reads over a text as far as locate needs it. It stays in bounds whatever the text.
type scanner struct {
	text    string
	i, line int
	table   []string // where keys are now
	servers int      // [[server]] so far
	lines   map[string]int
}

// deepest is how many parts of a name matter: nothing here is deeper than table and key.
const deepest = 3

// found notes a name and what it is in, each where it is first seen.
func (s *scanner) found(path []string) {
	for n := range min(len(path), deepest) {
		if name := strings.Join(path[:n+1], "."); s.lines[name] == 0 {
			s.lines[name] = s.line
		}
	}
}

// header reads [table] or [[table]].
func (s *scanner) header() {
	array := strings.HasPrefix(s.text[s.i:], "[[")
	s.i++
	if array {
		s.i++
	}
	s.table = s.key()
	if s.table[0] == "server" {
		s.found([]string{"server"})
		if array && len(s.table) == 1 {
			s.servers++
		}
		s.table[0] = serverName(s.servers - 1)
	}
	s.found(s.table)
	for s.i < len(s.text) && s.text[s.i] != '\n' {
		s.i++
	}
}

// serverName is the full name of the n-th [[server]].
func serverName(n int) string { return "server[" + strconv.Itoa(n) + "]" }

// key reads the parts of a key up to = or ].
func (s *scanner) key() []string {
	parts := []string{""}
	for ; s.i < len(s.text); s.i++ {
		switch c := s.text[s.i]; c {
		case '=', ']', '\n':
			return parts
		case ' ', '\t':
		case '.':
			parts = append(parts, "")
		case '"', '\'':
			begin := s.i + 1
			s.skipString()
			s.i--
			parts[len(parts)-1] = s.text[begin:max(begin, s.i)]
		default:
			parts[len(parts)-1] += string(c)
		}
	}
	return parts
}

// skipBlank skips white space, ends of lines and comments.
func (s *scanner) skipBlank() {
	for ; s.i < len(s.text); s.i++ {
		switch s.text[s.i] {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		case '#':
			s.skipComment()
			s.i--
		default:
			return
		}
	}
}

func (s *scanner) skipComment() {
	for s.i < len(s.text) && s.text[s.i] != '\n' {
		s.i++
	}
}

// skipValue skips to the end of the line on which a value ends.
func (s *scanner) skipValue() {
	for depth := 0; s.i < len(s.text); {
		switch s.text[s.i] {
		case '"', '\'':
			s.skipString()
			continue
		case '#':
			s.skipComment()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			if depth <= 0 {
				return
			}
			s.line++
		}
		s.i++
	}
}

// skipString skips a string of any of TOML's four kinds.
func (s *scanner) skipString() {
	quote := s.text[s.i : s.i+1]
	escapes := quote == `"`
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.i:], triple) {
		quote = triple
	}
	for s.i += len(quote); s.i < len(s.text); s.i++ {
		switch {
		case strings.HasPrefix(s.text[s.i:], quote):
			s.i += len(quote)
			for len(quote) == 3 && strings.HasPrefix(s.text[s.i:], quote[:1]) {
				s.i++ // up to two more quotes belong to the string's end
			}
			return
		case s.text[s.i] == '\n':
			s.line++
		case escapes && s.text[s.i] == '\\':
			s.i++
			if strings.HasPrefix(s.text[s.i:], "\n") {
				s.line++
			}
		}
	}
}
