package places

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// typeSeparator separates the types of a place.
const typeSeparator = "|"

// separators are the possible separators of columns.
var separators = []rune{',', ';', '\t'}

// readCSV reads a CSV file (RFC 4180) with commas, semicolons or tabs. The header line names the columns,
// in any order; a line sep=; may precede it. Lines without any value are skipped.
func readCSV(in *input, add func(entry, position) error) error {
	c := csv.NewReader(in.Reader)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1 // checked below, with a better error
	l, err := readHeader(in, c)
	if err != nil {
		return err
	}
	for {
		record, err := readRecord(in, c)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case blank(record):
			continue
		}
		line, _ := c.FieldPos(0)
		if len(record) != len(l.names) {
			return position{line: line, column: 1}.wrong(
				"%d fields, but the header has %d columns", len(record), len(l.names))
		}
		e, err := csvEntry(c, l, record)
		if err != nil {
			return err
		}
		if err := add(e, position{line: line, column: 1}); err != nil {
			return err
		}
	}
}

// readRecord reads one record: a line, or several if a quoted field contains line ends.
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
		return nil, errors.New(errEmpty)
	case parsed && p.StartLine < p.Line:
		return nil, position{line: p.Line, column: p.Column}.wrong(
			"%v, in the place that begins on line %d", p.Err, p.StartLine)
	case parsed:
		return nil, &position{p.Line, p.Column, p.Err.Error()}
	}
	return record, err
}

// blank reports whether a record has no value, as spreadsheets write for empty rows.
func blank(record []string) bool {
	for _, text := range record {
		if strings.TrimSpace(text) != "" {
			return false
		}
	}
	return true
}

// readHeader reads the header line and detects the separator.
func readHeader(in *input, c *csv.Reader) (l layout, err error) {
	head, _ := in.Peek(maxFileLine) // the next read returns the error again
	line, _, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if bytes.IndexByte(line, '\r') >= 0 {
		return l, position{line: 1, column: 1}.wrong("lines end in CR only: save the file as CSV UTF-8")
	}
	sep, explicit := bytes.CutPrefix(bytes.Trim(line, `"`), []byte("sep="))
	switch {
	case !explicit:
		var comma rune
		comma, err = separator(head, in.columns)
		separate(c, comma)
	case len(sep) != 1 || !slices.Contains(separators, rune(sep[0])):
		err = position{line: 1, column: 1}.wrong("unsupported separator %.8q: expected , or ; or tab", sep)
	default:
		_, err = readRecord(in, c)
		separate(c, rune(sep[0]))
	}
	if err != nil {
		return l, err
	}
	header, err := readRecord(in, c)
	for err == nil && blank(header) {
		header, err = readRecord(in, c)
	}
	switch {
	case err == io.EOF:
		return l, &position{1, 1, "no header: expected " + strings.Join(columns[:], ",")}
	case err != nil:
		return l, err
	}
	l, problems := newLayout(trimmed(header), in.columns)
	return l, headerError(c, l, problems, in.columns)
}

// separate sets the separator. White space before a value or its quote is skipped, unless the separator is
// a tab.
func separate(c *csv.Reader, comma rune) { c.Comma, c.TrimLeadingSpace = comma, comma != '\t' }

func trimmed(header []string) []string {
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = trim(strings.Clone(name))
	}
	return names
}

// separator detects the separator of the header line in head: the one that finds all required columns or,
// if there is none, the one that finds the most columns.
func separator(head []byte, wanted map[string]string) (best rune, err error) {
	var found []string
	best, most := separators[0], 0
	for _, comma := range separators {
		c := csv.NewReader(bytes.NewReader(head))
		c.FieldsPerRecord = -1
		separate(c, comma)
		header, err := c.Read()
		for err == nil && blank(header) {
			header, err = c.Read()
		}
		if err != nil {
			continue
		}
		l, problems := newLayout(trimmed(header), wanted)
		if len(problems) == 0 && l.lacks() == "" {
			best, most = comma, len(header)
			found = append(found, fmt.Sprintf("%q", comma))
		} else if len(found) == 0 && len(header) > most {
			best, most = comma, len(header)
		}
	}
	if len(found) > 1 {
		return best, position{line: 1, column: 1}.wrong("ambiguous separator, %s: "+
			"insert a first line sep=, or sep=;", strings.Join(found, " or "))
	}
	return best, nil
}

// headerError returns all problems of a header as one error, at the position of the first.
func headerError(c *csv.Reader, l layout, problems []problem, wanted map[string]string) error {
	at := position{column: 1}
	at.line, _ = c.FieldPos(0)
	var all []string
	advice := false
	for _, p := range problems {
		if p.at >= 0 && len(all) == 0 {
			at.line, at.column = c.FieldPos(p.at)
		}
		all = append(all, p.what)
		advice = advice || !p.duplicate
	}
	if lacks := l.lacks(); lacks != "" {
		all, advice = append(all, lacks), true
	}
	if advice {
		all = append(all, l.advice(wanted))
	}
	if all == nil {
		return nil
	}
	return at.wrong("header: %s", strings.Join(all, "; "))
}

// csvEntry converts a record to an entry.
func csvEntry(c *csv.Reader, l layout, record []string) (e entry, err error) {
	// value returns the value of a column and its position.
	value := func(column int) (string, position) {
		i := l.at[column]
		if i < 0 {
			return "", position{}
		}
		line, at := c.FieldPos(i)
		return trim(record[i]), position{line: line, column: at}
	}
	for i := range neededColumns {
		if text, at := value(i); strings.TrimSpace(text) == "" {
			e.lacks = &position{at.line, at.column, "missing " + columns[i]}
			return e, nil
		}
	}
	decimalComma := c.Comma != ','
	for i := range columns {
		text, at := value(i)
		switch i {
		case columnName:
			e.name, err = text, checkText("the name", text, at)
		case columnVicinity:
			e.vicinity, err = text, checkText("the vicinity", text, at)
		case columnLat:
			e.lat, err = parseDegrees("lat", text, 90, decimalComma, at)
		case columnLng:
			e.lng, err = parseDegrees("lng", text, 180, decimalComma, at)
		case columnTypes:
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

// parseDecimal parses a decimal number. Unlike strconv.ParseFloat it accepts no hexadecimal, infinity or
// underscore.
func parseDecimal(text string) (float64, error) {
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}
