package places

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// columns are those that a CSV file may have, the first three of which it must have.
var columns = [...]string{"name", "lat", "lng", "types", "vicinity"}

const neededColumns = 3

// typeSeparator stands between the types of one place.
const typeSeparator = "|"

// readCSV reads a file as RFC 4180 has it, whose first line names its columns in any order. Empty
// lines are passed over.
func readCSV(in *input, add func(entry, position) error) error {
	c := csv.NewReader(in.Reader)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1 // an error of ours says more
	header, err := readRecord(in, c)
	switch {
	case err == io.EOF:
		return &position{1, 1, "the first line names the columns: " + strings.Join(columns[:], ",")}
	case err != nil:
		return err
	}
	header = slices.Clone(header)
	if err := checkHeader(c, header); err != nil {
		return err
	}
	for {
		record, err := readRecord(in, c)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		line, _ := c.FieldPos(0)
		if len(record) != len(header) {
			return position{line: line, column: 1}.wrong(
				"%d fields, and the first line names %d columns", len(record), len(header))
		}
		e, err := csvEntry(c, header, record)
		if err != nil {
			return err
		}
		if err := add(e, position{line: line, column: 1}); err != nil {
			return err
		}
	}
}

// readRecord reads the fields of a line, or of several: a quote holds line ends, too.
func readRecord(in *input, c *csv.Reader) ([]string, error) {
	in.begin = c.InputOffset()
	record, err := c.Read()
	var p *csv.ParseError
	parsed := errors.As(err, &p)
	switch {
	case in.cut() && parsed:
		return nil, &position{p.StartLine, 1, errLong + "; is a quote missing?"}
	case in.cut() && err == nil:
		line, _ := c.FieldPos(0)
		return nil, &position{line, 1, errLong}
	case in.cut():
		return nil, fmt.Errorf("more than %d bytes of empty lines", maxFileLine)
	case parsed && p.StartLine < p.Line:
		return nil, position{line: p.Line, column: p.Column}.wrong(
			"%v, in the place that begins on line %d", p.Err, p.StartLine)
	case parsed:
		return nil, &position{p.Line, p.Column, p.Err.Error()}
	}
	return record, err
}

func checkHeader(c *csv.Reader, header []string) error {
	for i, name := range header {
		line, column := c.FieldPos(i)
		at := position{line: line, column: column}
		switch {
		case len(header) == 1 && strings.ContainsAny(name, ";\t"):
			return at.wrong("the columns are not separated by commas")
		case !slices.Contains(columns[:], name):
			return at.wrong("%.64q is no column; there are %s", name, strings.Join(columns[:], ", "))
		case slices.Contains(header[:i], name):
			return at.wrong("column %s stands there twice", name)
		}
	}
	for _, name := range columns[:neededColumns] {
		if !slices.Contains(header, name) {
			return position{line: 1, column: 1}.wrong(
				"the first line names the columns, and %s is not among them", name)
		}
	}
	return nil
}

// csvEntry is a place.
func csvEntry(c *csv.Reader, header, record []string) (e entry, err error) {
	for i, text := range record {
		line, column := c.FieldPos(i)
		at := position{line: line, column: column}
		switch header[i] {
		case "name":
			e.name, err = text, checkName(text, at)
		case "vicinity":
			e.vicinity, err = text, checkText("the vicinity", text, at)
		case "lat":
			e.lat, err = parseDegrees("lat", text, 90, at)
		case "lng":
			e.lng, err = parseDegrees("lng", text, 180, at)
		case "types":
			e.types, err = splitTypes(text, at)
		}
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

func splitTypes(text string, at position) (types []string, err error) {
	if text == "" {
		return nil, nil
	}
	types = strings.Split(text, typeSeparator)
	if len(types) > maxFileTypes {
		return nil, at.wrong("more than %d types", maxFileTypes)
	}
	for _, word := range types {
		if err := checkType(word, at); err != nil {
			return nil, err
		}
	}
	return types, nil
}

// parseDecimal reads a number as people write it: no hexadecimal, no infinity, no underscore.
func parseDecimal(text string) (float64, error) {
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}
