package places

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// readNDJSON reads a JSON object from each line.
func readNDJSON(r *bufio.Reader, add func(entry, *position) error) error {
	for at := (&position{line: 1, column: 1}); ; at.line++ {
		line, err := r.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			return at.wrong("the line is longer than %d bytes", maxFileLine)
		case err != nil && err != io.EOF:
			return err
		case err == io.EOF && len(line) == 0:
			return nil
		}
		e, err := jsonEntry(line, *at)
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
	here := func(part []byte) *position {
		return &position{line: at.line, column: 1 + whole - cap(part)}
	}
	if err := json.Unmarshal(line, new(json.RawMessage)); err != nil {
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
	seen := map[string]bool{}
	for name, value := range each(object) {
		field := string(name)
		at := here(name)
		switch {
		case seen[field]:
			return e, at.wrong("%q stands there twice", field)
		case field == "name" || field == "vicinity":
			err = e.setText(field, value, here(value))
		case field == "lat" || field == "lng":
			err = e.setDegrees(field, value, here(value))
		case field == "types":
			e.types, err = jsonTypes(value, here(value))
		default:
			err = at.wrong("%.64q is no field; there are %s", field, strings.Join(columns, ", "))
		}
		if err != nil {
			return e, err
		}
		seen[field] = true
	}
	for _, field := range columns[:neededColumns] {
		if !seen[field] {
			return e, here(object).wrong("%s is missing", field)
		}
	}
	return e, nil
}

func (e *entry) setText(field string, value []byte, at *position) error {
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

func (e *entry) setDegrees(field string, value []byte, at *position) (err error) {
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

func jsonTypes(value []byte, at *position) (types []string, err error) {
	if value[0] != '[' {
		return nil, at.wrong("types is not an array of strings")
	}
	for _, element := range each(value) {
		at := &position{line: at.line, column: at.column + cap(value) - cap(element)}
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
