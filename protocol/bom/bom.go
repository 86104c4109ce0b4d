// Package bom handles byte order marks in the text that this program reads: a UTF-8 mark at the beginning is
// skipped, and UTF-16 is an error. Editors and shells on Windows write both.
package bom

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
)

// Byte order marks of UTF-8 and of UTF-16 in both byte orders.
const (
	UTF8    = "\xef\xbb\xbf"
	UTF16LE = "\xff\xfe"
	UTF16BE = "\xfe\xff"
)

// ErrUTF16 is the error for text that begins with a UTF-16 mark.
var ErrUTF16 = errors.New("text is UTF-16: save it as UTF-8")

// Trim removes a UTF-8 mark from the beginning of text.
func Trim(text []byte) ([]byte, error) {
	if hasPrefix(text, UTF16LE) || hasPrefix(text, UTF16BE) {
		return text, ErrUTF16
	}
	return bytes.TrimPrefix(text, []byte(UTF8)), nil
}

// Skip discards a UTF-8 mark at the beginning of r. It reads no further than it must to see whether there is
// one, so it does not block on interactive input. A read error is left for the next read.
func Skip(r *bufio.Reader) error {
	var head []byte
	for isProperPrefix(head, UTF8) || isProperPrefix(head, UTF16LE) || isProperPrefix(head, UTF16BE) {
		var err error
		if head, err = r.Peek(len(head) + 1); err != nil {
			break
		}
	}
	rest, err := Trim(head)
	_, _ = r.Discard(len(head) - len(rest))
	return err
}

func hasPrefix(text []byte, mark string) bool { return bytes.HasPrefix(text, []byte(mark)) }

// isProperPrefix reports whether head is a prefix of mark and shorter than it.
func isProperPrefix(head []byte, mark string) bool {
	return len(head) < len(mark) && strings.HasPrefix(mark, string(head))
}
