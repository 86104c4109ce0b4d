package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// locate finds the line of each table and key of a TOML text that parses, by its full name; the n-th
// [[server]], from 0, is server[n]. The TOML library keeps the lines to itself, so the text is parsed again,
// one statement at a time.
func locate(text string) map[string]int {
	lines := map[string]int{}
	found := func(name string, line int) {
		if lines[name] == 0 {
			lines[name] = line
		}
	}
	table, servers := "", 0 // where keys are, with a dot; and how many [[server]] there have been
	for line := 1; text != ""; {
		length, doc := statement(text)
		names := namesOf(doc)
		header := strings.HasPrefix(strings.TrimLeft(text, " \t"), "[")
		if header {
			table = ""
			if value, ok := doc["server"]; ok {
				found("server", line)
				if _, another := value.([]map[string]any); another {
					servers++
				}
				for i, name := range names {
					names[i] = serverName(servers-1) + strings.TrimPrefix(name, "server")
				}
			}
		}
		for _, name := range names {
			found(table+name, line)
		}
		if header {
			table = names[len(names)-1] + "."
		}
		line += strings.Count(text[:length], "\n")
		text = text[length:]
	}
	return lines
}

// statement is the length and the meaning of the first statement of a text that parses: a header, a key with
// its value, or a line with neither. A statement ends with the first line up to which it parses. O(n), but for
// a value with many lines that look like its last.
func statement(text string) (length int, doc map[string]any) {
	for length < len(text) {
		line, _, _ := strings.Cut(text[length:], "\n")
		first := length == 0
		length = min(length+len(line)+1, len(text))
		if !first && !closes.MatchString(line) {
			continue
		}
		if _, err := toml.Decode(text[:length], &doc); err == nil {
			break
		}
	}
	return length, doc
}

// closes matches the last line of a value that has several.
var closes = regexp.MustCompile(`"""|'''|[]}]`)

// namesOf are the names in a statement, as far as they matter: nothing here is deeper than table and key.
func namesOf(doc map[string]any) (names []string) {
	for name, value := range doc { // order: a statement begins with one name
		names = append(names, name)
		table, _ := value.(map[string]any)
		for key := range table { // order: they are on one line
			names = append(names, name+"."+key)
		}
	}
	return names
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

// serverName is the full name of the n-th [[server]].
func serverName(n int) string { return "server[" + strconv.Itoa(n) + "]" }
