package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
)

// Version is the protocol version in HELLO.
const Version = "herd/1"

// LinkVerb is the first field of a line between servers.
type LinkVerb uint8

// The verbs of links; herd/doc.go describes them.
const (
	LinkHello LinkVerb = iota + 1
	LinkChallenge
	LinkRefuse
	LinkProof
	LinkWelcome
	LinkAT
	LinkMark
	LinkAck
	LinkPing
	LinkPong
)

// Epoch identifies one process of a server: 8 random bytes, 16 hex digits on the wire. 0: none.
type Epoch uint64

// String returns the epoch as on the wire.
func (e Epoch) String() string { return string(appendHex64(nil, uint64(e))) }

// Digest is the sum of the hashes of a server's records: 16 hex digits on the wire.
type Digest uint64

// String returns the digest as on the wire.
func (d Digest) String() string { return string(appendHex64(nil, uint64(d))) }

// ParseDigest parses a digest as on the wire, 16 hex digits.
func ParseDigest(text string) (Digest, bool) {
	v, ok := parseHex64([]byte(text))
	return Digest(v), ok
}

// Nonce is random for each handshake: 32 hex digits on the wire.
type Nonce [16]byte

// Hello is the first line of a link. Its byte fields alias the line.
type Hello struct {
	Version, Herd, From, To []byte
	Epoch                   Epoch
	Nonce                   Nonce
}

// Welcome is the last line of a handshake.
type Welcome struct {
	Epoch      Epoch  // of the acceptor
	MAC        []byte // aliases the line
	SinceEpoch Epoch  // of the dialer; 0: the acceptor asks for everything
	SinceSeq   uint64 // the feed is requested from after this position
}

// Mark is how far the sender has sent its feed, and the state of its whole store, which may be further.
type Mark struct {
	Seq      uint64 // every record up to here was sent, or came from the receiver
	Tail     uint64 // end of the sender's feed
	Heard    uint64 // position in the receiver's feed up to which the sender has applied it
	HeardAny bool   // false: the sender has no such position for the receiver's process; "-" on the wire
	Count    uint64 // records in the sender's store
	Digest   Digest // of these records
	Full     bool   // "full" instead of a digest: the sender has dropped records
}

// LinkLine is a parsed line between servers. Only the fields of its Verb are set. Byte fields alias the line,
// and so does the record if the line has single spaces.
type LinkLine struct {
	Verb    LinkVerb
	Hello   Hello
	Nonce   Nonce  // CHALLENGE
	MAC     []byte // PROOF
	Welcome Welcome
	Record  Record // AT
	Sender  []byte // AT
	Mark    Mark
	N       uint64 // ACK: seq; PING, PONG: number
	Reason  []byte // REFUSE
}

// ErrLinkLine is returned by ParseLink for any invalid line.
var ErrLinkLine = errors.New("not a line between servers")

// ParseLink parses a line between servers, without its terminator. It does not allocate for AT (with single
// spaces), MARK, ACK, PING and PONG.
func ParseLink(line []byte) (l LinkLine, err error) {
	var f fields
	f.split(line)
	ok := false
	switch verb := f.at[0]; string(verb) {
	case "AT":
		l.Verb = LinkAT
		if f.n == 7 && validName(f.at[6]) {
			l.Record, ok = parseRecord(line, &f)
			l.Sender = f.at[6]
		}
	case "MARK":
		l.Verb = LinkMark
		ok = f.n == 6 && l.Mark.parse(&f)
	case "ACK":
		l.Verb = LinkAck
		ok = l.number(&f)
	case "PING":
		l.Verb = LinkPing
		ok = l.number(&f)
	case "PONG":
		l.Verb = LinkPong
		ok = l.number(&f)
	default:
		ok = l.parseHandshake(line, &f)
	}
	if !ok {
		return LinkLine{}, ErrLinkLine
	}
	return l, nil
}

// ParseLegacyAT parses an AT line of a server without the handshake. After the time there may be several
// senders: each server that forwarded the line has added its name, as in
//
//	AT Ball +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 Ball Alford
//
// The last sender is the one that wrote this line. It aliases the line, and so does the record if the line has
// single spaces.
func ParseLegacyAT(line []byte) (r Record, sender []byte, ok bool) {
	var f fields
	f.split(line)
	if f.n < maxFields || string(f.at[0]) != "AT" {
		return Record{}, nil, false
	}
	for i := f.start[maxFields-1]; i < len(line); {
		if isSpace(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if sender = line[start:i]; !validName(sender) {
			return Record{}, nil, false
		}
	}
	r, ok = parseRecord(line, &f)
	return r, sender, ok
}

func (l *LinkLine) number(f *fields) (ok bool) {
	if f.n != 2 {
		return false
	}
	l.N, ok = parseUint(f.at[1])
	return ok
}

// parseHandshake parses the lines that occur once per connection.
func (l *LinkLine) parseHandshake(line []byte, f *fields) bool {
	switch string(f.at[0]) {
	case "HELLO":
		l.Verb = LinkHello
		return f.n == 7 && l.Hello.parse(f)
	case "CHALLENGE":
		l.Verb = LinkChallenge
		return f.n == 2 && parseNonce(&l.Nonce, f.at[1])
	case "PROOF":
		l.Verb = LinkProof
		l.MAC = f.at[1]
		return f.n == 2 && validMAC(f.at[1])
	case "WELCOME":
		l.Verb = LinkWelcome
		return f.n == 5 && l.Welcome.parse(f)
	case "REFUSE":
		l.Verb = LinkRefuse
		_, reason, _ := bytes.Cut(line, f.at[0])
		// #nosec G115 -- r is below 0x80
		l.Reason = bytes.TrimFunc(reason, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) })
		return f.n >= 2
	}
	return false
}

