package places

import "encoding/json"

// AppendJSON appends r as a JSON object, indented by two spaces as Google indents its own, with
// at most bound of its results and no empty line inside. Every member and every value is as it
// came, byte for byte up to white space; members stand in their order.
func AppendJSON(dst []byte, r Result, bound int) []byte {
	dst = append(dst, '{')
	first := true
	member := func(name string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, "\n  "...)
		dst = appendString(dst, name)
		dst = append(dst, ": "...)
	}
	for _, f := range r.Before {
		member(f.Name)
		dst = appendIndented(dst, f.Value, 1)
	}
	member("results")
	dst = appendResults(dst, r.Results[:min(len(r.Results), bound)], r.laidOut)
	for _, f := range r.After {
		member(f.Name)
		dst = appendIndented(dst, f.Value, 1)
	}
	return append(dst, "\n}"...)
}

func appendResults(dst []byte, results []json.RawMessage, laidOut bool) []byte {
	if len(results) == 0 {
		return append(dst, "[]"...)
	}
	dst = append(dst, '[')
	for i, v := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, "\n    "...)
		if laidOut {
			dst = append(dst, v...)
		} else {
			dst = appendIndented(dst, v, 2)
		}
	}
	return append(dst, "\n  ]"...)
}

// appendString appends s, which is UTF-8, as a JSON string. It escapes only what it must.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}

// appendIndented appends a JSON value at the given depth, with its white space, and nothing else,
// made anew. The value is well-formed: it was decoded before.
func appendIndented(dst []byte, value []byte, depth int) []byte {
	for i := 0; i < len(value); i++ {
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
