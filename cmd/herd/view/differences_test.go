package view

import (
	"fmt"
	"strings"
	"testing"

	"serverherd/cmd/herd/ask"
	"serverherd/herd"
)

func TestDifferences(t *testing.T) {
	for _, test := range []struct {
		servers string // each one's herd.toml and version; "-" did not answer
		want    string
	}{
		{"", "[]"},
		{"--", "[]"},
		{"a1", "[]"},
		{"a1 a1 --", "[]"},
		{"a1  1  1 a1", "[]"},
		{"a1 b1", "[{[1] runs another herd.toml than 0}]"},
		{"b1 a1 a1", "[{[0] runs another herd.toml than 1}]"},
		{"-- b1 a1 a2 c1 a1", "[{[1 4] runs another herd.toml than 2} {[3] runs another version than 1}]"},
	} {
		var all []ask.Status
		for i := 0; i+1 < len(test.servers); i += 3 {
			a := ask.Status{Server: fmt.Sprint(i / 3)}
			if test.servers[i] != '-' {
				a.Status = &herd.Status{ConfigHash: strings.TrimSpace(test.servers[i : i+1]), Version: test.servers[i+1 : i+2]}
			}
			all = append(all, a)
		}
		var notes lines
		differences(all, &notes)
		if got := fmt.Sprint(notes.done()); got != test.want {
			t.Errorf("%s: %s, want %s", test.servers, got, test.want)
		}
		if notes := Of(nil, all).Summary().Notes; test.want != "[]" && len(notes) == 0 {
			t.Errorf("%s: not in the summary", test.servers)
		}
	}
}
