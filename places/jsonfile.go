package places

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// errLong is for a place longer than maxFileLine.
var errLong = fmt.Sprintf("the place is longer than %d bytes", maxFileLine)

// errEmpty is for too many bytes of consecutive empty lines.
var errEmpty = fmt.Sprintf("more than %d bytes of empty lines", maxFileLine)

const (
	errObjects = "expected JSON objects, one per line or in an array"
	errWrapped = "expected an array of places or one object per line; GeoJSON is not supported"
)

// readJSON reads one JSON object per line, or an array of objects.
func readJSON(in *input, add func(entry, position) error) error {
	for n := 1; ; n++ {
		head, err := in.Peek(n)
		switch {
		case err != nil || skipSpace(head, n-1) < n && head[n-1] != '[' || n == maxFileLine:
			return readLines(in, add)
		case head[n-1] == '[':
			return readArray(in, add)
		}
	}
}

// readLines reads one JSON object per line. Empty lines are skipped.
func readLines(in *input, add func(entry, position) error) error {
	o, empty := objects{columns: in.columns}, 0
	for at := (position{line: 1, column: 1}); ; at.line++ {
		line, err := in.ReadSlice('\n')
		in.begin += int64(len(line))
		switch {
		case err == bufio.ErrBufferFull && !o.known && line[skipSpace(line, 0)%len(line)] == '{':
			return at.wrong("%s; %s", errLong, errWrapped)
		case err == bufio.ErrBufferFull:
			return at.wrong("%s", errLong)
		case err != nil && err != io.EOF:
			return err
		case err == io.EOF && len(line) == 0:
			return o.end()
		case skipSpace(line, 0) == len(line):
			if empty += len(line); empty > maxFileLine {
				return at.wrong("%s", errEmpty)
			}
			continue
		}
		empty = 0
		if !o.known && opens(line) {
			return at.wrong("%s", errWrapped)
		}
		e, err := o.entry(line, at)
		if err != nil {
			return err
		}
		if err := add(e, at); err != nil {
			return err
		}
	}
}

// opens reports whether a line begins an object that continues on the next line.
func opens(line []byte) bool {
	var syntax *json.SyntaxError
	err := json.Unmarshal(line, new(json.RawMessage))
	return line[skipSpace(line, 0)] == '{' && errors.As(err, &syntax) && syntax.Error() == "unexpected end of JSON input"
}

// readArray reads the objects of an array.
func readArray(in *input, add func(entry, position) error) error {
	o, s := objects{columns: in.columns}, scanner{in: in, position: position{line: 1, column: 1}}
	const end = "the array does not end: is the file truncated?"
	if _, err := s.skip(); err != nil {
		return err
	}
	s.take() // the bracket
	for first := true; ; first = false {
		c, err := s.skip()
		switch {
		case err == io.EOF:
			return s.wrong(end)
		case err != nil:
			return err
		case c == ']' && first:
			return s.rest()
		case c != '{':
			return s.wrong(errObjects)
		}
		at := s.position
		in.begin = s.taken
		object, err := s.object()
		switch {
		case err == io.EOF:
			return s.wrong(end)
		case err != nil:
			return err
		}
		e, err := o.entry(object, at)
		if err != nil {
			return err
		}
		if err := add(e, at); err != nil {
			return err
		}
		switch c, err = s.skip(); {
		case err == io.EOF:
			return s.wrong(end)
		case err != nil:
			return err
		case c == ']':
			return cmp.Or(s.rest(), o.end())
		case c != ',':
			return s.wrong("missing comma between two places")
		}
		s.take()
	}
}

// scanner reads the elements of an array.
type scanner struct {
	in       *input
	position       // of the next byte
	taken    int64 // bytes
	text     []byte
}

