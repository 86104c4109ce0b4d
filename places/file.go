package places

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// FileSuffixes are how the names of places files end, behind a dot.
var FileSuffixes = []string{"csv", "ndjson", "jsonl"}

// Bounds of a places file, so that a wrong one fills no memory.
const (
	maxFileBytes  = 1 << 30
	maxFilePlaces = 2_000_000
	maxFileText   = 1024 // bytes of a name or a vicinity
	maxFileTypes  = 20   // of one place
	maxFileKinds  = math.MaxUint16
	maxFileLine   = 64 << 10
)

// File is the Provider of the operator's own places, in a file of CSV or of JSON objects, one a
// line. Any goroutine.
type File struct {
	path string
	now  *atomic.Pointer[reading]
}

// reading is what a file held when it was read. Immutable.
type reading struct {
	index *Index
	at    time.Time
}

var _ Provider = File{}

// NewFile reads a file whose name ends in .csv, .ndjson or .jsonl. An error names the file, the line
// and the column of what is wrong, and says what would be right. Positions are kept to 1e-5 degree,
// a metre.
func NewFile(path string) (File, error) {
	f := File{path: path, now: &atomic.Pointer[reading]{}}
	return f, f.Reload()
}

// Nearby implements Provider.
func (f File) Nearby(ctx context.Context, q Query) (Result, error) {
	return f.now.Load().index.Nearby(ctx, q)
}

// Len is the number of places.
func (f File) Len() int { return f.now.Load().index.Len() }

// Reload reads the file again. Questions are answered from the old places until the new ones are
// indexed, and for ever if the file is wrong.
func (f File) Reload() error {
	index, err := readFile(f.path)
	if err != nil {
		return err
	}
	f.now.Store(&reading{index, time.Now()})
	return nil
}

// Report is what the file held when it was last read in good order.
func (f File) Report() FileReport {
	now := f.now.Load()
	return FileReport{Path: f.path, Places: now.index.Len(), Read: now.at}
}

func readFile(path string) (*Index, error) {
	var read func(*bufio.Reader, func(entry, *position) error) error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		read = readCSV
	case ".ndjson", ".jsonl":
		read = readNDJSON
	default:
		return nil, fmt.Errorf("%s: its name ends neither in .csv nor in .ndjson or .jsonl", path)
	}
	// A pipe would keep whoever opens it.
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := builder{kinds: map[string]uint16{}}
	r := bufio.NewReaderSize(file, maxFileLine)
	if mark, _ := r.Peek(3); string(mark) == "\ufeff" {
		_, _ = r.Discard(3) // the byte order mark of Windows' programs
	}
	if err := read(r, b.add); err != nil {
		var at *position
		if errors.As(err, &at) {
			return nil, fmt.Errorf("%s:%d:%d: %s", path, at.line, at.column, at.what)
		}
		return nil, err
	}
	if len(b.entries) == 0 {
		return nil, fmt.Errorf("%s: there are no places in it", path)
	}
	return b.index(), nil
}

// entry is one place of a file.
type entry struct {
	name, vicinity string
	lat, lng       int32 // units of 1e-5 degree
	types          []string
}

// position is a mistake in a file and where it is: line and column, in bytes, from 1.
type position struct {
	line, column int
	what         string
}

func (p *position) Error() string { return p.what }

func (p *position) wrong(format string, a ...any) error {
	return &position{p.line, p.column, fmt.Sprintf(format, a...)}
}

// builder collects the places of a file.
type builder struct {
	entries []Place
	types   []string // by kind, as JSON
	kinds   map[string]uint16
	kind    []uint16
}

// add takes a place of a file; at is where it stands.
func (b *builder) add(e entry, at *position) error {
	types := typesJSON(e.types)
	kind, known := b.kinds[types]
	switch {
	case len(b.entries) == maxFilePlaces:
		return at.wrong("more than %d places", maxFilePlaces)
	case !known && len(b.types) == maxFileKinds:
		return at.wrong("more than %d different lists of types", maxFileKinds)
	case !known:
		kind = uint16(len(b.types))
		b.types, b.kinds[types] = append(b.types, types), kind
	}
	b.entries = append(b.entries, Place{Name: e.name, Vicinity: e.vicinity, Lat: e.lat, Lng: e.lng})
	b.kind = append(b.kind, kind)
	return nil
}

// index puts the places in order: along the curve, and where they are at one point as in the file.
func (b *builder) index() *Index {
	order := make([]uint32, len(b.entries))
	curve := make([]uint32, len(b.entries))
	for i, p := range b.entries {
		order[i], curve[i] = uint32(i), Curve(p.Lat, p.Lng)
	}
	slices.SortFunc(order, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(curve[x], curve[y]), cmp.Compare(x, y))
	})
	t := table{types: b.types, class: make([]uint8, len(b.types))}
	words := map[string]uint32{}
	var names strings.Builder
	for _, i := range order {
		p := b.entries[i]
		word, known := words[p.Vicinity]
		if !known {
			word = uint32(len(t.words))
			t.words, words[p.Vicinity] = append(t.words, p.Vicinity), word
		}
		names.WriteString(p.Name)
		t.nameEnd = append(t.nameEnd, uint32(names.Len()))
		t.word, t.kind = append(t.word, word), append(t.kind, b.kind[i])
		t.lat, t.lng = append(t.lat, p.Lat), append(t.lng, p.Lng)
	}
	t.names = names.String()
	return newIndex(t, ByDistance, "file", "[]")
}

func typesJSON(types []string) string {
	if len(types) == 0 {
		return "[]"
	}
	return "[\n        \"" + strings.Join(types, "\",\n        \"") + "\"\n      ]"
}

// The values that both formats hold, each as it may be.

func checkText(what, text string, at *position) error {
	switch i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }); {
	case !utf8.ValidString(text):
		return at.wrong("%s is not UTF-8", what)
	case i >= 0:
		return at.wrong("%s holds the control character %q", what, text[i])
	case len(text) > maxFileText:
		return at.wrong("%s is longer than %d bytes", what, maxFileText)
	}
	return nil
}

func checkName(name string, at *position) error {
	if strings.TrimSpace(name) == "" {
		return at.wrong("a name is needed")
	}
	return checkText("the name", name, at)
}

// checkType takes words as Google's are: cafe, train_station.
func checkType(word string, at *position) error {
	ok := word != "" && len(word) <= 64
	for _, r := range []byte(word) {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	}
	if !ok {
		return at.wrong("%.64q is no type: small letters, digits and _, as train_station", word)
	}
	return nil
}

// parseDegrees reads a decimal number of at most most degrees north or south, east or west.
func parseDegrees(what, text string, most int, at *position) (int32, error) {
	v, err := parseDecimal(text)
	if err != nil || !(v >= float64(-most) && v <= float64(most)) {
		return 0, at.wrong("%s: %.64q is not a number from -%d to %d", what, text, most, most)
	}
	return int32(math.Round(v / unit)), nil
}
