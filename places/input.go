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

// input is a file that is being read, within its bounds.
type input struct {
	*bufio.Reader
	columns map[string]string // FileOptions.Columns
	file    io.Reader
	zipped  bool  // file unpacks gzip
	read    int64 // bytes taken from file
	begin   int64 // those in front of the place that is being read
}

// sniffed is how many bytes in front of a file are looked at to tell what is no text.
const sniffed = 512

// newInput begins to read a file: what gzip packed is unpacked, and a byte order mark is skipped. The
// bounds are for the text.
func newInput(file io.Reader, columns map[string]string) (*input, error) {
	in := &input{columns: columns}
	raw := bufio.NewReader(file)
	in.file = raw
	magic, _ := raw.Peek(4) // an error stays for the next read
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, damaged(err)
		}
		in.file, in.zipped = z, true
	case string(magic) == "PK\x03\x04":
		return nil, errors.New("this is a zip archive or a spreadsheet: unpack it, or save it as CSV UTF-8")
	}
	in.Reader = bufio.NewReaderSize(meter{in}, maxFileLine)
	if err := bom.Skip(in.Reader); err != nil {
		return nil, err
	}
	head, err := in.Peek(sniffed) // an error stays for the next read
	switch {
	case err == io.EOF && len(head) == 0:
		return nil, errors.New("it is empty")
	case bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("this is not text, or it is UTF-16: save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
	}
	return in, nil
}

func damaged(err error) error { return fmt.Errorf("its gzip data are damaged: %w", err) }

// cut says whether the file ended for its reader because a place took too many bytes: more than may
// be a place, behind what was read ahead.
func (in *input) cut() bool { return in.read-in.begin > 2*maxFileLine }

// meter is the way from the file to its reader.
type meter struct{ *input }

func (m meter) Read(p []byte) (int, error) {
	switch {
	case m.read > maxFileBytes:
		return 0, fmt.Errorf("it is larger than %d bytes", maxFileBytes)
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
