package places

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"serverherd/protocol/bom"
)

// FileSuffixes are how the names of places files end, behind a dot.
var FileSuffixes = []string{"csv", "ndjson", "jsonl"}

// Bounds of a places file, so that a wrong one fills no memory.
const (
	maxFileBytes  = 256 << 20
	maxFilePlaces = 2_000_000
	maxFileText   = 1024 // bytes of a name or a vicinity
	maxFileTypes  = 20   // of one place
	maxFileKinds  = math.MaxUint16
	maxFileLine   = 64 << 10 // bytes of one place
)

// File is the Provider of the operator's own places, in a file of CSV or of JSON objects, one a
// line. Any goroutine may ask; one at a time may reload.
type File struct {
	path   string
	now    atomic.Pointer[reading]
	failed atomic.Pointer[refusal] // nil unless the latest reading was refused
}

// reading is what a file held when it was read. Immutable.
type reading struct {
	index *Index
	at    time.Time
}

// refusal is a file that was not taken. Immutable.
type refusal struct {
	why string
	at  time.Time
}

var _ Provider = (*File)(nil)

// NewFile reads a file whose name ends in one of FileSuffixes. An error names the file, the line
// and the column, in bytes from 1, of the first thing that is wrong, and says what would be right.
// Positions are kept to 1e-5 degree, a metre.
func NewFile(path string) (*File, error) {
	f := &File{path: path}
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
	index, err := readFile(f.path)
	if err != nil {
		f.failed.Store(&refusal{err.Error(), time.Now()})
		return err
	}
	f.now.Store(&reading{index, time.Now()})
	f.failed.Store(nil)
	return nil
}

// Report is what the file held when it was last read in good order.
func (f *File) Report() FileReport {
	now := f.now.Load()
	r := FileReport{Path: f.path, Places: now.index.Len(), Read: now.at}
	if failed := f.failed.Load(); failed != nil {
		r.Refused, r.Error = &failed.at, failed.why
	}
	return r
}

func readFile(path string) (*Index, error) {
	read, err := format(path)
	if err != nil {
		return nil, err
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
	index, err := indexOf(file, read)
	var at *position
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("%s:%d:%d: %s", path, at.line, at.column, at.what)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return index, nil
}

// reader reads the places of a file and gives each away with its position. Its error, and that of
// add, may be a *position.
type reader func(in *input, add func(entry, position) error) error

// format is how a file of that name is read.
func format(path string) (reader, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return readCSV, nil
	case ".ndjson", ".jsonl":
		return readNDJSON, nil
	}
	return nil, fmt.Errorf("%s: its name ends neither in .csv nor in .ndjson or .jsonl", path)
}

func indexOf(file io.Reader, read reader) (*Index, error) {
	in, err := newInput(file)
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	if err := read(in, b.add); err != nil {
		return nil, err
	}
	if b.len() == 0 {
		return nil, errors.New("there are no places in it")
	}
	return b.index(), nil
}

// input is a file that is being read, within its bounds.
type input struct {
	*bufio.Reader
	file  io.Reader
	read  int64 // bytes taken from file
	begin int64 // those in front of the place that is being read
}

// newInput begins to read a file, behind a byte order mark.
func newInput(file io.Reader) (*input, error) {
	in := &input{file: file}
	in.Reader = bufio.NewReaderSize(meter{in}, maxFileLine)
	return in, bom.Skip(in.Reader)
}

// cut says whether the file ended for its reader because a place took too many bytes: more than may
// be a place, behind what was read ahead.
func (in *input) cut() bool { return in.read-in.begin > 2*maxFileLine }

// meter is the way from the file to its reader.
type meter struct{ *input }

func (m meter) Read(p []byte) (int, error) {
	switch {
	case m.read > maxFileBytes:
		return 0, fmt.Errorf("it is larger than %d bytes", maxFileBytes)
	case m.cut():
		return 0, io.EOF
	}
	n, err := m.file.Read(p)
	m.read += int64(n)
	return n, err
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

func checkText(what, text string, at position) error {
	if !utf8.ValidString(text) {
		return at.wrong("%s is not UTF-8", what)
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

func checkName(name string, at position) error {
	if strings.TrimSpace(name) == "" {
		return at.wrong("a name is needed")
	}
	return checkText("the name", name, at)
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

// parseDegrees reads a decimal number of at most most degrees north or south, east or west.
func parseDegrees(what, text string, most int, at position) (int32, error) {
	v, err := parseDecimal(text)
	if err != nil || !(v >= float64(-most) && v <= float64(most)) {
		return 0, at.wrong("%s: %.64q is not a number from -%d to %d", what, text, most, most)
	}
	return int32(math.Round(v / unit)), nil
}