// skip skips white space and returns the next byte without reading it.
func (s *scanner) skip() (byte, error) {
	at := s.position
	for skipped := 0; ; {
		s.in.begin = s.taken
		if _, err := s.in.Peek(1); err != nil {
			return 0, err
		}
		ahead, _ := s.in.Peek(s.in.Buffered())
		n := skipSpace(ahead, 0)
		if skipped += n; skipped > maxFileLine {
			return 0, at.wrong("more than %d bytes of white space", maxFileLine)
		}
		if end := bytes.LastIndexByte(ahead[:n], '\n'); end >= 0 {
			s.line, s.column = s.line+bytes.Count(ahead[:n], []byte("\n")), n-end
		} else {
			s.column += n
		}
		s.taken += int64(n)
		behind := n < len(ahead)
		var c byte
		if behind {
			c = ahead[n]
		}
		if _, err := s.in.Discard(n); err != nil || behind {
			return c, err
		}
	}
}

// take reads the next byte, which skip or Peek has seen.
func (s *scanner) take() byte {
	c, _ := s.in.ReadByte()
	s.taken++
	s.column++
	if c == '\n' {
		s.line, s.column = s.line+1, 1
	}
	return c
}

// object reads an object up to its closing brace. The result is valid until the next call.
func (s *scanner) object() ([]byte, error) {
	at := s.position
	s.text = s.text[:0]
	quoted, escaped := false, false
	for depth := 0; ; {
		if len(s.text) == maxFileLine {
			return nil, at.wrong("%s", errLong)
		}
		if _, err := s.in.Peek(1); err != nil {
			return nil, err
		}
		c := s.take()
		s.text = append(s.text, c)
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return s.text[:len(s.text):len(s.text)], nil
			}
		}
	}
}

// rest reads the closing bracket and checks that nothing follows.
func (s *scanner) rest() error {
	s.take()
	switch _, err := s.skip(); err {
	case io.EOF:
		return nil
	case nil:
		return s.wrong("unexpected data after the array")
	default:
		return err
	}
}

// objects converts JSON objects to places. It keeps the layout of the last one, because most have the same
// members in the same order.
type objects struct {
	columns map[string]string
	layout  layout
	known   bool               // layout is valid
	seen    [len(columns)]bool // columns that some object had
	lacked  bool               // some object had no name or no position
	names   [][]byte
	values  [][]byte
}

// entry converts the text of an object to an entry; at is the position of the text.
func (o *objects) entry(text []byte, at position) (e entry, err error) {
	whole := cap(text)
	// here is the position of a part of the text.
	here := func(part []byte) position {
		before := text[:whole-cap(part)]
		if n := bytes.Count(before, []byte("\n")); n > 0 {
			return position{line: at.line + n, column: len(before) - bytes.LastIndexByte(before, '\n')}
		}
		return position{line: at.line, column: at.column + len(before)}
	}
	if !json.Valid(text) {
		err := json.Unmarshal(text, new(json.RawMessage)) // for the reason
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = here(text[max(0, int(syntax.Offset)-1):])
		}
		return e, at.wrong("not JSON: %v", err)
	}
	object := text[skipSpace(text, 0):]
	if object[0] != '{' {
		return e, here(object).wrong(errObjects)
	}
	o.names, o.values = o.names[:0], o.values[:0]
	for name, value := range each(object) {
		o.names, o.values = append(o.names, name), append(o.values, value)
	}
	if err := o.lay(here, object); err != nil {
		return e, err
	}
	return o.place(here, object)
}

// lay updates the layout for the names of an object.
func (o *objects) lay(here func([]byte) position, object []byte) error {
	same := o.known && len(o.names) == len(o.layout.names)
	for i := 0; same && i < len(o.names); i++ {
		same = isName(o.names[i], o.layout.names[i])
	}
	if same {
		return nil
	}
	names := make([]string, len(o.names))
	for i, name := range o.names {
		if names[i] = string(name); bytes.IndexByte(name, '\\') >= 0 {
			names[i] = unquote(name)
		}
	}
	l, problems := newLayout(names, o.columns)
	for _, p := range problems {
		if p.at >= 0 { // else a member is missing, which is allowed
			return here(o.names[p.at]).wrong("%s", p.what)
		}
	}
	o.layout, o.known = l, true
	for c := range columns {
		o.seen[c] = o.seen[c] || l.at[c] >= 0
	}
	return nil
}

