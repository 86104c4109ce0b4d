package protocol

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// The degrees are those of strconv, to the last bit, however many digits they have.
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
