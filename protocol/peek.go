package protocol

import "bytes"

// PeekClient returns the client id of a line that begins as an IAMAT or an AT line with single spaces, as programs write
// them; nil for any other line. It does not check anything, so that it takes a fraction of the time of Parse or ParseLink,
// and what it returns may be any bytes. It aliases the line.
func PeekClient(line []byte) []byte {
	switch {
	case len(line) > 3 && string(line[:3]) == "AT ":
		line = afterSpace(afterSpace(line[3:]))
	case len(line) > 6 && string(line[:6]) == "IAMAT ":
		line = line[6:]
	default:
		return nil
	}
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i:i]
	}
	return nil
}

// afterSpace returns what follows the first space; nil if there is none.
func afterSpace(p []byte) []byte {
	if i := bytes.IndexByte(p, ' '); i >= 0 {
		return p[i+1:]
	}
	return nil
}
