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

// FileSuffixes are the supported suffixes of places files, after a dot. .gz may follow.
var FileSuffixes = []string{"csv", "tsv", "txt", "json", "ndjson", "jsonl"}

// FileOptions configure how a places file is read. The zero value is for a file in the documented form.
type FileOptions struct {
	// Columns maps name, lat, lng, types and vicinity to the file's names, where these are not known names.
	Columns map[string]string
	// Lenient skips and counts places without a name or a position.
	Lenient bool
}

// Limits of a places file, so that a wrong file does not exhaust memory.
const (
	maxFileBytes  = 256 << 20
	maxFilePlaces = 2_000_000
	maxFileText   = 1024 // bytes of a name or a vicinity
	maxFileTypes  = 20   // of one place
	maxFileKinds  = math.MaxUint16
	maxFileLine   = 64 << 10 // bytes of one place
)

// File is the Provider for places in a CSV or JSON file. Any goroutine may call Nearby; one at a time may
// call Reload.
type File struct {
	path    string
	options FileOptions
	current atomic.Pointer[contents]
	failed  atomic.Pointer[failure] // nil unless the latest reload failed
}

// contents are the places of a file when it was read. Immutable.
type contents struct {
	index   *Index
	skipped int // places, see FileOptions.Lenient
	at      time.Time
}

// failure is why a reload failed. Immutable.
type failure struct {
	text string
	at   time.Time
}

var _ Provider = (*File)(nil)

// NewFile reads a file whose name ends in one of FileSuffixes. Its error has the file, line and column (in
// bytes, from 1) of the first mistake, and what was expected. All mistakes of a header are one error.
// Positions are rounded to 1e-5 degree, about a meter.
func NewFile(path string, o FileOptions) (*File, error) {
	f := &File{path: path, options: o}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Nearby implements Provider.
func (f *File) Nearby(ctx context.Context, q Query) (Result, error) {
	return f.current.Load().index.Nearby(ctx, q)
}

// Len is the number of places.
func (f *File) Len() int { return f.current.Load().index.Len() }

// Reload reads the file again. Queries use the old places until the new ones are indexed, or after that if
// the file is invalid. During the reload both are in memory.
func (f *File) Reload() error {
	c, err := readFile(f.path, f.options)
	if err != nil {
		f.failed.Store(&failure{err.Error(), time.Now()})
		return err
	}
	f.current.Store(c)
	f.failed.Store(nil)
	return nil
}

// Report returns the state of the last successful read, and of a failed reload since.
func (f *File) Report() FileReport {
	c := f.current.Load()
	r := FileReport{Path: f.path, Places: c.index.Len(), Skipped: c.skipped, Read: c.at}
	if failed := f.failed.Load(); failed != nil {
		r.Refused, r.Error = &failed.at, failed.text
	}
	return r
}

func readFile(path string, o FileOptions) (*contents, error) {
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
	c, err := indexOf(file, read, o)
	var at *position
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("%s:%d:%d: %s", path, at.line, at.column, at.what)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.at = time.Now()
	return c, nil
}

// reader reads the places of a file and calls add for each with its position. Its error, and that of add,
// may be a *position.
type reader func(in *input, add func(entry, position) error) error

// format returns the reader for a file name.
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
		return nil, fmt.Errorf("%s: spreadsheets are not supported: save it as CSV UTF-8", path)
	}
	return nil, fmt.Errorf("%s: unsupported file name: expected .%s, optionally followed by .gz", path,
		strings.Join(FileSuffixes, ", ."))
}

func indexOf(file io.Reader, read reader, o FileOptions) (*contents, error) {
	in, err := newInput(file, o.Columns)
	if err != nil {
		return nil, err
	}
	b, skipped := newBuilder(), 0
	var first *position // of a skipped place
	err = read(in, func(e entry, at position) error {
		if e.lacks == nil {
			return b.add(e, at)
		}
		if !o.Lenient && e.wraps {
			return e.lacks
		}
		if !o.Lenient {
			return e.lacks.wrong("%s; to skip such places set lenient = true or --lenient", e.lacks.what)
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
		return nil, errors.New("the file has no places")
	}
	return &contents{index: b.index(), skipped: skipped}, nil
}

// entry is a place read from a file.
type entry struct {
	name, vicinity string
	lat, lng       int32 // units of 1e-5 degree
	types          []string
	// lacks is set if name, lat or lng has no value: which one, and where it is expected. The rest of such
	// an entry is not read.
	lacks *position
	wraps bool // with lacks: the object contains places and is not a place itself
}

// position is a line and a column in a file, in bytes from 1, and as an error what is wrong there.
type position struct {
	line, column int
	what         string
}

func (p *position) Error() string { return p.what }

func (p position) wrong(format string, a ...any) error {
	return &position{p.line, p.column, fmt.Sprintf(format, a...)}
}

// builder collects the places of a file, in the order of the file.
type builder struct {
	table
	name   []byte            // becomes table.names
	wordOf map[string]uint32 // index in table.words by vicinity
	kindOf map[string]uint16 // index in table.types
}

func newBuilder() *builder {
	return &builder{wordOf: map[string]uint32{}, kindOf: map[string]uint16{}}
}

// add adds a place; at is its position in the file.
//
// #nosec G115 -- maxFilePlaces and maxFileKinds limit them, and maxFileBytes limits the bytes of names
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
		vicinity := strings.Clone(e.vicinity) // do not keep the whole line in memory
		b.words, b.wordOf[vicinity] = append(b.words, vicinity), word
	}
	b.name = append(b.name, e.name...)
	b.nameEnd = append(b.nameEnd, uint32(len(b.name)))
	b.word, b.kind = append(b.word, word), append(b.kind, kind)
	b.lat, b.lng = append(b.lat, e.lat), append(b.lng, e.lng)
	return nil
}

// index sorts the places by Curve, and those at one point in the order of the file.
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
		// #nosec G115 -- builder.add has limited it
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

// trim removes surrounding white space.
func trim(text string) string { return strings.Trim(text, " \t\r\n\u00a0") }

func checkText(what, text string, at position) error {
	if !utf8.ValidString(text) {
		return at.wrong("%s is not UTF-8: save the file as UTF-8 (spreadsheets: CSV UTF-8)", what)
	}
	if len(text) > maxFileText {
		return at.wrong("%s is longer than %d bytes", what, maxFileText)
	}
	for _, r := range text {
		switch {
		case unicode.IsControl(r):
			return at.wrong("%s contains the control character %q", what, r)
		case r == utf8.RuneError:
			return at.wrong("%s contains U+FFFD, the replacement for a lost character", what)
		}
	}
	return nil
}

// checkType accepts words such as Google's types: cafe, train_station.
func checkType(word string, at position) error {
	ok := word != "" && len(word) <= 64
	for _, r := range []byte(word) {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	}
	if !ok {
		return at.wrong("invalid type %.64q: expected lower-case letters, digits and _, such as train_station", word)
	}
	return nil
}

// parseDegrees parses a latitude or longitude from -most to most. Comma allows a decimal comma, in files
// whose separator is not a comma.
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
		return 0, at.wrong("%s: %.64q has a decimal comma, which is allowed only if the separator is "+
			"; or tab: write %s", what, text, number)
	}
	return int32(math.Round(v / unit)), nil
}
