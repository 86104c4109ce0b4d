package herd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What is in force is printed.
func TestConstantsAreShown(t *testing.T) {
	var text bytes.Buffer
	if err := WriteConstants(&text); err != nil {
		t.Fatal(err)
	}
	for _, c := range Constants() {
		value := fmt.Sprint(c.Value)
		if !strings.Contains(text.String(), fmt.Sprintf("# %-21s %8s  %s\n", c.Name, value, c.What)) {
			t.Errorf("herd config does not show %s = %s", c.Name, value)
		}
	}
}
