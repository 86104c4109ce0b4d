package protocol

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func stamp(t testing.TB, text string) Stamp {
	t.Helper()
	s, ok := ParseStamp([]byte(text))
	if !ok {
		t.Fatalf("%s is not accepted as a time", text)
	}
	return s
}

func TestStampCompare(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1520023934.918963997", "1520023934.918963998", -1},
		{"1520023934.9", "1520023934.900000000", 0},
		{"999999999.5", "1000000000.5", -1},
		{"1", "1.0", 0},
		{"1", "0001", 0},
		{"1", "1.000000000000000000000000000001", -1},
		{"1.05", "1.5", -1},
		{"1.10", "1.1", 0},
		{"1.1", "1.09", +1},
		{"0", "0.0", 0},
	} {
		a, b := stamp(t, c.a), stamp(t, c.b)
		if a.Compare(b) != c.want || b.Compare(a) != -c.want {
			t.Errorf("%s and %s: %d and %d, want %d", c.a, c.b, a.Compare(b), b.Compare(a), c.want)
		}
	}
}

// near returns a time, often with a small difference to a given one.
func near(r *rand.Rand, text string) string {
	if r.IntN(4) == 0 {
		return randomTime(r)
	}
	b := []byte(text)
	if i := r.IntN(len(b)); b[i] != '.' && i > 2 {
		b[i] = byte('0' + r.IntN(10))
	}
	if i := strings.IndexByte(text, '.'); i > 0 {
		b = b[:i+2+r.IntN(len(b)-i-1)]
		b = append(b, strings.Repeat("0", r.IntN(maxTimeText+1-len(b)))...)
	}
	if !between(string(b), 0, maxSeconds+1) {
		return text
	}
	return string(b)
}

func TestStampCompareAgainstRationals(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var results [3]int
	for range 30_000 {
		x := randomTime(r)
		y := near(r, x)
		want := rational(x).Cmp(rational(y))
		if got := stamp(t, x).Compare(stamp(t, y)); got != want {
			t.Fatalf("%s and %s: %d, want %d", x, y, got, want)
		}
		results[want+1]++
	}
	for want, n := range results {
		if n < 1_500 {
			t.Errorf("only %d of 30000 comparisons should be %d: too few for the test", n, want-1)
		}
	}
}

func nanos(now time.Time) *big.Rat {
	n := new(big.Int).Mul(big.NewInt(now.Unix()), big.NewInt(1e9))
	return new(big.Rat).SetFrac(n.Add(n, big.NewInt(int64(now.Nanosecond()))), big.NewInt(1e9))
}

func TestAheadAndDiffAgainstRationals(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20_000 {
		text := randomTime(r)
		now := time.Unix(r.Int64N(maxSeconds+1), r.Int64N(1e9))
		if r.IntN(2) == 0 {
			now = time.Unix(1520023930+r.Int64N(10), r.Int64N(1e9))
		}
		max := []time.Duration{0, 1, time.Second, time.Hour, 200 * 365 * 24 * time.Hour}[r.IntN(5)]
		limit := new(big.Rat).Add(nanos(now), big.NewRat(int64(max), 1e9))
		if got, want := stamp(t, text).Ahead(now, max), rational(text).Cmp(limit) > 0; got != want {
			t.Fatalf("%s more than %v ahead of %v: %v, want %v", text, max, nanos(now), got, want)
		}
		cut := text
		if i := strings.IndexByte(text, '.'); i > 0 && len(text) > i+10 {
			cut = text[:i+10]
		}
		want := new(big.Rat).Sub(nanos(now), rational(cut)).FloatString(9)
		if want[0] != '-' {
			want = "+" + want
		}
		if got := string(AppendDiff(nil, now, stamp(t, text))); got != want {
			t.Fatalf("%v - %s = %s, want %s", nanos(now), text, got, want)
		}
	}
}

func TestAppendDiff(t *testing.T) {
	for _, c := range []struct {
		seconds, nanos int64
		time, want     string
	}{
		{1520023935, 182837383, "1520023934.918963997", "+0.263873386"},
		{5, 0, "5", "+0.000000000"},
		{5, 0, "5.0000000009", "+0.000000000"},
		{5, 0, "5.000000001", "-0.000000001"},
		{5, 0, "5.5", "-0.500000000"},
		{5, 0, "6", "-1.000000000"},
		{5, 250000000, "6.5", "-1.250000000"},
		{5, 250000000, "6.125", "-0.875000000"},
		{5, 999999999, "4.999999999", "+1.000000000"},
		{-1, 500000000, "0", "-0.500000000"}, // a clock before 1970
		{0, 0, "253402300799.5", "-253402300799.500000000"},
	} {
		now := time.Unix(c.seconds, c.nanos)
		if got := string(AppendDiff([]byte("x"), now, stamp(t, c.time))); got != "x"+c.want {
			t.Errorf("%d.%09d - %s = %s, want %s", c.seconds, c.nanos, c.time, got[1:], c.want)
		}
	}
}

func TestAhead(t *testing.T) {
	now := time.Unix(1520023934, 5)
	for text, want := range map[string]bool{
		"1520023934":              false,
		"1520027534":              false,
		"1520027534.000000005":    false, // exactly one hour
		"1520027534.0000000050":   false,
		"1520027534.000000005001": true,
		"1520027534.000000006":    true,
		"1520027535":              true,
		"9999999999":              true,
	} {
		if got := stamp(t, text).Ahead(now, time.Hour); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func ExampleStamp_Compare() {
	a, _ := ParseStamp([]byte("1520023934.918963997"))
	b, _ := ParseStamp([]byte("1520023934.918963998"))
	fmt.Println(a.Compare(b))
	// Output: -1
}
