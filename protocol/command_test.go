package protocol

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// corpus reads a file of testdata: one escaped line per row, and a note after " => ".
func corpus(t testing.TB, file string) (lines [][]byte, notes []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(text)) {
		row = strings.TrimSuffix(row, "\n")
		if strings.HasPrefix(row, "#") {
			continue
		}
		escaped, note, _ := strings.Cut(row, " => ")
		line, err := strconv.Unquote(`"` + escaped + `"`)
		if err != nil {
			t.Fatalf("%s: %s: %v", file, row, err)
		}
		lines, notes = append(lines, []byte(line)), append(notes, note)
	}
	return lines, notes
}

func TestParseValid(t *testing.T) {
	lines, _ := corpus(t, "valid.txt")
	for _, line := range lines {
		if _, err := Paper.Parse(line, MaxClientID); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		checkParse(t, line)
	}
}

func TestParseInvalid(t *testing.T) {
	lines, reasons := corpus(t, "invalid.txt")
	for i, line := range lines {
		c, err := Paper.Parse(line, MaxClientID)
		if err == nil {
			t.Errorf("%q is parsed as %+v", line, c)
			continue
		}
		var syntax *SyntaxError
		switch {
		case reasons[i] == "?":
			if err != ErrUnknownVerb {
				t.Errorf("%q: %v, want an unknown verb", line, err)
			}
		case !errors.As(err, &syntax) || err.Error() != reasons[i]:
			t.Errorf("%q:\n got %v\nwant %s", line, err, reasons[i])
		}
		checkParse(t, line)
	}
}

func TestParseFields(t *testing.T) {
	c, err := Paper.Parse([]byte(paperIAMAT+"\r"), MaxClientID)
	if err != nil {
		t.Fatal(err)
	}
	if c.Verb != VerbIAMAT || string(c.Client) != "kiwi.cs.ucla.edu" ||
		string(c.Coords) != "+34.068930-118.445127" || string(c.Time) != "1520023934.918963997" ||
		c.Lat != 34.068930 || c.Lng != -118.445127 {
		t.Errorf("%+v", c)
	}
	c, err = Paper.Parse([]byte("WHATSAT kiwi 10 5"), MaxClientID)
	if err != nil {
		t.Fatal(err)
	}
	if c.Verb != VerbWHATSAT || string(c.Client) != "kiwi" || c.RadiusM != 10000 || c.Bound != 5 {
		t.Errorf("%+v", c)
	}
}

// The course specification only limits the radius to 50 km; the paper requires an integer.
func TestFractionalRadius(t *testing.T) {
	long := strings.Repeat("0", 4000)
	for radius, want := range map[string]int{ // meters; -1: refused
		"10.5871263": 10587, "0.5": 500, "0.0": 0, "00.0004": 0, "00.0005": 1, "9.9995": 10000, "0.1234": 123,
		"0.1235": 124, "5.25": 5250, "50.0": 50000, "50." + long: 50000, "49.9999": 50000, long + "7.5": 7500,
		"50.0000001": -1, "50." + long + "1": -1, "51.0": -1, "5.": -1, ".5": -1, "+5.0": -1, "-0.0": -1,
		"1e1": -1, "1.5e1": -1, "5,5": -1, "1.2.3": -1, ".": -1, "nan": -1, "0x1.8": -1, "1_0.0": -1,
	} {
		line := []byte("WHATSAT kiwi " + radius + " 5")
		c, err := CS131.Parse(line, MaxClientID)
		if (err == nil) != (want >= 0) || err == nil && c.RadiusM != want {
			t.Errorf("%.40q: %d m, %v; want %d", radius, c.RadiusM, err, want)
		}
		if c, err := Paper.Parse(line, MaxClientID); err == nil {
			t.Errorf("%.40q is parsed in the paper's dialect as %+v", radius, c)
		}
		checkParse(t, line)
	}
}

func TestClientLength(t *testing.T) {
	for _, format := range []string{"IAMAT # +1-1 1", "WHATSAT # 1 1"} {
		verb, _, _ := strings.Cut(format, " ")
		for _, max := range []int{1, 10, MaxClientID} {
			line := strings.Replace(format, "#", strings.Repeat("k", max), 1)
			if _, err := Paper.Parse([]byte(line), max); err != nil {
				t.Errorf("%s with a client of the maximum of %d bytes: %v", verb, max, err)
			}
			line = strings.Replace(line, "k", "kk", 1)
			_, err := Paper.Parse([]byte(line), max)
			want := verb + " CLIENT: longer than " + strconv.Itoa(max) + " bytes"
			if err == nil || err.Error() != want {
				t.Errorf("%s with a client of %d bytes: %v, want %s", verb, max+1, err, want)
			}
		}
	}
}

