// Package herdtest contains helpers shared by tests of the herd. Record makes records. Play plays golden transcripts:
// conversations of one client with the server Alford, in testdata/transcripts, one directory for each dialect. The same
// files are played against a server in virtual time and against real processes. Those in tokens are for a server with
// the tokens there, those in open for one without, and those in limits for limits that a test sets, in virtual time only.
//
// A line of a transcript is
//
//	# a comment
//	> a line to send; LF is added
//	>"bytes to send, quoted as in Go\n"
//	>EOF                 the client closes its side
//	< a line of the reply, "<" alone an empty one
//	<EOF                 the server closes the connection
//
// In both, <1025*a> means 1,025 times the letter a, and a line of a reply may be quoted, as in <"\xff". In a reply, <diff>
// means a clock difference, which is checked against the time in the same line, <stored> the difference that the same
// line had before, <json> a Nearby Search object, and <same> the object last matched by <json>.
package herdtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is a client's connection to the server that a transcript is played against.
type Conn interface {
	Send(p []byte)
	CloseWrite()
	// Await returns what was received since the last Await as soon as done returns true for it, the server has
	// closed, or a timeout has expired.
	Await(done func(received []byte) bool) []byte
	// Closed reports whether the server has closed the connection cleanly.
	Closed() bool
	// Now returns the time on the server's clock.
	Now() time.Time
}

// step is something to send and the expected reply.
type step struct {
	line   int // in the file
	send   []byte
	finish bool     // send an end of file
	want   []string // lines
	closed bool
}

// Play plays each transcript of a dialect, each on its own connection.
func Play(t *testing.T, root, dialect string, dial func(t *testing.T) Conn) {
	files, err := filepath.Glob(filepath.Join(root, dialect, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in %s/%s: %v", root, dialect, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			play(t, file, dial(t))
		})
	}
}

func play(t *testing.T, file string, c Conn) {
	var lastJSON string
	acks := map[string]string{} // lines with <diff>: what was received for them
	for _, s := range read(t, file) {
		before := c.Now()
		c.Send(s.send)
		if s.finish {
			c.CloseWrite()
		}
		want := pattern(s.want, lastJSON, acks)
		got := c.Await(func(p []byte) bool { return !s.closed && want.MatchString(runes(p)) })
		match := want.FindStringSubmatch(runes(got))
		if match == nil {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s", file, s.line, got, strings.Join(s.want, "\n"))
		}
		if s.closed != c.Closed() {
			t.Fatalf("%s:%d: closed is %v, want %v", file, s.line, c.Closed(), s.closed)
		}
		templates := s.acks()
		for i, name := range want.SubexpNames() {
			switch name {
			case "ack":
				acks[templates[0]], templates = bytesOf(match[i]), templates[1:]
			case "diff":
				checkDiff(t, fmt.Sprintf("%s:%d", file, s.line), match[i], match[i+1], before, c.Now())
			case "json":
				lastJSON = bytesOf(match[i])
				checkPlaces(t, fmt.Sprintf("%s:%d", file, s.line), []byte(lastJSON))
			}
		}
	}
	if !c.Closed() {
		c.CloseWrite()
		if rest := c.Await(func([]byte) bool { return false }); len(rest) > 0 {
			t.Errorf("%s: unexpected: %q", file, rest)
		}
	}
}

// pattern returns the expression that the whole reply has to match.
func pattern(lines []string, same string, acks map[string]string) *regexp.Regexp {
	text := ""
	for _, l := range lines {
		if ack := strings.ReplaceAll(l, "<stored>", "<diff>"); ack != l {
			l = acks[ack]
		}
		text += l + "\n"
	}
	p := regexp.QuoteMeta(runes([]byte(text)))
	p = strings.ReplaceAll(p, "<same>", regexp.QuoteMeta(runes([]byte(same))))
	p = strings.ReplaceAll(p, "<json>", `(?P<json>\{\n(?s:.*?)\n\})`)
	// The time is the last field of a line with a difference.
	ack := regexp.MustCompile(`([^\n]*)<diff>([^\n]*) ([^ \n]+)\n`)
	p = ack.ReplaceAllString(p, `(?P<ack>$1(?P<diff>[+-]\d+\.\d{9})$2 (?P<time>$3))`+"\n")
	return regexp.MustCompile(`\A` + p + `\z`)
}

