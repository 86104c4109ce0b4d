// Package access says who may do what: tokens with rights, as clients and people have them (Tokens), and the
// signature by which one console of a herd asks another one (Sign, Verify). It keeps no state.
package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"serverherd/protocol"
)

// Right is what a token may do. Rights are combined by |.
type Right uint8

// The rights of a token.
const (
	Read    Right = 1 << iota // WHATSAT for any client
	Write                     // IAMAT for the clients of Token.Prefix
	Console                   // read everything that a console shows
	Operate                   // change something by a console
)

// rightNames are the names of rights in a tokens file, in the order of their bits.
var rightNames = [...]string{"read", "write", "console", "operate"}

// String returns the names of the rights, separated by commas.
func (r Right) String() string { return strings.Join(r.names(), ", ") }

func (r Right) names() (all []string) {
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return all
}

// Token is what a tokens file says about one token. It is not changed after it was read.
type Token struct {
	Name    string
	Hash    [sha256.Size]byte // of the token
	Rights  Right
	Prefix  string    // the ids that it may write begin with these bytes
	Expires time.Time // zero: never
}

// May reports whether the token has all of some rights.
func (t *Token) May(r Right) bool { return t.Rights&r == r }

// MayWrite reports whether the token may update a client. The prefix is compared byte by byte.
func (t *Token) MayWrite(id []byte) bool {
	return t.May(Write) && len(id) >= len(t.Prefix) && string(id[:len(t.Prefix)]) == t.Prefix
}

// Expired reports whether the token is not valid any more.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Line returns the line of a tokens file for the token, with LF.
func (t *Token) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s = { sha256 = %q, rights = [", t.Name, hex.EncodeToString(t.Hash[:]))
	for i, name := range t.Rights.names() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(name))
	}
	b.WriteString("]")
	if t.Prefix != "" {
		fmt.Fprintf(&b, ", prefix = %s", tomlString(t.Prefix))
	}
	if !t.Expires.IsZero() {
		fmt.Fprintf(&b, ", expires = %s", t.Expires.UTC().Format(time.RFC3339))
	}
	b.WriteString(" }\n")
	return b.String()
}

// New returns the text of a token made of random bytes. Scanners for leaked secrets find it by its mark.
func New(random [32]byte) string {
	return protocol.TokenMark + base64.RawURLEncoding.EncodeToString(random[:])
}

// Hash returns what a tokens file has of a token.
func Hash(token []byte) [sha256.Size]byte { return sha256.Sum256(token) }

// Tokens are the tokens of a file. They are not changed after they were read, so any goroutine may read them. A nil
// *Tokens has no token.
type Tokens struct {
	all    []*Token // in the order of the file
	byHash map[[sha256.Size]byte]*Token
}

// All returns the tokens in the order of the file.
func (ts *Tokens) All() []*Token {
	if ts == nil {
		return nil
	}
	return ts.all
}

// Find returns the token with a text; nil if there is none. What it takes depends on the SHA-256 of the text only, from
// which nothing about a valid token can be learned. The caller checks Expired.
func (ts *Tokens) Find(text []byte) *Token {
	if ts == nil {
		return nil
	}
	return ts.byHash[Hash(text)]
}

// Current returns the token with the same text as t, which may be from a former version of the file; nil if it is gone.
func (ts *Tokens) Current(t *Token) *Token {
	if ts == nil || t == nil {
		return nil
	}
	return ts.byHash[t.Hash]
}
