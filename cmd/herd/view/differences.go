package view

import (
	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

// differences says which servers run another herd.toml or another version than most of those that answered. While a
// herd is changed server by server, that is normal. A server of an
// earlier version does not say what its herd.toml is.
func differences(all []ask.Status, notes *lines) {
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
				notes.add(a.Server, "runs another "+what.name+" than "+most.Server)
			}
		}
	}
}

// most is the first of the servers that have the most frequent value; nil if none has one.
func most(all []ask.Status, of func(*herd.Status) string) (first *ask.Status) {
	number := make(map[string]int)
	for _, a := range all {
		if a.Status != nil && of(a.Status) != "" {
			number[of(a.Status)]++
		}
	}
	best := 0
	for i, a := range all {
		if a.Status != nil && number[of(a.Status)] > best {
			best, first = number[of(a.Status)], &all[i]
		}
	}
	return first
}
