package protocol

// isSpace accepts exactly the six bytes at which Python's bytes.split splits. bytes.Fields would also split at
// U+0085 and U+00A0, which are legal in a client id. The first comparison decides almost every byte.
func isSpace(b byte) bool {
	return b <= ' ' && (b == ' ' || b >= '\t' && b <= '\r')
}

// maxFields is the number of fields that are kept; no command has more.
const maxFields = 7

// fields are the fields of one line. They alias it.
type fields struct {
	at    [maxFields][]byte
	start [maxFields]int // offsets in the line
	n     int            // number of fields in the line, including those beyond maxFields
}

// split fills f with the fields of a line.
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
