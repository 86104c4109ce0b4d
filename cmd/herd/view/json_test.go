package view

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"
)

func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		"kiwi 東京 é <b>":                    `"kiwi 東京 é \u003cb\u003e"` + "\n",
		"a\x7fb\u009b31m\u202ec":           `"a\u007fb\u009b31m\u202ec"` + "\n",
		"\xffx\ufffd":                      `"\ufffdx` + "\ufffd\"\n",
		"\U000e0001\U0001f600\u2066\ufeff": `"\udb40\udc01` + "\U0001f600" + `\u2066\ufeff"` + "\n",
		"\u00a0":                           `"\u00a0"` + "\n",
	} {
		var got bytes.Buffer
		if err := NewJSON(&got).Encode(text); err != nil || got.String() != want {
			t.Errorf("%q: %q, %v, want %q", text, &got, err, want)
		}
	}
	if got := JSON([]byte("\"\xff\"")); string(got) != `"\ufffd"` {
		t.Errorf("%q", got)
	}
}

// The value does not change, and only printable characters are written.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"", "kiwi", "\x00\x7f\u0080\u202e\u2028\U000e0001\xff\xe6\x9d", "<>&\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got bytes.Buffer
		e := NewJSON(&got)
		e.SetIndent("", "\t")
		if err := e.Encode(map[string]string{s: s}); err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		clean := string([]rune(s))
		if err := json.Unmarshal(got.Bytes(), &back); err != nil || back[clean] != clean {
			t.Fatalf("%q became %q, %v", s, &got, err)
		}
		for _, r := range got.String() {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Fatalf("%q: %U in %q", s, r, &got)
			}
		}
	})
}
