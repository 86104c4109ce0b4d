package protocol

import "bytes"

// redacted replaces a token.
const redacted = "[redacted]"

// tokenVerb is compared without case.
const tokenVerb = "token"

// TokenMark begins every token that herd token makes, so that it is found where it should not be. MadeToken or more
// characters of base64url follow.
const (
	TokenMark = "herd_"
	MadeToken = 43
)

var tokenMark = []byte(TokenMark)

// Redact returns a line without the tokens in it: without what follows TOKEN if the line begins like that, see IsToken,
// and else without words that look like a token of herd token, wherever they are. Whatever logs, repeats or stores a
// client's line does it with the result, on servers without tokens as well. It returns the line itself if there is nothing
// to hide.
func Redact(line []byte) []byte {
	if end := tokenEnd(line); end > 0 {
		return append(append(append(make([]byte, 0, end+1+len(redacted)), line[:end]...), ' '), redacted...)
	}
	return redactMade(line)
}

// IsToken reports whether the first field of a line begins like TOKEN, in any case, also behind bytes that are neither
// letters nor digits, and something follows: a line with such a mistake has a token, too. Telnet commands before it may
// contain letters: the width of a terminal, for example.
func IsToken(line []byte) bool { return tokenEnd(line) > 0 }

// tokenEnd returns where TOKEN ends in a line that IsToken accepts; 0 for others. The first letter decides almost every line.
func tokenEnd(line []byte) int {
	start := 0
	if IsTelnet(line) {
		start, _ = SkipTelnet(line)
	}
	for start < len(line) && !isLetter(line[start]) && !isDigit(line[start]) {
		start++
	}
	end := start + len(tokenVerb)
	if end >= len(line) {
		return 0
	}
	for i := range len(tokenVerb) {
		if line[start+i]|0x20 != tokenVerb[i] {
			return 0
		}
	}
	return end
}

// redactMade replaces words that look like tokens of herd token.
func redactMade(text []byte) []byte {
	var clean []byte // nil: nothing was found
	kept := 0        // what is before has been copied or replaced
	for at := 0; ; {
		i := bytes.Index(text[at:], tokenMark)
		if i < 0 {
			break
		}
		start := at + i
		at = start + len(tokenMark)
		for at < len(text) && isBase64URL(text[at]) {
			at++
		}
		if at-start >= len(tokenMark)+MadeToken {
			clean = append(append(clean, text[kept:start]...), redacted...)
			kept = at
		}
	}
	if clean == nil {
		return text
	}
	return append(clean, text[kept:]...)
}

func isBase64URL(b byte) bool { return isLetter(b) || isDigit(b) || b == '-' || b == '_' }
