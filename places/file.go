package places

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// FileSuffixes are how the names of places files end, behind a dot. A further .gz may follow.
var FileSuffixes = []string{"csv", "tsv", "txt", "json", "ndjson", "jsonl"}

// FileOptions say how a places file is read. The zero value is for a file in the form that the
// package documents.
type FileOptions struct {
	// Columns says what name, lat, lng, types and vicinity are called in the file, where it is not
	// one of the known names.
	Columns map[string]string
	// Lenient passes over places without a name or a position. They are counted.
	Lenient bool
}

// Bounds of a places file, so that a wrong one fills no memory.
const (
	maxFileBytes  = 256 << 20
	maxFilePlaces = 2_000_000
	maxFileText   = 1024 // bytes of a name or a vicinity
	maxFileTypes  = 20   // of one place
	maxFileKinds  = math.MaxUint16
	maxFileLine   = 64 << 10 // bytes of one place
)

// File is the Provider of the operator's own places, in a file of CSV or JSON. Any goroutine may
// ask; one at a time may reload.
type File struct {
	path    string
	options FileOptions
	now     atomic.Pointer[reading]
	failed  atomic.Pointer[refusal] // nil unless the latest reading was refused
}

// reading is what a file held when it was read. Immutable.
type reading struct {
	index   *Index
	skipped int // places that were passed over
	at      time.Time
}

// refusal is a file that was not taken. Immutable.
type refusal struct {
	why string
	at  time.Time
}

var _ Provider = (*File)(nil)

