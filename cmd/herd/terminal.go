package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// output is standard output or standard error, as commands write to them. On a terminal every
// character that does not print is escaped, wherever the text came from; a command that draws writes
// to direct. One goroutine at a time.
type output struct {
	w        io.Writer
	terminal bool
	tail     []byte // of a character that was cut
	err      error  // the first one
}

func newOutput(w io.Writer) *output { return &output{w: w, terminal: isTerminal(w)} }

// Write implements io.Writer. It remembers the first error, for writers that do not care.
func (o *output) Write(p []byte) (n int, err error) {
	n = len(p)
	if o.terminal {
		text := append(o.tail, p...)
		whole := len(text)
		for k := 1; k < utf8.UTFMax && k <= len(text); k++ { // the last character may be incomplete
			if utf8.RuneStart(text[len(text)-k]) {
				if !utf8.FullRune(text[len(text)-k:]) {
					whole -= k
				}
				break
			}
		}
		o.tail = append([]byte(nil), text[whole:]...)
		_, err = io.WriteString(o.w, forTerminal(string(text[:whole])))
	} else {
		n, err = o.w.Write(p)
	}
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// direct is what an output writes to, for a command that escapes what it shows by itself.
func direct(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return o.w
	}
	return w
}

// isTerminal says whether a person may be looking at what is written to w.
func isTerminal(w io.Writer) bool {
	f, isFile := direct(w).(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

// colored says whether what is written to w may have colors (https://no-color.org).
func colored(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// forTerminal is text with every character that does not print escaped, but for tabs and the
// ends of lines: an id may hold any byte, and a terminal obeys some of them.
func forTerminal(text string) string {
	clean := func(r rune) bool { return r == '\n' || r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if clean(r) {
			b.WriteString(text[:size])
		} else {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// oneCell is text as one cell of a table.
func oneCell(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(forTerminal(text))
}
