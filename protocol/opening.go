package protocol

import (
	"bytes"
	"strings"

	"serverherd/protocol/bom"
)

// Opening is what the first bytes of a connection say about it.
type Opening struct {
	Kind OpeningKind
	// Skip is how many of the bytes to drop, whatever Kind is.
	Skip int
	// Other is what the peer speaks if Kind is OtherProtocol: OtherHTTP and so on.
	Other string
}

// OpeningKind is what to do with a connection.
type OpeningKind uint8

// The kinds of openings.
const (
	NeedMore      OpeningKind = iota // call Open again with these bytes and the next ones
	SkipMore                         // call Open again with what follows the skipped bytes
	OtherProtocol                    // end the connection: it is neither of the following
	ClientLines                      // a client's lines follow
	LinkLines                        // a neighbor's lines follow; the first is HELLO

	notMine // a row's answer: the next row decides
)

// What comes to a port by mistake, or because a web page sends it there.
const (
	OtherHTTP  = "HTTP"
	OtherTLS   = "TLS"
	OtherSSH   = "SSH"
	OtherUTF16 = "UTF-16" // a client's lines, in an encoding that the server does not read
)

// openings are asked in this order, each with at least one byte. The first one that does not answer
// notMine decides; a row that cannot tell yet answers NeedMore.
var openings = [...]func(p []byte) Opening{
	openTLS,
	openUTF16,
	openMark,
	openTelnet,
	openSSH,
	openLine, // takes whatever is left
}

// Open tells what a connection is from its first bytes, as many as have come: a first line must be
// complete. If no more bytes will come, append LF to them. How the bytes were cut on their way
// changes nothing.
func Open(p []byte) Opening {
	if len(p) == 0 {
		return Opening{Kind: NeedMore}
	}
	for _, row := range openings {
		if o := row(p); o.Kind != notMine {
			return o
		}
	}
	panic("protocol: no row takes an opening")
}

// openTLS finds the record that begins a TLS handshake.
func openTLS(p []byte) Opening {
	return openPrefix(p, "\x16\x03", Opening{Kind: OtherProtocol, Other: OtherTLS})
}

// openMark finds the byte order mark of UTF-8.
func openMark(p []byte) Opening {
	return openPrefix(p, bom.UTF8, Opening{Kind: SkipMore, Skip: len(bom.UTF8)})
}

// openSSH finds the banner of an SSH client.
func openSSH(p []byte) Opening {
	return openPrefix(p, "SSH-", Opening{Kind: OtherProtocol, Other: OtherSSH})
}

// openPrefix answers found if p begins with prefix.
func openPrefix(p []byte, prefix string, found Opening) Opening {
	switch n := len(prefix); {
	case len(p) >= n && string(p[:n]) == prefix:
		return found
	case len(p) < n && string(p) == prefix[:len(p)]:
		return Opening{Kind: NeedMore}
	}
	return Opening{Kind: notMine}
}

// openUTF16 finds the byte order marks of UTF-16. The little-endian one is also telnet's IAC DONT,
// which is followed by an option. No option is a letter followed by NUL.
func openUTF16(p []byte) Opening {
	utf16 := Opening{Kind: OtherProtocol, Other: OtherUTF16}
	if len(p) < 3 || string(p[:2]) != bom.UTF16LE || !isLetter(p[2]) {
		return openPrefix(p, bom.UTF16BE, utf16)
	}
	return openPrefix(p[3:], "\x00", utf16)
}

// openTelnet skips the commands of a telnet client.
func openTelnet(p []byte) Opening {
	n, next := SkipTelnet(p)
	switch {
	case n > 0:
		return Opening{Kind: SkipMore, Skip: n}
	case next == TelnetUnfinished:
		return Opening{Kind: NeedMore}
	case next == TelnetEscape:
		o := openLine(p[1:])
		if o.Kind != NeedMore {
			o.Skip = 1
		}
		return o
	}
	return Opening{Kind: notMine}
}

// openLine reads the first line.
func openLine(p []byte) Opening {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return Opening{Kind: NeedMore}
	}
	switch line := p[:end]; {
	case isRequestLine(line), IsHTTP(line):
		return Opening{Kind: OtherProtocol, Other: OtherHTTP}
	case isHello(line):
		return Opening{Kind: LinkLines}
	}
	return Opening{Kind: ClientLines}
}

// isRequestLine says whether a line ends with a version of HTTP, as in GET / HTTP/1.1 and in the
// preface of HTTP/2. No command has a last field of that form, and any word may be a method.
func isRequestLine(line []byte) bool {
	end := len(line)
	for end > 0 && isSpace(line[end-1]) {
		end--
	}
	start := end
	for start > 0 && !isSpace(line[start-1]) {
		start--
	}
	const version = "HTTP/"
	last := line[start:end]
	return len(last) > len(version) && string(last[:len(version)]) == version && isDigit(last[len(version)])
}

// IsHTTP says whether a line, at any place of a connection, is one that only HTTP has: its first
// field is POST or begins with Host:. Redis refuses the same two, whatever their case, as they mean
// that a web page makes a browser send lines to this server.
func IsHTTP(line []byte) bool {
	start := 0
	for start < len(line) && isSpace(line[start]) {
		start++
	}
	end := start
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	const host, post = "host:", "post"
	first := line[start:end]
	return len(first) >= len(host) && strings.EqualFold(string(first[:len(host)]), host) ||
		len(first) == len(post) && strings.EqualFold(string(first), post)
}

func isHello(line []byte) bool {
	l, err := ParseLink(line)
	return err == nil && l.Verb == LinkHello
}
