package places

import (
	"bytes"
	"encoding/json"
	"html"
	"slices"
)

const attributions = "html_attributions"

// WithAttribution returns r with a line that names the source of the places, in front of its
// html_attributions. The text is plain text, not HTML.
func WithAttribution(r Result, text string) Result {
	line := appendString(nil, html.EscapeString(text))
	r.Before = slices.Clone(r.Before)
	r.After = slices.Clone(r.After)
	for _, fields := range [][]Field{r.Before, r.After} {
		for i := range fields {
			if fields[i].Name == attributions {
				fields[i].Value = withElement(fields[i].Value, line)
				return r
			}
		}
	}
	value := withElement([]byte("[]"), line)
	r.Before = slices.Insert(r.Before, 0, Field{attributions, value})
	return r
}

// withElement returns a JSON array with element inserted at its head, indented as a member of an answer. A
// value that is not an array is replaced.
func withElement(array json.RawMessage, element []byte) json.RawMessage {
	rest := bytes.TrimLeft(array, " \t\r\n")
	v := append([]byte("[\n    "), element...)
	if len(rest) > 0 && rest[0] == '[' {
		if rest = rest[skipSpace(rest, 1):]; len(rest) > 0 && rest[0] != ']' {
			return append(append(v, ",\n    "...), rest...)
		}
	}
	return append(v, "\n  ]"...)
}
