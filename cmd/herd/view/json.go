package view

import (
	"encoding/json"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON escapes in encoded JSON all unprintable characters except tabs and LFs, as \u202e. encoding/json and zap leave
// DEL, the C1 controls and the characters that change the direction of text as they are. The value stays the same.
// Bytes that are not UTF-8 become U+FFFD. The result is text itself if there is nothing to escape.
func JSON(text []byte) []byte {
	start := 0
	var escaped []byte
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		escaped = append(escaped, text[start:i]...)
		if r > 0xffff {
			high, low := utf16.EncodeRune(r)
			escaped, r = appendUnit(escaped, high), low
		}
		escaped = appendUnit(escaped, r)
		i += size
		start = i
	}
	if escaped == nil {
		return text
	}
	return append(escaped, text[start:]...)
}

func appendUnit(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// NewJSON is json.NewEncoder for values that may contain text of others: see JSON.
func NewJSON(w io.Writer) *json.Encoder { return json.NewEncoder(jsonWriter{w}) }

// jsonWriter escapes what an encoder writes: one value at a time.
type jsonWriter struct{ w io.Writer }

// Write implements io.Writer.
func (j jsonWriter) Write(p []byte) (int, error) {
	if _, err := j.w.Write(JSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
