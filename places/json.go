package places

import (
	"encoding/json"
	"math"
	"slices"
)

// AppendJSON appends r as a JSON object with at most bound results, indented by two spaces like Google's
// answers, without empty lines and without a final LF. Members keep their order, and values are unchanged
// except for white space.
func AppendJSON(dst []byte, r Result, bound int) []byte {
	results := r.Results[:max(0, min(len(r.Results), bound))]
	dst = slices.Grow(dst, textSize(&r, results))
	dst = append(dst, '{')
	for _, f := range r.Before {
		dst = append(r.appendField(dst, f), ',')
	}
	dst = append(dst, "\n  \"results\": ["...)
	for i, v := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.appendValue(append(dst, "\n    "...), v, 2)
	}
	if len(results) > 0 {
		dst = append(dst, "\n  "...)
	}
	dst = append(dst, ']')
	for _, f := range r.After {
		dst = r.appendField(append(dst, ','), f)
	}
	return append(dst, "\n}"...)
}

// textSize is the size of r as JSON if it is laid out, else an estimate.
func textSize(r *Result, results []json.RawMessage) int {
	n := len("{\n  \"results\": [\n  ]\n}")
	for _, fields := range [][]Field{r.Before, r.After} {
		for _, f := range fields {
			n += len("\n  \"\": ,") + len(f.Name) + len(f.Value)
		}
	}
	for _, v := range results {
		n += len("\n    ,") + len(v)
	}
	return n
}

func (r *Result) appendField(dst []byte, f Field) []byte {
	dst = append(append(append(dst, "\n  \""...), f.Name...), "\": "...)
	return r.appendValue(dst, f.Value, 1)
}

func (r *Result) appendValue(dst []byte, v json.RawMessage, depth int) []byte {
	if r.laidOut {
		return append(dst, v...)
	}
	return appendIndented(dst, v, depth, math.MaxInt)
}

// appendIndented appends a JSON value at the given depth and replaces only its white space. The value must
// be valid JSON. A deep value grows with the square of its depth, so it stops soon after dst is longer than
// most.
func appendIndented(dst, value []byte, depth, most int) []byte {
	for i := 0; i < len(value) && len(dst) <= most; i++ {
		switch c := value[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			end := stringEnd(value, i)
			dst = append(dst, value[i:end]...)
			i = end - 1
		case '{', '[':
			if end := skipSpace(value, i+1); end < len(value) && value[end] == c+2 {
				dst = append(dst, c, c+2) // '}' is '{'+2, ']' is '['+2
				i = end
				continue
			}
			depth++
			dst = newline(append(dst, c), depth)
		case '}', ']':
			depth--
			dst = append(newline(dst, depth), c)
		case ',':
			dst = newline(append(dst, c), depth)
		case ':':
			dst = append(dst, ':', ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func newline(dst []byte, depth int) []byte {
	dst = append(dst, '\n')
	for range depth {
		dst = append(dst, "  "...)
	}
	return dst
}

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n') {
		i++
	}
	return i
}

// stringEnd is the index after the string that begins at i.
func stringEnd(p []byte, i int) int {
	for i++; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(p)
}

// appendString appends s, which must be UTF-8, as a JSON string, with only the necessary escapes.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}
