package places

import (
	"encoding/json"
	"math"
	"slices"
)

// AppendJSON appends r as a JSON object, indented by two spaces as Google indents its own, with
// at most bound of its results, no empty line inside and no line end behind. Every member and every
// value is as it came, byte for byte up to white space; members stand in their order.
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

// textSize is how long r becomes when it is laid out, and a guess when it is not.
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

// appendIndented appends a JSON value at the given depth, with its white space, and nothing else,
// made anew. The value is well-formed: it was checked before. Since a deep value grows with the
// square of its depth, it stops soon after dst is longer than most.
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

// stringEnd is the index behind the string that begins at i.
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

// appendString appends s, which is UTF-8, as a JSON string. It escapes only what it must.
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
