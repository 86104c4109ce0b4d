package protocol

// redacted replaces what follows TOKEN.
const redacted = " [redacted]"

// tokenVerb is compared without case.
const tokenVerb = "token"

// Redact returns a line without the token in it, if its first field begins like TOKEN, in any case, also behind
// bytes that are neither letters nor digits: a line with such a mistake has a token, too. Whatever logs, repeats or
// stores a client's line does it with the result, on servers without tokens as well. It returns the line itself if
// there is nothing to hide. The first letter decides almost every line. Telnet commands before it may contain letters:
// the width of a terminal, for example.
func Redact(line []byte) []byte {
	start := 0
	if IsTelnet(line) {
		start, _ = SkipTelnet(line)
	}
	for start < len(line) && !isLetter(line[start]) && !isDigit(line[start]) {
		start++
	}
	end := start + len(tokenVerb)
	if end >= len(line) {
		return line
	}
	for i := range len(tokenVerb) {
		if line[start+i]|0x20 != tokenVerb[i] {
			return line
		}
	}
	return append(append(make([]byte, 0, end+len(redacted)), line[:end]...), redacted...)
}
