package view

import (
	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

// Differences says which servers run another herd.toml or another version than most of those that answered. While a
// herd is changed server by server, that is normal. A server of an
// earlier version does not say what its herd.toml is.
func Differences(all []ask.Status) (lines []Line) {
	for _, what := range []struct {
		name string
		of   func(*herd.Status) string
	}{
		{"herd.toml", func(s *herd.Status) string { return s.ConfigHash }},
		{"version", func(s *herd.Status) string { return s.Version }},
	} {
		most := most(all, what.of)
		for _, a := range all {
			if a.Status != nil && what.of(a.Status) != "" && what.of(a.Status) != what.of(most.Status) {
				lines = add(lines, a.Server, "runs another "+what.name+" than "+most.Server)
			}
		}
	}
	return lines
}

// most is the first of the servers that have the most frequent value; nil if none has one.
func most(all []ask.Status, of func(*herd.Status) string) (first *ask.Status) {
	best := 0
	for i, a := range all {
		n := 0
		for _, b := range all {
			if a.Status != nil && b.Status != nil && of(a.Status) != "" && of(a.Status) == of(b.Status) {
				n++
			}
		}
		if n > best {
			best, first = n, &all[i]
		}
	}
	return first
}
