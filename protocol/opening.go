package protocol

import (
	"bytes"
	"net/netip"
	"strings"

	"serverherd/protocol/bom"
)

// Opening is what the first bytes of a connection reveal about it.
type Opening struct {
	Kind OpeningKind
	// Skip is the number of bytes to discard, whatever Kind is.
	Skip int
	// Other names the protocol of the peer if Kind is OtherProtocol, TLSHello or ProxyHeader: OtherHTTP and so on. It is
	// OtherPROXY if Kind is NeedMore and what came is the beginning of a PROXY header.
	Other string
	// Source is the address of the client if Kind is ProxyHeader. It is invalid if the proxy does not name one.
	Source netip.AddrPort
}

// OpeningKind is what to do with a connection.
type OpeningKind uint8

// The kinds of openings.
const (
	NeedMore      OpeningKind = iota // call Open again with these bytes and the next ones
	SkipMore                         // call Open again with what follows the skipped bytes
	OtherProtocol                    // close the connection: it is neither of the following
	ClientLines                      // a client's lines follow
	LinkLines                        // a neighbor's lines follow; the first one is HELLO
	TLSHello                         // go on over TLS
	ProxyHeader                      // call Open again with what follows the skipped header of a proxy

	noMatch // internal: the next opener decides
)

// Other protocols that reach the port by mistake, or because a web page makes a browser connect to it.
const (
	OtherHTTP  = "HTTP"
	OtherTLS   = "TLS"
	OtherSSH   = "SSH"
	OtherPROXY = "PROXY"  // a header that is wrong, or from an address that may not send one
	OtherUTF16 = "UTF-16" // a client's lines, in an unsupported encoding
)

// openers are called in this order with at least one byte. The first one that does not return noMatch decides;
// one that needs more bytes returns NeedMore.
var openers = [...]func(p []byte) Opening{
	openProxy,
	openTLS,
	openUTF16,
	openMark,
	openTelnet,
	openSSH,
	openLine, // accepts any line
}

// Open classifies a connection by all bytes received so far. It needs a complete first line: at EOF, append LF
// to the bytes. The result does not depend on how the bytes were split into reads, with one exception: unless a PROXY
// header may come, empty lines are lines at once, although a header of version 2 begins with two. Such a header is then
// refused only if its mark comes in one piece.
func Open(p []byte, proxy bool) Opening {
	if len(p) == 0 {
		return Opening{Kind: NeedMore}
	}
	if !proxy && len(p) >= len("\r\n") && len(p) < len(proxyV2) && string(p) == proxyV2[:len(p)] {
		return openLine(p)
	}
	for _, open := range openers {
		if o := open(p); o.Kind != noMatch {
			return o
		}
	}
	panic("protocol: no opener matches")
}

// openTLS matches the record header of a TLS handshake.
func openTLS(p []byte) Opening {
	return openPrefix(p, "\x16\x03", Opening{Kind: TLSHello, Other: OtherTLS})
}

// openMark matches the UTF-8 byte order mark.
func openMark(p []byte) Opening {
	return openPrefix(p, bom.UTF8, Opening{Kind: SkipMore, Skip: len(bom.UTF8)})
}

// openSSH matches the banner of an SSH client.
func openSSH(p []byte) Opening {
	return openPrefix(p, "SSH-", Opening{Kind: OtherProtocol, Other: OtherSSH})
}

// openPrefix returns found if p begins with prefix.
func openPrefix(p []byte, prefix string, found Opening) Opening {
	switch n := len(prefix); {
	case len(p) >= n && string(p[:n]) == prefix:
		return found
	case len(p) < n && string(p) == prefix[:len(p)]:
		return Opening{Kind: NeedMore}
	}
	return Opening{Kind: noMatch}
}

// openUTF16 matches the byte order marks of UTF-16. The little-endian one is also telnet's IAC DONT, which is
// followed by an option. No option is a letter followed by NUL.
func openUTF16(p []byte) Opening {
	utf16 := Opening{Kind: OtherProtocol, Other: OtherUTF16}
	if len(p) < 3 || string(p[:2]) != bom.UTF16LE || !isLetter(p[2]) {
		return openPrefix(p, bom.UTF16BE, utf16)
	}
	return openPrefix(p[3:], "\x00", utf16)
}

// openTelnet skips one command of a telnet client. What follows may be a byte order mark of UTF-16, which is not skipped.
func openTelnet(p []byte) Opening {
	n, next := telnetCommand(p)
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
	return Opening{Kind: noMatch}
}

// openLine decides by the first line.
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

// isRequestLine reports whether a line ends with an HTTP version, as in GET / HTTP/1.1 and in the preface of
// HTTP/2. No command has such a last field. The method is not checked: it may be any word.
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

// IsHTTP reports whether a line, anywhere in a connection, is one that only HTTP has: its first field is POST
// or begins with Host:. Redis refuses the same two, ignoring case: they mean that a web page makes a browser
// send lines to this server.
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
