// Package bom is the rule for byte order marks, the same for every text that this program reads: a
// UTF-8 mark in front is skipped, and UTF-16 is an error that names it. Editors and shells on Windows
// write both.
package bom

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
)

// The marks: of UTF-8, and of UTF-16 in either byte order.
const (
	UTF8    = "\xef\xbb\xbf"
	UTF16LE = "\xff\xfe"
	UTF16BE = "\xfe\xff"
)

// ErrUTF16 is the error for text that begins with a mark of UTF-16.
var ErrUTF16 = errors.New("this is UTF-16; save it as UTF-8")

// Trim returns text without a UTF-8 mark in front of it.
func Trim(text []byte) ([]byte, error) {
	if is(text, UTF16LE) || is(text, UTF16BE) {
		return text, ErrUTF16
	}
	return bytes.TrimPrefix(text, []byte(UTF8)), nil
}

// Skip reads a UTF-8 mark off the front of r. It waits for no more bytes than it takes to tell that
// there is none. An error of the reader stays for the next read.
func Skip(r *bufio.Reader) error {
	var head []byte
	for begins(head, UTF8) || begins(head, UTF16LE) || begins(head, UTF16BE) {
		var err error
		if head, err = r.Peek(len(head) + 1); err != nil {
			break
		}
	}
	rest, err := Trim(head)
	_, _ = r.Discard(len(head) - len(rest))
	return err
}

func is(text []byte, mark string) bool { return bytes.HasPrefix(text, []byte(mark)) }

// begins says whether head is the beginning of mark, and not yet all of it.
func begins(head []byte, mark string) bool {
	return len(head) < len(mark) && strings.HasPrefix(mark, string(head))
}
