package places

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// maxText is the maximum size of an answer's indented values, in bytes. Google's are about 40 KB.
// Indentation grows with the square of the depth and could turn a small answer into gigabytes.
const maxText = 2 << 20

var (
	errObject   = errors.New("the answer is not a JSON object")
	errStatus   = errors.New("the answer has no status")
	errResults  = errors.New("the answer has no list of results")
	errResult   = errors.New("a result in the answer is not a JSON object")
	errRepeated = errors.New("the answer has a duplicate status or results")
	errText     = errors.New("the answer is too large or nested too deeply")
)

// Parse parses a Nearby Search object. The result has the first 20 places and all other members, unchanged
// except for white space, and does not refer to answer. It always has a status and, with OK and
// ZERO_RESULTS, a list of objects. The error is one short line that may be sent to a client: it quotes at
// most one character of the answer.
func Parse(answer []byte) (Result, error) {
	answer = bytes.Trim(answer, " \t\r\n")
	if err := CheckJSON(answer); err != nil {
		return Result{}, err
	}
	if answer[0] != '{' {
		return Result{}, errObject
	}
	p := parser{text: make([]byte, 0, len(answer)+len(answer)/4)}
	for name, value := range each(answer) {
		if err := p.member(name, value); err != nil {
			return Result{}, err
		}
	}
	return p.finish()
}

// CheckJSON returns an error if an answer is not JSON: one short line that quotes at most one character of
// it. Unmarshal is slower than Valid and is called only for the reason.
func CheckJSON(answer []byte) error {
	if json.Valid(answer) {
		return nil
	}
	return fmt.Errorf("the answer is not JSON: %w", json.Unmarshal(answer, new(json.RawMessage)))
}

// parser builds a Result from the members of an answer, with all indented values in one slice.
type parser struct {
	r      Result
	text   []byte
	listed bool // the results have been seen
}

func (p *parser) member(name, value []byte) error {
	fields := &p.r.Before
	if p.listed {
		fields = &p.r.After
	}
	switch unquote(name) {
	case "results":
		return p.results(value)
	case "status":
		if p.r.Status != "" {
			return errRepeated
		}
		if value[0] != '"' || len(value) == len(`""`) {
			return errStatus
		}
		p.r.Status = unquote(value[1 : len(value)-1])
	}
	*fields = append(*fields, Field{string(name), p.layOut(value, 1)})
	return nil
}

func (p *parser) results(list []byte) error {
	if p.listed {
		return errRepeated
	}
	if list[0] != '[' {
		return errResults
	}
	p.listed = true
	for _, value := range each(list) {
		if value[0] != '{' {
			return errResult
		}
		if len(p.r.Results) < maxResults {
			p.r.Results = append(p.r.Results, p.layOut(value, 2))
		}
	}
	return nil
}

// layOut returns value as AppendJSON writes it at that depth.
func (p *parser) layOut(value []byte, depth int) json.RawMessage {
	start := len(p.text)
	p.text = appendIndented(p.text, value, depth, maxText)
	return p.text[start:len(p.text):len(p.text)]
}

func (p *parser) finish() (Result, error) {
	switch {
	case len(p.text) > maxText:
		return Result{}, errText
	case p.r.Status == "":
		return Result{}, errStatus
	case !p.listed && (p.r.Status == "OK" || p.r.Status == "ZERO_RESULTS"):
		return Result{}, errResults
	}
	p.r.laidOut = true
	return p.r, nil
}

// unquote decodes the inside of a JSON string.
func unquote(inside []byte) (s string) {
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	quoted := append(append([]byte{'"'}, inside...), '"')
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("places: unquote of an invalid string: " + err.Error())
	}
	return s
}

// each iterates over the members of an object (the name without its quotes, and the value), or the elements
// of an array, which have no name. The text must be valid and begin with its bracket.
func each(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		var name []byte
		for i := skipSpace(text, 1); text[i] != '}' && text[i] != ']'; {
			if text[0] == '{' {
				end := stringEnd(text, i)
				name = text[i+1 : end-1]
				i = skipSpace(text, skipSpace(text, end)+1) // the colon
			}
			end := valueEnd(text, i)
			if !yield(name, text[i:end]) {
				return
			}
			if i = skipSpace(text, end); text[i] == ',' {
				i = skipSpace(text, i+1)
			}
		}
	}
}

// valueEnd is the index after the value that begins at i.
func valueEnd(p []byte, i int) int {
	for depth := 0; i < len(p); {
		switch p[i] {
		case '"':
			i = stringEnd(p, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
		}
		if depth == 0 && (i == len(p) || strings.IndexByte(" \t\r\n,]}", p[i]) >= 0) {
			return i
		}
	}
	return i
}

// Members iterates over the members of a JSON object in order: the name without its quotes but with its
// escapes, and the unchanged value. The object must be valid and begin with its brace.
func Members(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for name, value := range each(object) {
			if !yield(string(name), value) {
				return
			}
		}
	}
}

// Elements iterates over the elements of a JSON array. The array must be valid and begin with its bracket.
func Elements(array json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for _, value := range each(array) {
			if !yield(value) {
				return
			}
		}
	}
}
