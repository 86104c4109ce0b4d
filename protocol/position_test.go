package protocol

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// The result is the same float64 as of strconv.ParseFloat, for any number of digits.
func TestParsePositionAgainstStrconv(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 30_000 {
		coords := randomCoords(r)
		text := strings.TrimSuffix(coords, "/")
		i := 1 + strings.IndexAny(text[1:], "+-")
		wantLat, err := strconv.ParseFloat(text[:i], 64)
		if err != nil {
			t.Fatal(err)
		}
		wantLng, err := strconv.ParseFloat(text[i:], 64)
		if err != nil {
			t.Fatal(err)
		}
		lat, lng, ok := ParsePosition([]byte(coords))
		if !ok || lat != wantLat || lng != wantLng {
			t.Fatalf("%s: %v, %v, %v; want %v, %v", coords, lat, lng, ok, wantLat, wantLng)
		}
	}
}
