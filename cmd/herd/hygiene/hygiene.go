// Package hygiene is for tests of what shows text of others: client ids, lines, answers of consoles, errors of a
// provider. It has texts that a terminal, a browser, a parser or a person could take for something else.
package hygiene

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Texts are hostile texts. Each is a valid client id, of at most 1,024 bytes.
func Texts() []string {
	return []string{
		"kiwi",
		"\x00\x07\x08\x0b\x7f",                 // C0 and DEL
		"\u0080\u0085\u009b31m\u009d0;x\u009c", // C1 as UTF-8: NEL, CSI, OSC
		"\x9b2J\x85",                           // C1 as bytes
		"\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\\x1b[6n\x1bP+q\x1b\\",
		"gnp\u202eexe\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069",
		"a\u200b\u200c\u200d\u200e\u200fb\ufeffc\u2028\u2029d\u061c\u00ad\U000e0001\u00a0\u3000",
		"\xff\xfe\xe6\x9d\xf5\x80\xed\xa0\x80", // not UTF-8, a surrogate
		strings.Repeat("\x1b", 1024),
		strings.Repeat("\u202e", 341),
		"e" + strings.Repeat("\u0301", 511),
		"東京タワー😀Ａ",
		"<script>alert(1)</script><img/src=x/onerror=alert(1)>&lt;'\"`",
		`"},{"id":"x"}\u001b\x1b`,
		"=cmd|'/C'!A0", "%s%n%!d(string=x)", "../../etc/passwd", "${jndi:x}",
	}
}

// Mixed is all of Texts that are short, one behind the other, for tests that take long for each text. It is a valid id.
func Mixed() (all string) {
	for _, text := range Texts() {
		if len(text) < 100 {
			all += text
		}
	}
	return all
}

// Unescaped returns an error that names the first byte or character in output that should have been escaped. LFs and
// tabs may be there: they separate lines and columns, and a renderer that shows a text of one line escapes those of the
// text.
func Unescaped[T string | []byte](output T) error {
	text := string(output)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("byte %#x at %d of %.300q", text[i], i, text[max(0, i-40):])
		}
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return fmt.Errorf("%U at %d of %.300q", r, i, text[max(0, i-40):])
		}
		i += size
	}
	return nil
}

// Fill sets all strings and bytes in what v points to to text, in structs, maps, slices and pointers; those that are
// empty or nil get an element. Other values stay as they are.
func Fill(v any, text string) { fill(reflect.ValueOf(v).Elem(), text, 0) }

func fill(v reflect.Value, text string, depth int) {
	if !v.CanSet() || depth > 12 || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), text, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text, depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return
		}
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), text, depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text, depth+1)
		fill(value, text, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}
