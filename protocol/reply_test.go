package protocol

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/reasons.golden; read the difference")

// Each reason that a client can get, as sent after "> ".
func TestReasons(t *testing.T) {
	odd := []byte("\x1b[31m\"\u202e\xff")
	long := []byte(strings.Repeat("x", 65))
	var got strings.Builder
	for _, err := range []error{
		wrongFields("IAMAT", 3, 4),
		wrongFields("help", 2, 1),
		clientTooLong("IAMAT", 1024),
		clientTooLong("WHATSAT", 1024),
		notPosition([]byte("x")),
		notPosition(odd),
		notPosition(long),
		notPosition([]byte(strings.Repeat("x", 97))),
		notPosition([]byte("+94.0-118.0")),
		notPosition([]byte("-90.0001-118.0")),
		notPosition([]byte("+34.0+180.5/")),
		notPosition([]byte("+34.0-181")),
		notPosition([]byte("+34.0689-118.4451+086.123/")),
		notTime([]byte("abc")),
		notTime(odd),
		notTime([]byte(strings.Repeat("1", 97))),
		notTime([]byte("1520023934918")),
		notTime([]byte("1520023934918963")),
		notTime([]byte("1520023934918963997")),
		notTime([]byte("253402300800")),
		TimeAhead([]byte("9999999999"), time.Hour),
		TimeAhead([]byte("9999999999.5"), 90*time.Second),
		TooManyClients(1_000_000),
		notInteger("RADIUS", []byte("51"), MaxRadiusKM),
		notInteger("BOUND", []byte("21"), MaxBound),
		notInteger("BOUND", odd, MaxBound),
		UnknownClient("Ball", []byte("kiwi")),
		UnknownClient("Ball", odd),
		UnknownClient("Ball", long),
		BucketFailed("Ball", odd),
		PlacesFailed(errors.New("no answer within 5s")),
		PlacesFailed(errors.New("two\nlines\x1b[0m")),
		PlacesFailed(errors.New(strings.Repeat("y", 257))),
		Busy,
		lineTooLong(16384),
		Unfinished(30 * time.Second),
		NotUTF8,
		errServerFull,
		errors.New(goodbye),
	} {
		got.WriteString(err.Error() + "\n")
	}
	const golden = "testdata/reasons.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n(go test ./protocol -update rewrites the file)", got.String(), want)
	}
}

func TestReplies(t *testing.T) {
	r := record(t, paperRecord)
	line, reason := []byte("IAMAT kiwi\t\xff"), wrongFields("IAMAT", 3, 4)
	for _, c := range []struct{ what, paper, cs131 string }{
		{"ack", paperAT + "\n\n", paperAT + "\n"},
		{"unknown", "? IAMAT kiwi\t\xff\n\n", "? IAMAT kiwi\t\xff\n"},
		{"syntax", "> IAMAT FIELDS: 3 instead of 4\n? IAMAT kiwi\t\xff\n\n", "? IAMAT kiwi\t\xff\n"},
		{"refusal", "> WHATSAT BUSY: too many lookups\n\n", "? IAMAT kiwi\t\xff\n"},
		{"whatsat", paperAT + "\n{\n  \"results\": []\n}\n\n", paperAT + "\n{\n  \"results\": []\n}\n\n"},
		{"help", "Available commands:\n" +
			"> IAMAT [client_id] [client_position] [client_time]\n" +
			"> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n", "? IAMAT kiwi\t\xff\n"},
		{"goodbye", "> Goodbye\n\n", "? IAMAT kiwi\t\xff\n"},
		{"too long", "> LINE: longer than 16384 bytes\n\n", "? IAMAT kiwi\t\xff\n"},
		{"full", "> SERVER FULL\n\n", ""},
		{"unfinished", "> LINE: not finished within 30s\n\n", ""},
	} {
		reply := func(d Dialect) string {
			dst := []byte("before|")
			switch c.what {
			case "ack":
				dst = d.AppendAck(dst, r)
			case "unknown":
				dst = d.AppendUnknown(dst, line)
			case "syntax":
				dst = d.AppendSyntaxError(dst, line, reason)
			case "refusal":
				dst = d.AppendRefusal(dst, line, Busy)
			case "whatsat":
				dst, _ = d.AppendWhatsat(dst, []byte(paperAT), func(dst []byte) []byte {
					return append(dst, "{\n  \"results\": []\n}"...)
				})
			case "help":
				dst = d.AppendHelp(dst, line)
			case "goodbye":
				dst = d.AppendGoodbye(dst, line)
			case "too long":
				dst = d.AppendLineTooLong(dst, line, 16384)
			case "unfinished":
				dst = d.AppendFinal(dst, Unfinished(30*time.Second))
			case "full":
				dst = d.AppendFull(dst)
			}
			return string(dst)
		}
		if got := reply(Paper); got != "before|"+c.paper {
			t.Errorf("%s in paper:\n got %q\nwant %q", c.what, got, c.paper)
		}
		if got := reply(CS131); got != "before|"+c.cs131 {
			t.Errorf("%s in cs131:\n got %q\nwant %q", c.what, got, c.cs131)
		}
		// A reply ends at its first empty line.
		if i := strings.Index(c.paper, "\n\n"); i != len(c.paper)-2 {
			t.Errorf("%s in paper: an empty line at byte %d of %d", c.what, i, len(c.paper))
		}
	}
}

func TestDialects(t *testing.T) {
	for _, d := range []Dialect{Paper, CS131} {
		if got, err := ParseDialect(d.String()); err != nil || got != d {
			t.Errorf("%v: %v, %v", d, got, err)
		}
		if d.QuitCloses() != (d == Paper) {
			t.Errorf("%v: quit closes: %v", d, d.QuitCloses())
		}
	}
	if _, err := ParseDialect("Paper"); err == nil {
		t.Error(`"Paper" is accepted as a dialect`)
	}
}
