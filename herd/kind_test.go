package herd

import "testing"

// Only how the last connection ended decides what the next one begins with.
func TestTheKindOfTheNextConnection(t *testing.T) {
	for _, c := range []struct {
		how  ending
		want [3]kind // after kindHerd, kindLegacy, kindSilent
	}{
		{endedUnknown, [3]kind{kindLegacy, kindLegacy, kindLegacy}},
		{endedSilent, [3]kind{kindSilent, kindSilent, kindSilent}},
		{endedLine, [3]kind{kindHerd, kindLegacy, kindSilent}},
		{endedOtherwise, [3]kind{}},
	} {
		for k, want := range c.want {
			if got := kind(k).after(c.how); got != want {
				t.Errorf("kind %d, ending %d: %d, want %d", k, c.how, got, want)
			}
		}
	}
}
