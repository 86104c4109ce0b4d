package herd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What is printed is what is in force, and what is in force is printed, in both places.
func TestConstantsAreShown(t *testing.T) {
	var text bytes.Buffer
	if err := WriteConstants(&text); err != nil {
		t.Fatal(err)
	}
	w := ringOf(t, nil, "Alford")
	shown := w.servers["Alford"].Status().Constants
	for _, c := range Constants() {
		value := fmt.Sprint(c.Value)
		if !strings.Contains(text.String(), fmt.Sprintf("# %-21s %8s  %s\n", c.Name, value, c.What)) {
			t.Errorf("herd config does not show %s = %s", c.Name, value)
		}
		if shown[c.Name] != c.Value {
			t.Errorf("/status.json shows %v for %s, want %s", shown[c.Name], c.Name, value)
		}
	}
	if len(shown) != len(Constants()) {
		t.Errorf("%d constants in /status.json, want %d", len(shown), len(Constants()))
	}
}
