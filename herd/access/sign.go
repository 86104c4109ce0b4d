package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Question is one request of a console, or of a command that knows the herd's secret, to another console.
type Question struct {
	Server string // that is asked: its name in herd.toml
	Method string
	Target string // path and query, as they are sent
}

// Nonce makes each signature different.
type Nonce [16]byte

// SignatureAge is how far the time of a signature may be from the clock of the console that is asked, in either
// direction.
const SignatureAge = 30 * time.Second

// scheme is the authentication scheme of the Authorization header.
const scheme = "Herd-HMAC-SHA256"

// Sign returns the Authorization header of a question, signed by a herd's secret:
//
//	Herd-HMAC-SHA256 time=1790000000,nonce=2f...,mac=9a...
func Sign(secret string, q Question, now time.Time, nonce Nonce) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return fmt.Sprintf("%s time=%s,nonce=%x,mac=%x", scheme, at, nonce, mac(secret, q, at, nonce))
}

// mac is of one field per line. No field can have an LF: net/http refuses such methods and targets.
func mac(secret string, q Question, at string, nonce Nonce) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "herd console\n%s\n%s\n%s\n%s\n%x\n", q.Server, q.Method, q.Target, at, nonce)
	return h.Sum(nil)
}

// IsSignature reports whether an Authorization header is to be checked by Verify.
func IsSignature(header string) bool {
	return len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) && header[len(scheme)] == ' '
}

// The errors of Verify. They say what the operator has to look for.
var (
	ErrMalformed = errors.New("malformed signature")
	ErrSignature = errors.New("wrong signature: another secret, server, method, path or query")
	ErrAge       = errors.New("signature is too old or too new: the clocks differ by more than " + SignatureAge.String())
	ErrBefore    = errors.New("signature is from before this console started: a clock is behind, or it is used again")
)

// Verify checks the Authorization header of a question against any of the secrets. The caller refuses a nonce that it
// has seen before, within twice SignatureAge. What was signed before the second of since is refused: the caller began then,
// and knows no older nonces.
func Verify(secrets []string, q Question, header string, now, since time.Time) (nonce Nonce, err error) {
	if !IsSignature(header) {
		return nonce, ErrMalformed
	}
	var at string
	var sum []byte
	for i, field := range strings.Split(header[len(scheme)+1:], ",") {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case i == 0 && name == "time":
			at = value
		case i == 1 && name == "nonce" && len(value) == hex.EncodedLen(len(nonce)):
			_, err = hex.Decode(nonce[:], []byte(value))
		case i == 2 && name == "mac" && len(value) == hex.EncodedLen(sha256.Size):
			sum, err = hex.DecodeString(value)
		default:
			return nonce, ErrMalformed
		}
		if err != nil {
			return nonce, ErrMalformed
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != at || sum == nil {
		return nonce, ErrMalformed
	}
	valid := false
	for _, secret := range secrets {
		valid = hmac.Equal(sum, mac(secret, q, at, nonce)) || valid
	}
	if !valid {
		return nonce, ErrSignature
	}
	if age := now.Unix() - seconds; age > int64(SignatureAge/time.Second) || age < -int64(SignatureAge/time.Second) {
		return nonce, ErrAge
	}
	if seconds < since.Unix() {
		return nonce, ErrBefore
	}
	return nonce, nil
}
