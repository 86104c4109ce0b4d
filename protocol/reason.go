package protocol

import (
	"strconv"
	"time"
)

// SyntaxError is a mistake in a line whose verb is known. Its text is the reason sent to the client:
// VERB WHAT: detail.
type SyntaxError struct{ reason string }

// Error implements error.
func (e *SyntaxError) Error() string { return e.reason }

// Limits of what a reason quotes, in bytes.
const (
	maxQuoted  = 64  // of a request
	maxFailure = 256 // of a lookup error, which may quote the provider
)

// Printable returns text escaped as by %q, without quotes and what looks like a token, and cut at 64 bytes: safe for a
// reason, a log or a terminal.
func Printable(text []byte) string { return printable(redactMade(text), maxQuoted) }

// Escape returns text escaped as by %q, without quotes.
func Escape(text []byte) string { return printable(text, len(text)) }

func printable(text []byte, max int) string {
	q := strconv.Quote(string(text[:min(len(text), max)]))
	return q[1 : len(q)-1]
}

// All reasons, which are sent behind "> ", are made below.

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

// TimeAhead is the reason for a time more than max ahead of the server's clock.
func TimeAhead(text []byte, max time.Duration) error {
	return reason("IAMAT", "TIME",
		Printable(text)+" is more than "+max.String()+" ahead of this server")
}

// TooManyClients is the reason for an unknown client when the server already has max clients.
func TooManyClients(max int) error {
	return reason("IAMAT", "CLIENTS", "this server holds its maximum of "+strconv.Itoa(max))
}

// UnknownClient is the reason for a WHATSAT about a client without a record.
func UnknownClient(server string, client []byte) error {
	return reason("WHATSAT", "REQUEST", "There is no location data at server "+server+
		" for client "+Printable(client))
}

// BucketFailed is the reason for a WHATSAT about a client without a record if the bucket, where other herds may have
// put one, did not answer.
func BucketFailed(server string, client []byte) error {
	return reason("WHATSAT", "BUCKET", "There is no location data at server "+server+
		" for client "+Printable(client)+", and other herds could not be asked")
}

// PlacesFailed is the reason for a lookup that failed with err.
func PlacesFailed(err error) error {
	return reason("WHATSAT", "PLACES", printable([]byte(err.Error()), maxFailure))
}

// Busy is the reason for a lookup when the waiting queue is full.
var Busy error = reason("WHATSAT", "BUSY", "too many lookups")

func tokenTooLong() *SyntaxError { return reason("TOKEN", "TOKEN", tooLong(MaxToken)) }

// Reasons about tokens and rights. None of them says whether a token exists.
var (
	TokenRequired error = &SyntaxError{"TOKEN: required: the first line must be TOKEN and your token"}
	TokenRefused  error = &SyntaxError{"TOKEN: unknown or expired"}
	TokenExpired  error = &SyntaxError{"TOKEN: expired"}
	TokenRevoked  error = &SyntaxError{"TOKEN: revoked"}
	TokenLate     error = &SyntaxError{"TOKEN: no token came in time"}
	TokenTwice    error = &SyntaxError{"TOKEN: this connection has one already"}
	TLSRequired   error = &SyntaxError{"TLS: required: this server has no clients without it"}
	TokenUnused   error = &SyntaxError{"TOKEN: this server needs none"}
)

// NotAllowed is the reason for a command that a token has no right to.
func NotAllowed(verb, right string) error {
	return reason(verb, "TOKEN", "without the right "+strconv.Quote(right))
}

// OutsidePrefix is the reason for an IAMAT for a client that the token may not write.
func OutsidePrefix(prefix string) error {
	return reason("IAMAT", "TOKEN", "it may write only clients whose id begins with "+Printable([]byte(prefix)))
}

// Limit is the reason for a line or a connection beyond a limit: of is "address", "token" or "client", what is what is
// counted, as "lines a second".
func Limit(of string, most int, what string) error {
	return &SyntaxError{"LIMIT: more than " + strconv.Itoa(most) + " " + what + " of this " + of}
}

// lineTooLong is the reason for a line of more than max bytes.
func lineTooLong(max int) *SyntaxError {
	return &SyntaxError{"LINE: " + tooLong(max)}
}

// Unfinished is the reason for a line that was not terminated within limit.
func Unfinished(limit time.Duration) error {
	return &SyntaxError{"LINE: not finished within " + limit.String()}
}

// NotUTF8 is the reason for a connection that begins with a UTF-16 byte order mark.
var NotUTF8 error = &SyntaxError{"LINE: this is UTF-16; send UTF-8"}

// errServerFull is the reason for a connection beyond the maximum.
var errServerFull error = &SyntaxError{"SERVER FULL"}

// goodbye is the reply to quit.
const goodbye = "Goodbye"
