package client

import (
	"slices"
	"strings"
	"testing"
)

// What a line has of a token is hidden, whatever repeats it.
func TestSecretsOfLines(t *testing.T) {
	made := "herd_" + strings.Repeat("x", 43)
	for line, want := range map[string][]string{
		"IAMAT kiwi +1-1 5":           nil,
		"TOKEN a b":                   {"a", "b"},
		"tokenab":                     {"ab"},
		"TOKN " + made:                {made},
		made + " =" + made + "; kiwi": {made, "=" + made + ";"},
	} {
		if got := secrets(line); !slices.Equal(got, want) || IsSecret(line) != (want != nil) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
		if IsToken(line) != strings.HasPrefix(strings.ToUpper(line), "TOKEN") {
			t.Errorf("%q: IsToken", line)
		}
	}
}