// isName reports whether a JSON name, with its escapes, equals text.
func isName(name []byte, text string) bool {
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name) == text
	}
	return unquote(name) == text
}

// end is the error for a column that FileOptions.Columns names and no object had.
func (o *objects) end() error {
	for c, column := range columns {
		if given := o.columns[column]; given != "" && o.known && !o.seen[c] {
			return fmt.Errorf("no place has %.64q, which is configured for %s", given, column)
		}
	}
	return nil
}

func (o *objects) place(here func([]byte) position, object []byte) (e entry, err error) {
	for i, column := range columns[:neededColumns] {
		at := here(object)
		if k := o.layout.at[i]; k >= 0 {
			if !empty(o.values[k]) {
				continue
			}
			at = here(o.values[k])
		}
		e.lacks = &position{at.line, at.column, "missing " + column}
		if !o.seen[i] && !o.lacked { // the file may use another name
			if e.wraps = o.wraps(); e.wraps {
				e.lacks.what = errWrapped
			} else {
				e.lacks.what = o.layout.lacks() + "; " + o.layout.advice(o.columns)
			}
		}
		o.lacked = true
		return e, nil
	}
	for i, column := range columns {
		k := o.layout.at[i]
		if k < 0 || string(o.values[k]) == "null" {
			continue
		}
		value := o.values[k]
		at := here(value)
		switch i {
		case columnName, columnVicinity:
			err = e.setText(column, value, at)
		case columnLat, columnLng:
			err = e.setDegrees(column, value, at)
		case columnTypes:
			e.types, err = jsonTypes(value, here)
		}
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

// wraps reports whether an object is GeoJSON or contains an array of places, and is not a place itself.
func (o *objects) wraps() bool {
	if o.layout.at[columnLat] >= 0 || o.layout.at[columnLng] >= 0 {
		return false
	}
	for i, value := range o.values {
		inArray := value[0] == '[' && value[skipSpace(value, 1)] == '{'
		if inArray || value[0] == '{' && isName(o.names[i], "geometry") {
			return true
		}
	}
	return false
}

// empty reports whether a JSON value is null or an empty string.
func empty(value []byte) bool {
	return string(value) == "null" ||
		value[0] == '"' && strings.TrimSpace(unquote(value[1:len(value)-1])) == ""
}

func (e *entry) setText(field string, value []byte, at position) error {
	if value[0] != '"' {
		return at.wrong("%s is not a string", field)
	}
	what := "the " + field
	if !utf8.Valid(value) { // encoding/json would replace it
		return checkText(what, string(value), at)
	}
	text := trim(unquote(value[1 : len(value)-1]))
	if field == columns[columnVicinity] {
		e.vicinity = text
	} else {
		e.name = text
	}
	return checkText(what, text, at)
}

// setDegrees accepts a number, or a string that contains one.
func (e *entry) setDegrees(field string, value []byte, at position) (err error) {
	text := string(value)
	switch {
	case value[0] == '"':
		text = trim(unquote(value[1 : len(value)-1]))
	case strings.IndexByte("-0123456789", value[0]) < 0:
		return at.wrong("%s is not a number", field)
	}
	if field == columns[columnLat] {
		e.lat, err = parseDegrees(field, text, 90, false, at)
		return err
	}
	e.lng, err = parseDegrees(field, text, 180, false, at)
	return err
}

func jsonTypes(value []byte, here func([]byte) position) (types []string, err error) {
	if value[0] != '[' {
		return nil, here(value).wrong("types is not an array of strings")
	}
	for _, element := range each(value) {
		at := here(element)
		switch {
		case element[0] != '"':
			return nil, at.wrong("a type is not a string")
		case len(types) == maxFileTypes:
			return nil, at.wrong("more than %d types", maxFileTypes)
		}
		word := unquote(element[1 : len(element)-1])
		if err := checkType(word, at); err != nil {
			return nil, err
		}
		types = append(types, word)
	}
	return types, nil
}
