package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"serverherd/protocol"
	"serverherd/protocol/bom"
)

// entry is the value of one key of a tokens file.
type entry struct {
	SHA256  *string    `toml:"sha256"`
	Rights  []string   `toml:"rights"`
	Prefix  *string    `toml:"prefix"`
	Expires *time.Time `toml:"expires"`
}

// Parse reads a tokens file: one key for each token, its name.
//
//	fleet7 = { sha256 = "5e88...", rights = ["write"], prefix = "fleet7/", expires = 2026-12-01T00:00:00Z }
//	grafana = { sha256 = "9f86...", rights = ["console"] }
//
// An error has the line if it is known. It never has the text of a line, which may be a token by mistake.
func Parse(file string, text []byte) (*Tokens, error) {
	fail := func(line int, format string, args ...any) (*Tokens, error) {
		where := file
		if line > 0 {
			where = fmt.Sprintf("%s:%d", file, line)
		}
		return nil, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
	}
	text, err := bom.Trim(text)
	if err != nil {
		return fail(0, "%v", err)
	}
	var doc map[string]toml.Primitive
	meta, err := toml.Decode(string(text), &doc)
	if err != nil {
		if p := (toml.ParseError{}); errors.As(err, &p) {
			return fail(p.Position.Line, "not valid TOML; a token's line is: NAME = { sha256 = \"...\", rights = [\"read\"] }")
		}
		return fail(0, "not valid TOML")
	}
	ts := &Tokens{byHash: make(map[[sha256.Size]byte]*Token)}
	for _, key := range meta.Keys() { // in the order of the file
		if len(key) != 1 {
			continue
		}
		name := key[0]
		line := lineOf(text, name)
		if !protocol.ValidName(name) {
			return fail(line, "the name of a token is a letter and up to 31 letters, digits, _ or -")
		}
		var e entry
		if err := meta.PrimitiveDecode(doc[name], &e); err != nil {
			return fail(line, "%s: expected { sha256 = \"...\", rights = [...], prefix = \"...\", expires = 2026-12-31T00:00:00Z }", name)
		}
		t, err := e.token(name)
		if err != nil {
			return fail(line, "%s: %v", name, err)
		}
		if other := ts.byHash[t.Hash]; other != nil {
			return fail(line, "%s: the same token as %s", name, other.Name)
		}
		ts.all, ts.byHash[t.Hash] = append(ts.all, t), t
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fail(lineOf(text, unknown[0][0]), "%s: unknown key %.32q; known keys: sha256, rights, prefix, expires",
			unknown[0][0], strings.Join(unknown[0][1:], "."))
	}
	return ts, nil
}

func (e *entry) token(name string) (*Token, error) {
	t := &Token{Name: name}
	switch {
	case e.SHA256 == nil:
		return nil, errors.New("sha256 is missing")
	case len(e.Rights) == 0:
		return nil, fmt.Errorf("rights are missing: some of %s", strings.Join(rightNames[:], ", "))
	}
	hash, err := hex.DecodeString(*e.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return nil, fmt.Errorf("sha256 is not %d hex digits", 2*sha256.Size)
	}
	t.Hash = [sha256.Size]byte(hash)
	if e.Expires != nil {
		if t.Expires = *e.Expires; t.Expires.IsZero() {
			return nil, errors.New("expires is the zero time: without expires, a token is valid until its line is removed")
		}
	}
	for _, right := range e.Rights {
		i := slices.Index(rightNames[:], right)
		if i < 0 {
			return nil, fmt.Errorf("unknown right %.16q; known rights: %s", right, strings.Join(rightNames[:], ", "))
		}
		t.Rights |= 1 << i
	}
	if e.Prefix != nil {
		t.Prefix = *e.Prefix
		if !t.May(Write) {
			return nil, errors.New(`prefix requires the right "write"`)
		}
		if err := protocol.CheckClientID([]byte(t.Prefix)); err != nil && t.Prefix != "" {
			return nil, fmt.Errorf("prefix: no client id begins so: %w", err)
		}
	}
	return t, nil
}

// lineOf returns the first line that begins with a name, from 1; 0 if there is none.
func lineOf(text []byte, name string) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimLeft(line, " \t[\"'")
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok && len(rest) > 0 && !isName(rest[0]) {
			return n
		}
	}
	return 0
}

func isName(b byte) bool {
	return b == '_' || b == '-' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// tomlString returns a TOML string.
func tomlString(text string) string {
	var b strings.Builder
	_ = toml.NewEncoder(&b).Encode(map[string]string{"x": text})
	return strings.TrimSpace(strings.TrimPrefix(b.String(), "x = "))
}
