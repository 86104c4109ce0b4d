package protocol

import (
	"strconv"
	"time"
)

// SyntaxError is what is wrong with a line whose verb is known. Its text is the reason that the
// client gets, VERB WHAT: detail.
type SyntaxError struct{ reason string }

// Error implements error.
func (e *SyntaxError) Error() string { return e.reason }

// Bounds of what a reason repeats, in bytes.
const (
	maxQuoted  = 64  // of a request
	maxFailure = 256 // of why a lookup failed, which may repeat what somebody else answered
)

// Printable is text as %q prints the inside of a string, cut at 64 bytes: fit for a reason, a log
// or a terminal, whatever bytes it came from.
func Printable(text []byte) string { return printable(text, maxQuoted) }

func printable(text []byte, max int) string {
	q := strconv.Quote(string(text[:min(len(text), max)]))
	return q[1 : len(q)-1]
}

// The table of reasons. Whatever a server says after "> " is made here.

func reason(verb, what, detail string) *SyntaxError {
	return &SyntaxError{verb + " " + what + ": " + detail}
}

func wrongFields(verb string, got, want int) *SyntaxError {
	return reason(verb, "FIELDS", strconv.Itoa(got)+" instead of "+strconv.Itoa(want))
}

func clientTooLong(verb string, max int) *SyntaxError {
	return reason(verb, "CLIENT", tooLong(max))
}

func tooLong(max int) string { return "longer than " + strconv.Itoa(max) + " bytes" }

func notPosition(coords []byte) *SyntaxError {
	return reason("IAMAT", "POSITION", positionFault(coords))
}

func notTime(text []byte) *SyntaxError {
	return reason("IAMAT", "TIME", stampFault(text))
}

func notInteger(what string, text []byte, max int) *SyntaxError {
	return reason("WHATSAT", what,
		Printable(text)+" is not an integer from 0 to "+strconv.Itoa(max))
}

// TimeAhead is for a time more than max ahead of the server's clock.
func TimeAhead(text []byte, max time.Duration) error {
	return reason("IAMAT", "TIME",
		Printable(text)+" is more than "+max.String()+" ahead of this server")
}

// TooManyClients is for a client that is new to a server that holds max already.
func TooManyClients(max int) error {
	return reason("IAMAT", "CLIENTS", "this server holds its maximum of "+strconv.Itoa(max))
}

// UnknownClient is for a WHATSAT about a client that the server has no record of.
func UnknownClient(server string, client []byte) error {
	return reason("WHATSAT", "REQUEST", "There is no location data at server "+server+
		" for client "+Printable(client))
}

// PlacesFailed is for a lookup that ended with err.
func PlacesFailed(err error) error {
	return reason("WHATSAT", "PLACES", printable([]byte(err.Error()), maxFailure))
}

// Busy is for a lookup beyond those that may wait.
var Busy error = reason("WHATSAT", "BUSY", "too many lookups")

// lineTooLong is for a line of more than max bytes.
func lineTooLong(max int) *SyntaxError {
	return &SyntaxError{"LINE: " + tooLong(max)}
}

// Unfinished is for a line whose end did not come within a limit.
func Unfinished(limit time.Duration) error {
	return &SyntaxError{"LINE: not finished within " + limit.String()}
}

// NotUTF8 is for a connection that begins with the byte order mark of UTF-16.
var NotUTF8 error = &SyntaxError{"LINE: this is UTF-16; send UTF-8"}

// errServerFull is for a connection beyond those that a server takes.
var errServerFull error = &SyntaxError{"SERVER FULL"}

// goodbye is the answer to quit.
const goodbye = "Goodbye"