func (h *Hello) parse(f *fields) (ok bool) {
	h.Version, h.Herd, h.From, h.To = f.at[1], f.at[2], f.at[3], f.at[4]
	h.Epoch, ok = parseEpoch(f.at[5])
	return ok && validName(h.Herd) && validName(h.From) && validName(h.To) &&
		parseNonce(&h.Nonce, f.at[6])
}

func (w *Welcome) parse(f *fields) (ok bool) {
	w.MAC = f.at[2]
	if w.Epoch, ok = parseEpoch(f.at[1]); !ok || !validMAC(w.MAC) {
		return false
	}
	if w.SinceSeq, ok = parseUint(f.at[4]); !ok {
		return false
	}
	if string(f.at[3]) == "-" {
		return w.SinceSeq == 0
	}
	w.SinceEpoch, ok = parseEpoch(f.at[3])
	return ok
}

func (m *Mark) parse(f *fields) (ok bool) {
	if m.Seq, ok = parseUint(f.at[1]); !ok {
		return false
	}
	if m.Tail, ok = parseUint(f.at[2]); !ok {
		return false
	}
	if string(f.at[3]) != "-" {
		m.HeardAny = true
		if m.Heard, ok = parseUint(f.at[3]); !ok {
			return false
		}
	}
	if m.Count, ok = parseUint(f.at[4]); !ok {
		return false
	}
	if string(f.at[5]) == "full" {
		m.Full = true
		return true
	}
	d, ok := parseHex64(f.at[5])
	m.Digest = Digest(d)
	return ok
}

// AppendHello appends the first line of a link. This and the following functions end the line with CRLF.
func AppendHello(dst []byte, h Hello) []byte {
	dst = append(dst, "HELLO"...)
	for _, f := range [][]byte{h.Version, h.Herd, h.From, h.To} {
		dst = append(append(dst, ' '), f...)
	}
	dst = appendHex64(append(dst, ' '), uint64(h.Epoch))
	return crlf(hex.AppendEncode(append(dst, ' '), h.Nonce[:]))
}

// AppendChallenge appends the acceptor's nonce.
func AppendChallenge(dst []byte, n Nonce) []byte {
	return crlf(hex.AppendEncode(append(dst, "CHALLENGE "...), n[:]))
}

// AppendRefuse appends the end of a failed handshake.
func AppendRefuse(dst []byte, reason string) []byte {
	return crlf(append(append(dst, "REFUSE "...), reason...))
}

// AppendProof appends the dialer's proof.
func AppendProof(dst, mac []byte) []byte {
	return crlf(append(append(dst, "PROOF "...), mac...))
}

// AppendWelcome appends the acceptor's proof and resume point.
func AppendWelcome(dst []byte, w Welcome) []byte {
	dst = appendHex64(append(dst, "WELCOME "...), uint64(w.Epoch))
	dst = append(append(dst, ' '), w.MAC...)
	return crlf(w.appendSince(dst))
}

// Unsigned returns the part of the WELCOME line that its MAC covers: all but the MAC.
func (w Welcome) Unsigned() string {
	return string(w.appendSince(appendHex64([]byte("WELCOME "), uint64(w.Epoch))))
}

func (w Welcome) appendSince(dst []byte) []byte {
	if w.SinceEpoch == 0 {
		return append(dst, " - 0"...)
	}
	dst = append(appendHex64(append(dst, ' '), uint64(w.SinceEpoch)), ' ')
	return strconv.AppendUint(dst, w.SinceSeq, 10)
}

// AppendMark appends a MARK.
func AppendMark(dst []byte, m Mark) []byte {
	dst = strconv.AppendUint(append(dst, "MARK "...), m.Seq, 10)
	dst = strconv.AppendUint(append(dst, ' '), m.Tail, 10)
	if m.HeardAny {
		dst = strconv.AppendUint(append(dst, ' '), m.Heard, 10)
	} else {
		dst = append(dst, " -"...)
	}
	dst = append(strconv.AppendUint(append(dst, ' '), m.Count, 10), ' ')
	if m.Full {
		return crlf(append(dst, "full"...))
	}
	return crlf(appendHex64(dst, uint64(m.Digest)))
}

// AppendAck appends an ACK.
func AppendAck(dst []byte, seq uint64) []byte { return appendNumber(dst, "ACK ", seq) }

// AppendPing appends a PING.
func AppendPing(dst []byte, n uint64) []byte { return appendNumber(dst, "PING ", n) }

// AppendPong appends a PONG.
func AppendPong(dst []byte, n uint64) []byte { return appendNumber(dst, "PONG ", n) }

func appendNumber(dst []byte, verb string, n uint64) []byte {
	return crlf(strconv.AppendUint(append(dst, verb...), n, 10))
}

func crlf(dst []byte) []byte { return append(dst, '\r', '\n') }
