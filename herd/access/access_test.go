package access

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"serverherd/protocol"
)

var zero = hexOf(Hash([]byte("zero")))

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }

func TestParse(t *testing.T) {
	text := "# people\nalice = { sha256 = \"" + zero + "\", rights = [\"read\", \"write\"], prefix = \"fleet7/\", expires = 2026-12-01T00:00:00Z }\n" +
		"[grafana]\nsha256 = \"" + hexOf(Hash([]byte("two"))) + "\"\nrights = [\"console\"]\n"
	ts, err := Parse("tokens.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if all := ts.All(); len(all) != 2 || all[0].Name != "alice" || all[1].Name != "grafana" {
		t.Fatalf("%+v", all)
	}
	alice := ts.Find([]byte("zero"))
	if alice == nil || alice.Name != "alice" || alice.Rights != Read|Write || alice.Prefix != "fleet7/" ||
		!alice.Expires.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v", alice)
	}
	for _, wrong := range []string{"", "Zero", "zero ", zero, "zer"} {
		if found := ts.Find([]byte(wrong)); found != nil {
			t.Errorf("%q is %s", wrong, found.Name)
		}
	}
	if (*Tokens)(nil).Find([]byte("zero")) != nil || (*Tokens)(nil).Current(alice) != nil {
		t.Error("no tokens have a token")
	}
	again, err := Parse("x", []byte("bob = { sha256 = \""+zero+"\", rights = [\"read\"] }"))
	if err != nil || again.Current(alice) == nil || again.Current(alice).Name != "bob" || again.Current(ts.All()[1]) != nil {
		t.Error("current", again, err)
	}
}

func TestBadFiles(t *testing.T) {
	valid := "sha256 = \"" + zero + "\", rights = [\"write\"]"
	for text, want := range map[string]string{
		"herd_AAAA":                    "tokens.toml:1: not valid TOML",
		"\n\nx = {":                    "tokens.toml:3: not valid TOML",
		"x = 5":                        "tokens.toml:1: x: expected { sha256",
		"x = {}":                       "tokens.toml:1: x: sha256 is missing",
		"\nx = { sha256 = \"00\" }":    "tokens.toml:2: x: rights are missing: some of read, write",
		"x = { sha256 = 5 }":           "tokens.toml:1: x: expected",
		"\"a b\" = { " + valid + " }":  "tokens.toml:1: the name of a token",
		"x = { " + valid + ", a = 1 }": "tokens.toml:1: x: unknown key \"a\"",
		"x = { " + valid + ", expires = 0001-01-01T00:00:00Z }":      "tokens.toml:1: x: expires is the zero time",
		"x = { " + valid + ", expires = 0001-01-01T01:00:00+01:00 }": "tokens.toml:1: x: expires is the zero time",
		"x = { expires = 5 }":                                                                      "tokens.toml:1: x: expected",
		"x = { expires = \"tomorrow\"}":                                                            "tokens.toml:1: x: expected",
		"x = { " + valid + " }\ny = { " + valid + " }":                                             "tokens.toml:2: y: the same token as x",
		"x = { " + valid + ", prefix = \"a b\" }":                                                  "tokens.toml:1: x: prefix: no client id begins so: contains white space",
		"x = { sha256 = \"" + zero[1:] + "\", rights = [\"read\"] }":                               "tokens.toml:1: x: sha256 is not 64 hex digits",
		"x = { sha256 = \"" + strings.Repeat("x", 64) + "\", rights = [\"read\"] }":                "tokens.toml:1: x: sha256 is not",
		"x = { sha256 = \"" + zero + "\", rights = [\"Read\"] }":                                   "tokens.toml:1: x: unknown right \"Read\"",
		"x = { sha256 = \"" + zero + "\", rights = [\"read\"], prefix = \"a\" }":                   "tokens.toml:1: x: prefix requires",
		"x = { sha256 = \"" + zero + "\", rights = [\"read\"] }\nx = { sha256 = \"" + zero + "\"}": "tokens.toml:2: not valid TOML",
	} {
		if _, err := Parse("tokens.toml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("the error has the text of the file: %v", err)
		}
	}
}

// What Line writes, Parse reads.
func TestLine(t *testing.T) {
	for _, want := range []Token{
		{Name: "a", Rights: Read},
		{Name: "b", Rights: Read | Write | Console | Operate, Prefix: "fl\"eet\\7/\x7f\u202e", Expires: time.Unix(1790000000, 0).UTC()},
		{Name: "c", Rights: Write},
	} {
		want.Hash = Hash([]byte(want.Name))
		ts, err := Parse("x", []byte(want.Line()))
		if err != nil || len(ts.All()) != 1 || *ts.All()[0] != want || strings.Count(want.Line(), "\n") != 1 {
			t.Errorf("%s\n%v", want.Line(), err)
		}
	}
}

