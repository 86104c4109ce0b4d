package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxParsed is how many bytes locate parses, a multiple of what a usual file takes. When they are spent, the lines
// of what follows stay unknown.
const maxParsed = 8 << 20

// locate returns the line of each table and key of a valid TOML text, by its full name; the n-th [[server]],
// from 0, is server[n]. The TOML library does not export lines, so the text is parsed again, one statement at
// a time.
func locate(text string) map[string]int {
	lines := map[string]int{}
	add := func(name string, line int) {
		if lines[name] == 0 {
			lines[name] = line
		}
	}
	table, servers := "", 0 // prefix of keys in the current table; [[server]] headers so far
	budget := maxParsed
	for line := 1; text != "" && budget > 0; {
		length, doc := statement(text, &budget)
		names := namesOf(doc)
		header := strings.HasPrefix(strings.TrimLeft(text, " \t"), "[")
		if header {
			table = ""
			if value, ok := doc["server"]; ok {
				add("server", line)
				if _, another := value.([]map[string]any); another {
					servers++
				}
				for i, name := range names {
					names[i] = serverName(servers-1) + strings.TrimPrefix(name, "server")
				}
			}
		}
		for _, name := range names {
			add(table+name, line)
		}
		if header && len(names) > 0 {
			table = names[len(names)-1] + "."
		}
		line += strings.Count(text[:length], "\n")
		text = text[length:]
	}
	return lines
}

// statement returns the length and the decoded form of the first statement of a valid text: a header, a key
// with its value, or a blank line or comment. A statement ends with the first line up to which it parses. A value
// with many lines that look like its last one may take more than the budget: then doc has the key alone.
func statement(text string, budget *int) (length int, doc map[string]any) {
	for length < len(text) && *budget > 0 {
		line, _, _ := strings.Cut(text[length:], "\n")
		first := length == 0
		length = min(length+len(line)+1, len(text))
		if blank := strings.TrimLeft(line, " \t\r"); first && (blank == "" || blank[0] == '#') {
			return length, nil
		}
		if !first && !closes.MatchString(line) {
			continue
		}
		*budget -= length
		if _, err := toml.Decode(text[:length], &doc); err == nil {
			return length, doc
		}
	}
	key, _, _ := strings.Cut(text, "=")
	_, _ = toml.Decode(key+"= 0", &doc)
	return length, doc
}

// closes matches the last line of a multi-line value.
var closes = regexp.MustCompile(`"""|'''|[]}]`)

// namesOf returns the tables and keys in a statement. Deeper levels do not matter.
func namesOf(doc map[string]any) (names []string) {
	for name, value := range doc { // order: a statement has one top-level name
		names = append(names, name)
		table, _ := value.(map[string]any)
		for key := range table { // order: all are on one line
			names = append(names, name+"."+key)
		}
	}
	return names
}

// lineOf returns the line of a key or, if the file does not have it, of its table; else 0.
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

// serverName returns the full name of the n-th [[server]].
func serverName(n int) string { return "server[" + strconv.Itoa(n) + "]" }
