package places

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// maxText bounds an answer's values once they are laid out. Google's take some 40 KB. Indentation
// grows with the square of the depth, and so could make gigabytes of a small answer.
const maxText = 2 << 20

var (
	errObject   = errors.New("the answer is not a JSON object")
	errStatus   = errors.New("the answer has no status")
	errResults  = errors.New("the answer has no list of results")
	errResult   = errors.New("a result in the answer is not a JSON object")
	errRepeated = errors.New("the answer has a status or results twice")
	errText     = errors.New("the answer is too large or nested too deeply")
)

// Parse takes a Nearby Search object apart. The result keeps the first 20 places and every other
// member as it came, up to white space, and nothing of answer itself. It has a status, whichever;
// with OK and ZERO_RESULTS there is a list of objects as well. The error is one short line, fit to
// be shown to a client: it quotes no more than one character of the answer.
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

// CheckJSON says why an answer is not JSON, in one short line that quotes no more than one character
// of it. Unmarshal goes through a text twice, and so it is only asked for the reason.
func CheckJSON(answer []byte) error {
	if json.Valid(answer) {
		return nil
	}
	return fmt.Errorf("the answer is not JSON: %w", json.Unmarshal(answer, new(json.RawMessage)))
}

// parser makes a Result of the members of an answer. It lays out all values in one text.
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

// layOut is value as AppendJSON writes it at that depth.
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

// unquote is what the inside of a JSON string stands for.
func unquote(inside []byte) (s string) {
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	quoted := append(append([]byte{'"'}, inside...), '"')
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("places: a checked string is none: " + err.Error())
	}
	return s
}

// each goes through the members of an object, name without its quotes and value, or the elements
// of an array, which have no name. The text is well-formed and begins with its bracket.
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

// valueEnd is the index behind the value that begins at i.
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

// Members goes through the members of a JSON object in their order: the name without its quotes,
// escapes and all, and the value as it stands. The text is well-formed and begins with its brace.
func Members(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for name, value := range each(object) {
			if !yield(string(name), value) {
				return
			}
		}
	}
}

// Elements goes through the elements of a JSON array. The text is well-formed and begins with its
// bracket.
func Elements(array json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for _, value := range each(array) {
			if !yield(value) {
				return
			}
		}
	}
}
