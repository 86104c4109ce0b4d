package lab

import (
	"math"
	"testing"
)

// In a ring of five a flood costs 6 lines. A lookup on demand costs, in four of five cases, the same plus
// the lines of the answer, and takes a round trip.
func TestFloodAndAskCostWhatTheyMust(t *testing.T) {
	for _, c := range []struct {
		name               string
		f                  func(uint64, string, int, int, float64) (Values, error)
		updates            float64
		messages, response [2]float64
	}{
		{"updates, flooded", flood, 1, [2]float64{6, 6}, [2]float64{0, 0.01}},
		{"queries, flooded", flood, 0, [2]float64{0, 0}, [2]float64{0, 0.01}},
		{"updates, kept", ask, 1, [2]float64{0, 0}, [2]float64{0, 0.01}},
		{"queries, asked", ask, 0, [2]float64{4, 7}, [2]float64{0.75 * 12, 0.85 * 18}},
	} {
		v, err := c.f(1, "ring", 5, 300, c.updates)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct {
			name string
			want [2]float64
		}{{"messages per operation", c.messages}, {"response time", c.response}} {
			if x := v[f.name]; x < f.want[0] || x > f.want[1] || math.IsNaN(x) {
				t.Errorf("%s: %s is %v, want %v", c.name, f.name, x, f.want)
			}
		}
	}
}
