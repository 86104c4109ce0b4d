package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"serverherd/herd"
)

// prefixed is one output for many writers, line by line, each with its name in front. It outlives
// a reader that goes away.
type prefixed struct {
	mu    sync.Mutex
	out   io.Writer
	width int
	color map[string]string
}

// colors are those of a terminal that are readable on dark and light ground.
var colors = []string{"36", "33", "32", "35", "34", "31"}

func newPrefixed(out io.Writer, servers []herd.ServerConfig) *prefixed {
	p := &prefixed{out: out, color: map[string]string{}}
	inColor := colored(out)
	for i, s := range servers {
		p.width = max(p.width, len(s.Name))
		if inColor {
			p.color[s.Name] = colors[i%len(colors)]
		}
	}
	return p
}

// say prints a remark of our own.
func (p *prefixed) say(text string) {
	for line := range strings.Lines(text) {
		p.line("herd", strings.TrimSuffix(line, "\n"))
	}
}

func (p *prefixed) line(name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	label := fmt.Sprintf("%-*s |", p.width, name)
	if color := p.color[name]; color != "" {
		label = "\x1b[" + color + "m" + label + "\x1b[0m"
	}
	_, _ = fmt.Fprintf(p.out, "%s %s\n", label, text)
}

// writer returns what takes the output of the server called name, to be closed after its last
// write.
func (p *prefixed) writer(name string) *lineWriter { return &lineWriter{out: p, name: name} }

// lineWriter hands text on line by line. One goroutine at a time.
type lineWriter struct {
	out  *prefixed
	name string
	tail []byte // of an unfinished line
}

// maxTail bounds an unfinished line, in bytes.
const maxTail = 64 << 10

// Write implements io.Writer. It never fails: a server outlives a terminal that is gone.
func (w *lineWriter) Write(text []byte) (int, error) {
	n := len(text)
	for {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		w.tail = append(w.tail, line...)
		if !whole && len(w.tail) < maxTail {
			return n, nil
		}
		w.flush()
		text = rest
	}
}

// Close hands on a last line without LF.
func (w *lineWriter) Close() {
	if len(w.tail) > 0 {
		w.flush()
	}
}

func (w *lineWriter) flush() {
	w.out.line(w.name, string(w.tail))
	w.tail = w.tail[:0]
}
