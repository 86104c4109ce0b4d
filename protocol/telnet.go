package protocol

import "bytes"

// The bytes of telnet, RFC 854. A command is IAC and a byte, and for the verbs from WILL to DONT an
// option. A subnegotiation is IAC SB, any bytes, IAC SE.
const (
	telnetEOF  = 0xec // the lowest of the commands
	telnetSE   = 0xf0
	telnetSB   = 0xfa
	telnetWILL = 0xfb // then WONT, DO, DONT
	telnetIAC  = 0xff
)

// maxSubnegotiation bounds a subnegotiation, in bytes. What is longer is a line of a client.
const maxSubnegotiation = 512

// TelnetNext is what follows the telnet commands in front of a line.
type TelnetNext uint8

// What follows the commands.
const (
	TelnetText       TelnetNext = iota // the line itself, or nothing yet
	TelnetUnfinished                   // the beginning of a command
	TelnetEscape                       // IAC IAC: the line begins with a single byte 0xff
)

// IsTelnet says whether a line begins as the commands of a telnet client do.
func IsTelnet(line []byte) bool { return len(line) > 0 && line[0] == telnetIAC }

// SkipTelnet measures the commands of a telnet client in front of a line, of which p has come. They
// take n bytes; next is what follows them.
//
// In a line 0xff is a byte like any other, because a client's name may hold it: telnet clients
// send commands between lines.
func SkipTelnet(p []byte) (n int, next TelnetNext) {
	for n < len(p) && p[n] == telnetIAC {
		q := p[n:]
		size := 2
		switch {
		case len(q) == 1:
			return n, TelnetUnfinished
		case q[1] == telnetIAC:
			return n, TelnetEscape
		case q[1] == telnetSB:
			if size = subnegotiation(q); size == 0 {
				return n, TelnetUnfinished
			}
		case q[1] >= telnetWILL:
			if size = 3; len(q) < size {
				return n, TelnetUnfinished
			}
		case q[1] < telnetEOF:
			return n, TelnetText
		}
		n += size
	}
	return n, TelnetText
}

// subnegotiation is the length of the one that p begins with; 0 if its end has not come.
func subnegotiation(p []byte) int {
	for i := 2; i < min(len(p), maxSubnegotiation)-1; i++ {
		if p[i] == telnetIAC {
			if p[i+1] == telnetSE {
				return i + 2
			}
			i++ // IAC IAC is a byte
		}
	}
	if len(p) < maxSubnegotiation {
		return 0
	}
	return 2
}

var (
	doTimingMark   = []byte("\xff\xfd\x06")
	wontTimingMark = []byte("\xff\xfc\x06")
)

// AppendTelnet appends what a telnet client must be answered to the commands that were skipped: WONT
// TIMING-MARK to DO TIMING-MARK. After Ctrl-C a client sends that, and shows nothing more until it
// is answered. Other requests need no answer: an option is off until both sides have agreed.
func AppendTelnet(dst, skipped []byte) []byte {
	for range bytes.Count(skipped, doTimingMark) {
		dst = append(dst, wontTimingMark...)
	}
	return dst
}
