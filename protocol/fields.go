package protocol

// White space is exactly these six bytes, as Python's bytes.split has it. bytes.Fields would also
// split at U+0085 and U+00A0, which are legal inside a client's name.
func isSpace(b byte) bool {
	return b == ' ' || b >= '\t' && b <= '\r'
}

// maxFields is the number of fields that are told apart; a line with more has maxFields+1.
const maxFields = 7

// fields are the fields of one line. They alias it.
type fields struct {
	at [maxFields][]byte
	n  int
}

// split finds the fields of a line.
func split(line []byte) (f fields) {
	for i := 0; i < len(line); {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if start == i {
			break
		}
		if f.n < maxFields {
			f.at[f.n] = line[start:i]
		}
		f.n++
	}
	return f
}
