package protocol

import "bytes"

// Bytes of telnet (RFC 854). A command is IAC and a byte, for WILL to DONT followed by an option. A
// subnegotiation is IAC SB, any bytes, IAC SE.
const (
	telnetEOF  = 0xec // the lowest of the commands
	telnetSE   = 0xf0
	telnetSB   = 0xfa
	telnetWILL = 0xfb // then WONT, DO, DONT
	telnetIAC  = 0xff
)

// maxSubnegotiation is the maximum length of a subnegotiation, in bytes. Longer input is a client's line.
const maxSubnegotiation = 512

// TelnetNext is what follows the telnet commands before a line.
type TelnetNext uint8

// What follows the commands.
const (
	TelnetText       TelnetNext = iota // the line itself, or no byte yet
	TelnetUnfinished                   // an incomplete command
	TelnetEscape                       // IAC IAC: the line begins with a single byte 0xff
)

// IsTelnet reports whether a line begins like a telnet command.
func IsTelnet(line []byte) bool { return len(line) > 0 && line[0] == telnetIAC }

// SkipTelnet returns the length n of the telnet commands at the beginning of p, and what follows them.
//
// Within a line 0xff is an ordinary byte, because a client id may contain it: telnet clients send commands
// between lines.
func SkipTelnet(p []byte) (n int, next TelnetNext) {
	for {
		size, next := telnetCommand(p[n:])
		if size == 0 {
			return n, next
		}
		n += size
	}
}

// telnetCommand returns the size of the command at the beginning of p; 0 and what is there instead if there is none.
func telnetCommand(p []byte) (size int, next TelnetNext) {
	switch {
	case !IsTelnet(p):
		return 0, TelnetText
	case len(p) == 1:
		return 0, TelnetUnfinished
	case p[1] == telnetIAC:
		return 0, TelnetEscape
	case p[1] == telnetSB:
		return subnegotiation(p), TelnetUnfinished
	case p[1] >= telnetWILL:
		if len(p) < 3 {
			return 0, TelnetUnfinished
		}
		return 3, TelnetText
	case p[1] < telnetEOF:
		return 0, TelnetText
	}
	return 2, TelnetText
}

// subnegotiation returns the length of the subnegotiation at the beginning of p; 0 if it is incomplete.
func subnegotiation(p []byte) int {
	for i := 2; i < min(len(p), maxSubnegotiation)-1; i++ {
		if p[i] == telnetIAC {
			if p[i+1] == telnetSE {
				return i + 2
			}
			i++ // IAC IAC is an escaped 0xff
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

// AppendTelnet appends the answer to the skipped commands: WONT TIMING-MARK to each DO TIMING-MARK. A telnet
// client sends that after Ctrl-C, and prints nothing until it is answered. Other requests need no answer: an
// option is off until both sides agree.
func AppendTelnet(dst, skipped []byte) []byte {
	for range bytes.Count(skipped, doTimingMark) {
		dst = append(dst, wontTimingMark...)
	}
	return dst
}
