package protocol

import (
	"bytes"
	"testing"
)

func TestRedact(t *testing.T) {
	for line, want := range map[string]string{
		"":                         "",
		"IAMAT kiwi +1+2 3":        "IAMAT kiwi +1+2 3",
		"TOKEN":                    "TOKEN",
		"TOKE secret":              "TOKE secret",
		"TOKEN secret":             "TOKEN [redacted]",
		"TOKEN secret more":        "TOKEN [redacted]",
		"token secret":             "token [redacted]",
		" \t ToKeN\tsecret":        " \t ToKeN [redacted]",
		"TOKEN=secret":             "TOKEN [redacted]",
		"TOKENsecret":              "TOKEN [redacted]",
		"\xef\xbb\xbfTOKEN secret": "\xef\xbb\xbfTOKEN [redacted]",
		"\xff\xfd\x06TOKEN secret": "\xff\xfd\x06TOKEN [redacted]",
		"\xff\xfa\x1f\x00P\x00\x18\xff\xf0TOKEN secret": "\xff\xfa\x1f\x00P\x00\x18\xff\xf0TOKEN [redacted]",
		"\x00\x1b[TOKEN secret":                         "\x00\x1b[TOKEN [redacted]",
		"\"TOKEN secret\"":                              "\"TOKEN [redacted]",
		"IAMAT TOKEN +1+2 3":                            "IAMAT TOKEN +1+2 3",
	} {
		if got := string(Redact([]byte(line))); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// No reply repeats a token, whatever is wrong with its line.
func TestNoReplyRepeatsAToken(t *testing.T) {
	for _, line := range []string{"TOKEN secret", "token secret", "TOKEN secret x", " TOKEN\vsecret", "TOKENsecret", "TOKEN " + string(bytes.Repeat([]byte("secret"), 60))} {
		for _, d := range []Dialect{Paper, CS131} {
			_, err := d.Parse([]byte(line), MaxClientID)
			if err == nil {
				err = TokenRefused
			}
			l := []byte(line)
			for _, reply := range [][]byte{
				d.AppendUnknown(nil, l), d.AppendSyntaxError(nil, l, err), d.AppendRefusal(nil, l, err),
				d.AppendLineTooLong(nil, l, 10), d.AppendHelp(nil, l), d.AppendGoodbye(nil, l), d.AppendFinal(nil, err),
			} {
				if bytes.Contains(reply, []byte("secret")) {
					t.Errorf("%q: %q", line, reply)
				}
			}
		}
	}
}
