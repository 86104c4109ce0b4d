package protocol

import (
	"bytes"
	"strings"
	"testing"
)

// madeToken looks like one of herd token.
const madeToken = "herd_abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"

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

		"TOKN " + madeToken: "TOKN [redacted]",
		madeToken:           "[redacted]",
		"x=" + madeToken + "-_9;" + madeToken + "\r":     "x=[redacted];[redacted]\r",
		"herd_x " + madeToken + " y":                     "herd_x [redacted] y",
		"herd_" + madeToken:                              "[redacted]",
		"TOKEN " + madeToken + " x":                      "TOKEN [redacted]",
		madeToken[:len(madeToken)-1]:                     madeToken[:len(madeToken)-1],
		madeToken[:len(madeToken)-1] + "+":               madeToken[:len(madeToken)-1] + "+",
		"HERD_" + strings.TrimPrefix(madeToken, "herd_"): "HERD_" + strings.TrimPrefix(madeToken, "herd_"),
		"IAMAT herd_fleet/7 +1+2 3":                      "IAMAT herd_fleet/7 +1+2 3",
	} {
		if got := string(Redact([]byte(line))); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// A line with nothing to hide is not copied.
func TestRedactDoesNotCopy(t *testing.T) {
	for _, text := range []string{paperIAMAT, "nonsense", "IAMAT herd_fleet/7 +1+2 3", "TOKEN", ""} {
		line := []byte(text)
		if n := testing.AllocsPerRun(100, func() { line = Redact(line) }); n != 0 || string(line) != text {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// No reply repeats a token, whatever is wrong with its line.
func TestNoReplyRepeatsAToken(t *testing.T) {
	made := "herd_" + strings.Repeat("secret-", 7)
	for _, line := range []string{"TOKEN secret", "token secret", "TOKEN secret x", " TOKEN\vsecret", "TOKENsecret", "TOKEN " + string(bytes.Repeat([]byte("secret"), 60)),
		"TOKN " + made, "IAMAT kiwi " + made + " 5", "IAMAT kiwi +1-1 " + made, "WHATSAT kiwi " + made + " 5", "WHATSAT kiwi 5 " + made,
		"WHATSAT x" + made + " 5 5", "help " + made, made} {
		for _, d := range []Dialect{Paper, CS131} {
			_, err := d.Parse([]byte(line), MaxClientID)
			if err == nil {
				if err = TokenRefused; d == Paper && bytes.HasPrefix([]byte(line), []byte("WHATSAT")) {
					err = UnknownClient("Alford", []byte(strings.Fields(line)[1]))
				}
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
