package main

import (
	"io"
	"unicode/utf8"

	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
)

// output is the standard output or standard error of a command. On a terminal it escapes all unprintable
// characters; commands that draw write to direct instead. One goroutine at a time.
type output struct {
	w        io.Writer
	terminal bool
	tail     []byte // the beginning of an incomplete character
	err      error  // the first write error
}

func newOutput(w io.Writer) *output { return &output{w: w, terminal: isTerminal(w)} }

// Write implements io.Writer. It keeps the first error, for callers that ignore errors.
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
		_, err = io.WriteString(o.w, view.Escape(string(text[:whole])))
	} else {
		n, err = o.w.Write(p)
	}
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// direct returns the writer behind an output, for commands that escape text themselves.
func direct(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return o.w
	}
	return w
}

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, value any) error {
	e := view.NewJSON(w)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool { return style.IsTerminal(direct(w)) }