// A token that was made is found where it should not be.
func TestMadeTokensAreRedacted(t *testing.T) {
	for _, random := range [][32]byte{{}, {1, 2, 0xfb, 0xef, 0xff}} {
		if got := string(protocol.Redact([]byte("TOKN " + New(random)))); got != "TOKN [redacted]" {
			t.Error(got)
		}
	}
}

func TestRights(t *testing.T) {
	now := time.Unix(1790000000, 0)
	w := &Token{Rights: Write, Prefix: "fleet7/", Expires: now}
	for id, want := range map[string]bool{
		"fleet7/": true, "fleet7/a": true, "fleet7/../fleet8": true, "fleet7": false, "": false, "Fleet7/a": false,
		"\xef\xbb\xbffleet7/a": false, "fleet7%2fa": false, "fleet7\uff0fa": false, "fl\u0435et7/a": false, "\x00fleet7/a": false,
	} {
		if w.MayWrite([]byte(id)) != want {
			t.Errorf("%q", id)
		}
	}
	if (&Token{Rights: Read | Console | Operate}).MayWrite([]byte("x")) || !(&Token{Rights: Write}).MayWrite([]byte("x")) {
		t.Error("MayWrite without the right, or not with it")
	}
	if !w.Expired(now) || w.Expired(now.Add(-1)) || (&Token{}).Expired(now) {
		t.Error("expiry")
	}
	if w.May(Read|Write) || !w.May(Write) || (Read|Operate).String() != "read, operate" {
		t.Error("rights")
	}
}

func TestSignature(t *testing.T) {
	now := time.Unix(1790000000, 500)
	q := Question{"Alford", "GET", "/trace.json?id=a"}
	nonce := Nonce{1, 2}
	header := Sign("secret of the herd", q, now, nonce)
	if got, err := Verify([]string{"another", "secret of the herd"}, q, header, now.Add(30*time.Second), time.Time{}); err != nil || got != nonce {
		t.Fatal(got, err)
	}
	secrets := []string{"secret of the herd"}
	for _, other := range []Question{
		{"Ball", q.Method, q.Target}, {q.Server, "HEAD", q.Target}, {q.Server, q.Method, "/trace.json?id=b"},
		{q.Server, q.Method, "/trace.json"}, {q.Server + "\n" + q.Method, "", q.Target},
	} {
		if _, err := Verify(secrets, other, header, now, time.Time{}); err != ErrSignature {
			t.Error(other, err)
		}
	}
	for _, d := range []time.Duration{31 * time.Second, -31 * time.Second, 24 * time.Hour} {
		if _, err := Verify(secrets, q, header, now.Add(d), time.Time{}); err != ErrAge {
			t.Error(d, err)
		}
	}
	for since, want := range map[time.Duration]error{-time.Second: nil, 0: nil, 999 * time.Millisecond: nil, time.Second: ErrBefore} {
		if _, err := Verify(secrets, q, header, now.Add(10*time.Second), now.Truncate(time.Second).Add(since)); err != want {
			t.Errorf("since %v: %v", since, err)
		}
	}
	if _, err := Verify(nil, q, header, now, time.Time{}); err != ErrSignature {
		t.Error(err)
	}
	if _, err := Verify(secrets, q, strings.Replace(header, "nonce=01", "nonce=03", 1), now, time.Time{}); err != ErrSignature {
		t.Error(err)
	}
	if _, err := Verify(secrets, q, strings.Replace(header, "time=1790000000", "time=1790000001", 1), now, time.Time{}); err != ErrSignature {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "Bearer x", "Herd-HMAC-SHA256", "Herd-HMAC-SHA256 ", header + ",x=1", header + "0", strings.ToUpper(header),
		strings.Replace(header, "time=", "time=0", 1), strings.Replace(header, "time=", "time=+", 1), strings.Replace(header, "nonce", "none", 1),
		header[:len(header)-1], header[:strings.Index(header, ",mac")], "Herd-HMAC-SHA256 time=9999999999999999999999,nonce=,mac=",
	} {
		if _, err := Verify(secrets, q, bad, now, time.Time{}); err != ErrMalformed {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a = { sha256 = \"" + zero + "\", rights = [\"read\"] }")
	f.Fuzz(func(t *testing.T, text string) {
		ts, err := Parse("x", []byte(text))
		if (ts == nil) != (err != nil) {
			t.Fatal(ts, err)
		}
		for _, one := range ts.All() {
			if one.Rights == 0 || ts.byHash[one.Hash] != one {
				t.Fatalf("%+v", one)
			}
		}
	})
}
