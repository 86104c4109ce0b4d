package view

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"AT kiwi\n{ \"a\\b\": \"東京\" }": "AT kiwi\n{ \"a\\b\": \"東京\" }",
		"\x1b[31mred\x07":               `\x1b[31mred\a`,
		"gnp\u202eexe\xff\u00a0":        `gnp\u202eexe\xff\u00a0`,
		"a\r\tb":                        `a\r` + "\tb",
	} {
		if got := Escape(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "é": 1, "e\u0301": 1, "東京": 4, "ｱ": 1, "Ａ": 2, "☕": 2, "😀": 2, "שלום": 4, "…": 1,
	} {
		if got := Width(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":               "-",
		" \n":            "-",
		"東京タワー":          "東京…",
		"東京a":            "東京a",
		"abcde\u0301":    "abcde\u0301",
		"abcdef":         "abcd…",
		"\xff":           `\xff`,
		"a\x1b":          `a\x1b`,
		"\u2028\u00a0b":  `\u20…`,
		"東\u3000a\u00a0": "東 a ",
	} {
		if got := Cell(text, 5); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"abc":                "abc",
		"abc de fgh":         "abc de|fgh",
		"abcdefghijkl mn":    "abcdef|ghijkl|mn",
		"ab cdefghijkl":      "ab|cdefgh|ijkl",
		"東京タワー 東京":           "東京タ|ワー|東京",
		"a  b\n c":           "a b c",
		"e\u0301bcdef ghijk": "e\u0301bcdef|ghijk",
	} {
		if got := strings.Join(Wrap(text, 6), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := strings.Join(Wrap("東京", 1), "|"); got != "東|京" { // wider than there is room
		t.Error(got)
	}
}

// A console may send a word of a mebibyte: Wrap takes linear time.
func TestWrapALongWord(t *testing.T) {
	word := strings.Repeat("é", 1<<19)
	lines := Wrap(word, 76)
	if strings.Join(lines, "") != word || len(lines) != (1<<19+75)/76 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestTable(t *testing.T) {
	columns := []Column{{Head: "NAME"}, {Head: "N", Right: true}, {Head: "WHAT"}}
	rows := [][]string{{"東京", "1", "x"}, {"b", "1,000", ""}, {"c", "", ""}, {"e\u0301", "22", "yy"}}
	got := strings.Join(Table(columns, rows, func(row, column int, text string) string {
		if row == 1 && column == 0 {
			return "<" + text + ">"
		}
		return text
	}), "\n")
	want := "NAME      N  WHAT\n東京      1  x\n<b   >  1,000\nc\ne\u0301        22  yy"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
