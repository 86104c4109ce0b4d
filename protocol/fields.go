package protocol

// isSpace is for white space: exactly these six bytes, as Python's bytes.split has it.
// bytes.Fields would also split at U+0085 and U+00A0, which are legal inside a client's name. The
// first comparison settles almost every byte.
func isSpace(b byte) bool {
	return b <= ' ' && (b == ' ' || b >= '\t' && b <= '\r')
}

// maxFields is the number of fields that are kept; no command has more.
const maxFields = 7

// fields are the fields of one line. They alias it.
type fields struct {
	at    [maxFields][]byte
	start [maxFields]int // where in the line they begin
	n     int            // how many the line has, those beyond maxFields included
}

// split finds the fields of a line.
func (f *fields) split(line []byte) {
	for i := 0; i < len(line); i++ {
		if isSpace(line[i]) {
			continue
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if f.n < maxFields {
			f.at[f.n], f.start[f.n] = line[start:i], start
		}
		f.n++
	}
}
