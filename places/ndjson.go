package places

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// errLong is a place of too many bytes.
var errLong = fmt.Sprintf("the place is longer than %d bytes", maxFileLine)

// readNDJSON reads a JSON object from each line. Empty lines are passed over.
func readNDJSON(in *input, add func(entry, position) error) error {
	for at := (position{line: 1, column: 1}); ; at.line++ {
		line, err := in.ReadSlice('\n')
		in.begin += int64(len(line))
		switch {
		case err == bufio.ErrBufferFull:
			return at.wrong("%s", errLong)
		case err != nil && err != io.EOF:
			return err
		case err == io.EOF && len(line) == 0:
			return nil
		case skipSpace(line, 0) == len(line):
			continue
		}
		e, err := jsonEntry(line, at)
		if err != nil {
			return err
		}
		if err := add(e, at); err != nil {
			return err
		}
	}
}

// jsonEntry is a place; at is the beginning of its line.
func jsonEntry(line []byte, at position) (e entry, err error) {
	whole := cap(line)
	// here is where a part of the line begins.
	here := func(part []byte) position {
		return position{line: at.line, column: 1 + whole - cap(part)}
	}
	if !json.Valid(line) {
		err := json.Unmarshal(line, new(json.RawMessage)) // which says why
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at.column = max(1, int(syntax.Offset))
		}
		return e, at.wrong("not JSON: %v", err)
	}
	object := line[skipSpace(line, 0):]
	if object[0] != '{' {
		return e, here(object).wrong("one JSON object is wanted on each line")
	}
	seen := [len(columns)]bool{}
	for name, value := range each(object) {
		field := string(name)
		at := here(name)
		i := slices.Index(columns[:], field)
		switch {
		case i >= 0 && seen[i]:
			return e, at.wrong("%q stands there twice", field)
		case field == "name" || field == "vicinity":
			err = e.setText(field, value, here(value))
		case field == "lat" || field == "lng":
			err = e.setDegrees(field, value, here(value))
		case field == "types":
			e.types, err = jsonTypes(value, here(value))
		default:
			err = at.wrong("%.64q is no field; there are %s", field, strings.Join(columns[:], ", "))
		}
		if err != nil {
			return e, err
		}
		seen[i] = true
	}
	for i, field := range columns[:neededColumns] {
		if !seen[i] {
			return e, here(object).wrong("%s is missing", field)
		}
	}
	return e, nil
}

func (e *entry) setText(field string, value []byte, at position) error {
	if value[0] != '"' {
		return at.wrong("%s is not a string", field)
	}
	if !utf8.Valid(value) { // encoding/json would put a replacement for it
		return at.wrong("the %s is not UTF-8", field)
	}
	text := unquote(value[1 : len(value)-1])
	if field == "vicinity" {
		e.vicinity = text
		return checkText("the vicinity", text, at)
	}
	e.name = text
	return checkName(text, at)
}

func (e *entry) setDegrees(field string, value []byte, at position) (err error) {
	if strings.IndexByte("-0123456789", value[0]) < 0 {
		return at.wrong("%s is not a number", field)
	}
	if field == "lat" {
		e.lat, err = parseDegrees(field, string(value), 90, at)
		return err
	}
	e.lng, err = parseDegrees(field, string(value), 180, at)
	return err
}

func jsonTypes(value []byte, at position) (types []string, err error) {
	if value[0] != '[' {
		return nil, at.wrong("types is not an array of strings")
	}
	for _, element := range each(value) {
		at := position{line: at.line, column: at.column + cap(value) - cap(element)}
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