// NewFile reads a file whose name ends in one of FileSuffixes. An error names the file, the line
// and the column, in bytes from 1, of the first thing that is wrong, and says what would be right.
// All mistakes of a header are one error. Positions are kept to 1e-5 degree, a metre.
func NewFile(path string, o FileOptions) (*File, error) {
	f := &File{path: path, options: o}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Nearby implements Provider.
func (f *File) Nearby(ctx context.Context, q Query) (Result, error) {
	return f.now.Load().index.Nearby(ctx, q)
}

// Len is the number of places.
func (f *File) Len() int { return f.now.Load().index.Len() }

// Reload reads the file again. Questions are answered from the old places until the new ones are
// indexed, and for ever if the file is wrong. Meanwhile there is memory for both.
func (f *File) Reload() error {
	now, err := readFile(f.path, f.options)
	if err != nil {
		f.failed.Store(&refusal{err.Error(), time.Now()})
		return err
	}
	f.now.Store(now)
	f.failed.Store(nil)
	return nil
}

// Report is what the file held when it was last read in good order.
func (f *File) Report() FileReport {
	now := f.now.Load()
	r := FileReport{Path: f.path, Places: now.index.Len(), Skipped: now.skipped, Read: now.at}
	if failed := f.failed.Load(); failed != nil {
		r.Refused, r.Error = &failed.at, failed.why
	}
	return r
}

func readFile(path string, o FileOptions) (*reading, error) {
	read, err := format(path)
	if err != nil {
		return nil, err
	}
	if err := CheckColumns(o.Columns); err != nil {
		return nil, err
	}
	file, info, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	now, err := indexOf(file, read, o)
	var at *position
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("%s:%d:%d: %s", path, at.line, at.column, at.what)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	now.at = time.Now()
	return now, nil
}

// reader reads the places of a file and gives each away with its position. Its error, and that of
// add, may be a *position.
type reader func(in *input, add func(entry, position) error) error

// format is how a file of that name is read.
func format(path string) (reader, error) {
	name := strings.TrimSuffix(strings.ToLower(path), ".gz")
	switch filepath.Ext(name) {
	case ".csv", ".tsv", ".txt":
		return readCSV, nil
	case ".json", ".ndjson", ".jsonl":
		return readJSON, nil
	case ".geojson":
		return nil, fmt.Errorf("%s: %s", path, errWrapped)
	case ".xlsx", ".xls", ".ods":
		return nil, fmt.Errorf("%s: this is a spreadsheet: save it as CSV UTF-8", path)
	}
	return nil, fmt.Errorf("%s: its name ends in none of .%s, with or without .gz behind it", path,
		strings.Join(FileSuffixes, ", ."))
}

func indexOf(file io.Reader, read reader, o FileOptions) (*reading, error) {
	in, err := newInput(file, o.Columns)
	if err != nil {
		return nil, err
	}
	b, skipped := newBuilder(), 0
	var first *position // of those that are skipped
	err = read(in, func(e entry, at position) error {
		if e.lacks == nil {
			return b.add(e, at)
		}
		if !o.Lenient && e.wraps {
			return e.lacks
		}
		if !o.Lenient {
			return e.lacks.wrong("%s; lenient = true, or --lenient, passes over such places", e.lacks.what)
		}
		if skipped++; skipped == 1 {
			first = e.lacks
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case b.len() == 0 && skipped > 0:
		return nil, first.wrong("%s; no place has a name and a position", first.what)
	case b.len() == 0:
		return nil, errors.New("there are no places in it")
	}
	return &reading{index: b.index(), skipped: skipped}, nil
}

// entry is one place of a file.
type entry struct {
	name, vicinity string
	lat, lng       int32 // units of 1e-5 degree
	types          []string
	// lacks says which of name, lat and lng has no value, and where it would be. The rest of such an
	// entry is not read.
	lacks *position
	wraps bool // such an entry is around places, and not one itself
}

// position is a mistake in a file and where it is: line and column, in bytes, from 1.
type position struct {
	line, column int
	what         string
}

func (p *position) Error() string { return p.what }

func (p position) wrong(format string, a ...any) error {
	return &position{p.line, p.column, fmt.Sprintf(format, a...)}
}

// builder collects the places of a file, in its order.
type builder struct {
	table
	name   []byte            // becomes table.names
	wordOf map[string]uint32 // its number in table.words
	kindOf map[string]uint16 // by types, as table.types has them
}

func newBuilder() *builder {
	return &builder{wordOf: map[string]uint32{}, kindOf: map[string]uint16{}}
}

// add takes a place of a file; at is where it stands.
func (b *builder) add(e entry, at position) error {
	types := typesJSON(e.types)
	kind, known := b.kindOf[types]
	switch {
	case b.len() == maxFilePlaces:
		return at.wrong("more than %d places", maxFilePlaces)
	case !known && len(b.types) == maxFileKinds:
		return at.wrong("more than %d different lists of types", maxFileKinds)
	case !known:
		kind = uint16(len(b.types))
		b.types, b.kindOf[types] = append(b.types, types), kind
	}
	word, known := b.wordOf[e.vicinity]
	if !known {
		word = uint32(len(b.words))
		vicinity := strings.Clone(e.vicinity) // and not the line that it is part of
		b.words, b.wordOf[vicinity] = append(b.words, vicinity), word
	}
	b.name = append(b.name, e.name...)
	b.nameEnd = append(b.nameEnd, uint32(len(b.name)))
	b.word, b.kind = append(b.word, word), append(b.kind, kind)
	b.lat, b.lng = append(b.lat, e.lat), append(b.lng, e.lng)
	return nil
}

// index puts the places in order: along the curve, and where they are at one point as in the file.
func (b *builder) index() *Index {
	order := make([]uint32, b.len())
	curve := make([]uint32, b.len())
	for i := range order {
		order[i], curve[i] = uint32(i), Curve(b.lat[i], b.lng[i])
	}
	slices.SortFunc(order, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(curve[x], curve[y]), cmp.Compare(x, y))
	})
	b.names = string(b.name)
	t := table{words: b.words, types: b.types, class: make([]uint8, len(b.types))}
	t.grow(b.len(), 0)
	var names strings.Builder
	names.Grow(len(b.names))
	for _, i := range order {
		names.WriteString(b.place(i).Name)
		t.nameEnd = append(t.nameEnd, uint32(names.Len()))
		t.word, t.kind = append(t.word, b.word[i]), append(t.kind, b.kind[i])
		t.lat, t.lng = append(t.lat, b.lat[i]), append(t.lng, b.lng[i])
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

// trim is a text without the white space around it.
func trim(text string) string { return strings.Trim(text, " \t\r\n\u00a0") }

func checkText(what, text string, at position) error {
	if !utf8.ValidString(text) {
		return at.wrong("%s is not UTF-8: save the file as UTF-8 (in a spreadsheet: CSV UTF-8)", what)
	}
	if len(text) > maxFileText {
		return at.wrong("%s is longer than %d bytes", what, maxFileText)
	}
	for _, r := range text {
		switch {
		case unicode.IsControl(r):
			return at.wrong("%s holds the control character %q", what, r)
		case r == utf8.RuneError:
			return at.wrong("%s holds U+FFFD, which stands for a character that was lost", what)
		}
	}
	return nil
}

// checkType takes words as Google's are: cafe, train_station.
func checkType(word string, at position) error {
	ok := word != "" && len(word) <= 64
	for _, r := range []byte(word) {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	}
	if !ok {
		return at.wrong("%.64q is no type: small letters, digits and _, as train_station", word)
	}
	return nil
}

// parseDegrees reads a decimal number of at most most degrees north or south, east or west. Comma
// says whether it may have a decimal comma: in a file whose columns are separated otherwise.
func parseDegrees(what, text string, most int, comma bool, at position) (int32, error) {
	number := text
	if strings.Count(text, ",") == 1 && !strings.Contains(text, ".") {
		number = strings.Replace(text, ",", ".", 1)
	}
	v, err := parseDecimal(number)
	switch {
	case err != nil || !(v >= float64(-most) && v <= float64(most)):
		return 0, at.wrong("%s: %.64q is not a number from -%d to %d", what, text, most, most)
	case number != text && !comma:
		return 0, at.wrong("%s: %.64q has a decimal comma, which is taken where the columns are "+
			"separated by ; or tab: write %s", what, text, number)
	}
	return int32(math.Round(v / unit)), nil
}