// acks returns the expected lines with <diff>.
func (s *step) acks() (lines []string) {
	for _, l := range s.want {
		if strings.Contains(l, "<diff>") {
			lines = append(lines, l)
		}
	}
	return lines
}

// runes converts each byte to a rune, because expressions match runes and client ids may contain any bytes.
func runes(p []byte) string {
	r := make([]rune, len(p))
	for i, b := range p {
		r[i] = rune(b)
	}
	return string(r)
}

// bytesOf is the inverse of runes.
func bytesOf(s string) string {
	var p []byte
	for _, r := range s {
		p = append(p, byte(r))
	}
	return string(p)
}

// checkDiff checks that time + diff is between two readings of the server's clock.
func checkDiff(t *testing.T, where string, diff, stamp string, before, after time.Time) {
	t.Helper()
	sum, ok1 := new(big.Rat).SetString(diff)
	at, ok2 := new(big.Rat).SetString(cutToNine(stamp))
	if !ok1 || !ok2 {
		t.Fatalf("%s: %s and %s are not decimals", where, diff, stamp)
	}
	sum.Add(sum, at)
	if sum.Cmp(seconds(before)) < 0 || sum.Cmp(seconds(after)) > 0 {
		t.Errorf("%s: %s + %s is not between %v and %v", where, stamp, diff, before, after)
	}
}

func cutToNine(stamp string) string {
	if i := strings.IndexByte(stamp, '.'); i >= 0 {
		return stamp[:min(i+10, len(stamp))]
	}
	return stamp
}

func seconds(t time.Time) *big.Rat {
	s := new(big.Rat).SetInt64(t.Unix())
	return s.Add(s, big.NewRat(int64(t.Nanosecond()), 1e9))
}

// checkPlaces checks that a reply's JSON is a Nearby Search object.
func checkPlaces(t *testing.T, where string, text []byte) {
	t.Helper()
	var object struct {
		Results []json.RawMessage `json:"results"`
		Status  string            `json:"status"`
	}
	if err := json.Unmarshal(text, &object); err != nil || object.Results == nil || object.Status == "" {
		t.Errorf("%s: no Nearby Search object: %v\n%s", where, err, text)
	}
	if bytes.Contains(text, []byte("\n\n")) {
		t.Errorf("%s: an empty line inside the JSON", where)
	}
}

// read parses a transcript.
func read(t *testing.T, file string) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		last := len(steps) - 1
		if l[0] == '>' && (last < 0 || len(steps[last].want) > 0 || steps[last].closed) {
			steps = append(steps, step{line: i + 1})
			last++
		}
		if err := steps[last].add(l); err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
	}
	return steps
}

// repeated matches, for example, <1025*a>.
var repeated = regexp.MustCompile(`<(\d+)\*(.)>`)

func (s *step) add(l string) error {
	l = repeated.ReplaceAllStringFunc(l, func(r string) string {
		m := repeated.FindStringSubmatch(r)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
	switch {
	case l == ">EOF":
		s.finish = true
	case l == "<EOF":
		s.closed = true
	case l == "<":
		s.want = append(s.want, "")
	case strings.HasPrefix(l, "< "):
		s.want = append(s.want, l[2:])
	case strings.HasPrefix(l, "> "):
		s.send = append(append(s.send, l[2:]...), '\n')
	case strings.HasPrefix(l, `>"`):
		p, err := strconv.Unquote(l[1:])
		s.send = append(s.send, p...)
		return err
	case strings.HasPrefix(l, `<"`):
		p, err := strconv.Unquote(l[1:])
		s.want = append(s.want, p)
		return err
	default:
		return fmt.Errorf("invalid line %q", l)
	}
	return nil
}
