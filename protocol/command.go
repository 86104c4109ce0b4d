package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// Verb is the command of a client's line.
type Verb uint8

// The verbs of clients.
const (
	VerbUnknown Verb = iota // of the zero Command
	VerbIAMAT
	VerbWHATSAT
	VerbHelp
	VerbQuit
	VerbTOKEN
)

// Command is one parsed line of a client. Its byte fields alias the line.
type Command struct {
	Verb     Verb
	Client   []byte  // IAMAT, WHATSAT: client id
	Coords   []byte  // IAMAT: the position as the client wrote it
	Time     []byte  // IAMAT: the stamp as the client wrote it
	Lat, Lng float64 // IAMAT: degrees, north and east positive
	Stamp    Stamp   // IAMAT
	RadiusM  int     // WHATSAT: meters, 0 to 50000
	Bound    int     // WHATSAT: 0 to 20 results
	Token    []byte  // TOKEN: a secret, at most MaxToken bytes
}

// Limits of a WHATSAT, and the maximum length of a client id, in bytes.
const (
	MaxRadiusKM = 50
	MaxBound    = 20
	MaxClientID = 1024
	MaxToken    = 256 // bytes of a token
)

// ErrUnknownVerb is returned by Parse for a line whose first field is not a command, or that has no fields.
var ErrUnknownVerb = errors.New("unknown command")

// Parse parses a client's line, without its terminator. A client id may have up to maxClientID bytes. In
// CS131 the radius of a WHATSAT may have a fraction, and is rounded to meters. The error is ErrUnknownVerb or
// a *SyntaxError. Parse does not allocate unless it returns an error.
func (d Dialect) Parse(line []byte, maxClientID int) (Command, error) {
	var f fields
	f.split(line)
	switch string(f.at[0]) {
	case "IAMAT":
		return parseIAMAT(&f, maxClientID)
	case "WHATSAT":
		return d.parseWHATSAT(&f, maxClientID)
	case "help":
		return bareVerb(&f, VerbHelp)
	case "quit":
		return bareVerb(&f, VerbQuit)
	case "TOKEN":
		return parseTOKEN(&f)
	}
	return Command{}, ErrUnknownVerb
}

func bareVerb(f *fields, v Verb) (Command, error) {
	if f.n != 1 {
		return Command{}, wrongFields(string(f.at[0]), f.n, 1)
	}
	return Command{Verb: v}, nil
}

func parseTOKEN(f *fields) (c Command, err error) {
	c.Verb = VerbTOKEN
	switch {
	case f.n != 2:
		return c, wrongFields("TOKEN", f.n, 2)
	case len(f.at[1]) > MaxToken:
		return c, tokenTooLong()
	}
	c.Token = f.at[1]
	return c, nil
}

func parseIAMAT(f *fields, maxClientID int) (c Command, err error) {
	if f.n != 4 {
		return c, wrongFields("IAMAT", f.n, 4)
	}
	c = Command{Verb: VerbIAMAT, Client: f.at[1], Coords: f.at[2], Time: f.at[3]}
	if len(c.Client) > maxClientID {
		return c, clientTooLong("IAMAT", maxClientID)
	}
	var ok bool
	if c.Lat, c.Lng, ok = ParsePosition(c.Coords); !ok {
		return c, notPosition(c.Coords)
	}
	if c.Stamp, ok = ParseStamp(c.Time); !ok {
		return c, notTime(c.Time)
	}
	return c, nil
}

func (d Dialect) parseWHATSAT(f *fields, maxClientID int) (c Command, err error) {
	if f.n != 4 {
		return c, wrongFields("WHATSAT", f.n, 4)
	}
	c = Command{Verb: VerbWHATSAT, Client: f.at[1]}
	if len(c.Client) > maxClientID {
		return c, clientTooLong("WHATSAT", maxClientID)
	}
	var ok bool
	if c.RadiusM, ok = d.parseRadius(f.at[2]); !ok {
		return c, notInteger("RADIUS", f.at[2], MaxRadiusKM) // CS131 gives no reasons
	}
	if c.Bound, ok = parseSmall(f.at[3], MaxBound); !ok {
		return c, notInteger("BOUND", f.at[3], MaxBound)
	}
	return c, nil
}

// parseRadius parses kilometers from 0 to MaxRadiusKM, in CS131 with an optional fraction, and returns meters.
// The limit is exact: 50.0001 is refused, although it would round to 50000 m.
func (d Dialect) parseRadius(text []byte) (meters int, ok bool) {
	whole, fraction := cutDigits(text)
	km, ok := parseSmall(whole, MaxRadiusKM)
	if !ok || len(whole) == 0 {
		return 0, false
	}
	if len(fraction) == 0 {
		return km * 1000, true
	}
	if d != CS131 || !isFraction(fraction) ||
		km == MaxRadiusKM && len(bytes.Trim(fraction[1:], "0")) > 0 {
		return 0, false
	}
	for i := 1; i <= 3; i++ {
		meters *= 10
		if i < len(fraction) {
			meters += int(fraction[i] - '0')
		}
	}
	if len(fraction) > 4 && fraction[4] >= '5' {
		meters++
	}
	return km*1000 + meters, true
}

// parseSmall parses decimal digits with a value from 0 to max, which is small. An empty text is 0.
func parseSmall(text []byte, max int) (v int, ok bool) {
	for _, b := range text {
		if !isDigit(b) {
			return 0, false
		}
		if v = v*10 + int(b-'0'); v > max {
			return 0, false
		}
	}
	return v, true
}

// AppendLine appends the command as a client sends it, with single spaces and without a terminator. Parse of
// the same dialect returns an equal command.
func (c Command) AppendLine(dst []byte) []byte {
	switch c.Verb {
	case VerbIAMAT:
		dst = append(append(append(dst, "IAMAT "...), c.Client...), ' ')
		dst = append(append(append(dst, c.Coords...), ' '), c.Time...)
	case VerbWHATSAT:
		dst = append(append(append(dst, "WHATSAT "...), c.Client...), ' ')
		dst = strconv.AppendInt(dst, int64(c.RadiusM/1000), 10)
		if m := c.RadiusM % 1000; m > 0 {
			dst = append(dst, '.', byte('0'+m/100), byte('0'+m/10%10), byte('0'+m%10))
		}
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(c.Bound), 10)
	case VerbHelp:
		dst = append(dst, "help"...)
	case VerbQuit:
		dst = append(dst, "quit"...)
	case VerbTOKEN:
		dst = append(append(dst, "TOKEN "...), c.Token...)
	}
	return dst
}