// A second implementation of the grammar, by regular expressions and rationals: slow and simple.
var (
	iamatForm = regexp.MustCompile(`^[ \t-\r]*IAMAT[ \t-\r]+([^ \t-\r]+)[ \t-\r]+` +
		`(([+-][0-9]{1,2}(?:\.[0-9]+)?)([+-][0-9]{1,3}(?:\.[0-9]+)?)/?)[ \t-\r]+` +
		`([0-9]+(?:\.[0-9]+)?)[ \t-\r]*$`)
	whatsatForm = regexp.MustCompile(
		`^[ \t-\r]*WHATSAT[ \t-\r]+([^ \t-\r]+)[ \t-\r]+([0-9]+(?:\.[0-9]+)?)[ \t-\r]+([0-9]+)[ \t-\r]*$`)
	bareForm = regexp.MustCompile(`^[ \t-\r]*(help|quit)[ \t-\r]*$`)
)

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("not a rational: " + text)
	}
	return r
}

// between reports whether low <= text < high.
func between(text string, low, high int64) bool {
	r := rational(text)
	return r.Cmp(big.NewRat(low, 1)) >= 0 && r.Cmp(big.NewRat(high, 1)) < 0
}

// within reports whether |text| <= limit.
func within(text string, limit int64) bool {
	return new(big.Rat).Abs(rational(text)).Cmp(big.NewRat(limit, 1)) <= 0
}

func legal(d Dialect, line []byte) bool {
	if m := iamatForm.FindSubmatch(line); m != nil {
		return len(m[1]) <= MaxClientID && len(m[2]) <= 96 && len(m[5]) <= 96 &&
			within(string(m[3]), 90) && within(string(m[4]), 180) &&
			between(string(m[5]), 0, maxSeconds+1)
	}
	if m := whatsatForm.FindSubmatch(line); m != nil {
		return len(m[1]) <= MaxClientID && within(string(m[2]), MaxRadiusKM) &&
			(d == CS131 || !bytes.Contains(m[2], []byte("."))) &&
			between(string(m[3]), 0, MaxBound+1)
	}
	return bareForm.Match(line)
}

// checkParse checks the properties of any line in both dialects.
func checkParse(t *testing.T, line []byte) {
	t.Helper()
	for _, d := range []Dialect{Paper, CS131} {
		checkDialect(t, d, line)
	}
}

// checkDialect checks, for any line, that Parse agrees with the grammar above, that a command is unchanged by
// writing and parsing it, and that an IAMAT makes a record that is valid on a link.
func checkDialect(t *testing.T, d Dialect, line []byte) {
	t.Helper()
	c, err := d.Parse(line, MaxClientID)
	if (err == nil) != legal(d, line) {
		t.Fatalf("%q in %v: parsed with %v, legal: %v", line, d, err, legal(d, line))
	}
	if err != nil {
		if err == ErrUnknownVerb && c.Verb != VerbUnknown {
			t.Fatalf("%q: verb %d of an unknown verb", line, c.Verb)
		}
		if bytes.ContainsFunc([]byte(err.Error()), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q: control bytes in %q", line, err)
		}
		return
	}
	again := c.AppendLine(nil)
	e, err := d.Parse(again, MaxClientID)
	if err != nil || !reflect.DeepEqual(c, e) {
		t.Fatalf("%q is %+v, written as %q it is %+v, %v", line, c, again, e, err)
	}
	if m := whatsatForm.FindSubmatch(line); m != nil {
		meters := new(big.Rat).Mul(rational(string(m[2])), big.NewRat(1000, 1))
		off, _ := meters.Sub(meters, big.NewRat(int64(c.RadiusM), 1)).Float64()
		if off < -0.5 || off >= 0.5 {
			t.Fatalf("%q: %d m are off by %v", line, c.RadiusM, off)
		}
	}
	if c.Verb == VerbIAMAT {
		checkRecord(t, c, paperNow)
	}
}

// Valid lines with a byte changed, added, dropped or doubled.
func TestParseMutated(t *testing.T) {
	lines, _ := corpus(t, "valid.txt")
	r := rand.New(rand.NewPCG(1, 2))
	const odd = "+-./0123456789 \t\v\f\r_exXnaNif\x00\x85\xa0\xff"
	good := 0
	for range 20_000 {
		line := bytes.Clone(lines[r.IntN(len(lines))])
		for range 1 + r.IntN(3) {
			i, b := r.IntN(len(line)+1), odd[r.IntN(len(odd))]
			switch {
			case i == len(line) || r.IntN(3) == 0:
				line = append(line[:i], append([]byte{b}, line[i:]...)...)
			case len(line) > 1 && r.IntN(2) == 0:
				line = append(line[:i], line[i+1:]...)
			default:
				line[i] = b
			}
		}
		checkParse(t, line)
		if legal(Paper, line) {
			good++
		}
	}
	if good < 2_000 || good > 18_000 {
		t.Errorf("%d of 20000 lines are valid: too few for the test", good)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"valid.txt", "invalid.txt"} {
		lines, _ := corpus(f, file)
		for _, line := range lines {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) { checkParse(t, line) })
}
