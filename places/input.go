package places

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"serverherd/protocol/bom"
)

// input reads a places file within its size limits.
type input struct {
	*bufio.Reader
	columns map[string]string // FileOptions.Columns
	file    io.Reader
	zipped  bool  // file decompresses gzip
	read    int64 // bytes read from file
	begin   int64 // offset of the current place
}

// sniffed is how many bytes at the beginning of a file are checked for binary data.
const sniffed = 512

// newInput begins to read a file. It decompresses gzip and skips a byte order mark. The size limits apply
// to the decompressed text.
func newInput(file io.Reader, columns map[string]string) (*input, error) {
	in := &input{columns: columns}
	raw := bufio.NewReader(file)
	in.file = raw
	magic, _ := raw.Peek(4) // the next read returns the error again
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, damaged(err)
		}
		in.file, in.zipped = z, true
	case string(magic) == "PK\x03\x04":
		return nil, errors.New("zip archives and spreadsheets are not supported: unpack it or save it as CSV UTF-8")
	}
	in.Reader = bufio.NewReaderSize(meter{in}, maxFileLine)
	if err := bom.Skip(in.Reader); err != nil {
		return nil, err
	}
	head, err := in.Peek(sniffed) // the next read returns the error again
	switch {
	case err == io.EOF && len(head) == 0:
		return nil, errors.New("the file is empty")
	case bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("not text, or UTF-16: save it as UTF-8 (spreadsheets: CSV UTF-8)")
	}
	return in, nil
}

func damaged(err error) error { return fmt.Errorf("damaged gzip data: %w", err) }

// cut reports whether meter ended the file because a place is too long: longer than allowed, plus what was
// read ahead.
func (in *input) cut() bool { return in.read-in.begin > 2*maxFileLine }

// meter is the io.Reader of an input. It enforces the size limits.
type meter struct{ *input }

func (m meter) Read(p []byte) (int, error) {
	switch {
	case m.read > maxFileBytes:
		return 0, fmt.Errorf("the file is larger than %d bytes", maxFileBytes)
	case m.cut():
		return 0, io.EOF
	}
	n, err := m.file.Read(p)
	m.read += int64(n)
	if err != nil && err != io.EOF && m.zipped {
		err = damaged(err)
	}
	return n, err
}
