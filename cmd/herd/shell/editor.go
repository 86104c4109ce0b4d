package shell

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// editor reads lines from a terminal. The terminal is in raw mode only within read, so that output and Ctrl-C
// are as usual otherwise.
type editor struct {
	in, out   *os.File
	keys      keys
	history   *history
	completer *completer

	mu     sync.Mutex
	line   *term.Terminal
	cooked *term.State // to be restored; nil if the terminal is not in raw mode

	searched string // by Ctrl-R
	found    string
	index    int
}

func newEditor(in, out *os.File, h *history, c *completer) *editor {
	e := &editor{in: in, out: out, keys: keys{in: in}, history: h, completer: c}
	e.reset()
	return e
}

// reset makes the line empty.
func (e *editor) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.line = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{&e.keys, e.out}, "")
	e.line.History = e.history
	e.line.AutoCompleteCallback = e.key
}

const (
	tab   = '\t'
	ctrlC = 3
	ctrlE = 5
	ctrlR = 18
)

// errCleared is returned by read after Ctrl-C.
var errCleared = errors.New("the line was cleared")

// read shows a prompt and returns the line that is typed. The error is io.EOF after Ctrl-D.
func (e *editor) read(prompt string) (string, error) {
	if err := e.raw(); err != nil {
		return "", err
	}
	defer e.restore()
	e.line.SetPrompt(prompt)
	e.resize()
	line, err := e.line.ReadLine()
	switch {
	case errors.Is(err, errCleared):
		_, _ = io.WriteString(e.out, "^C\r\n")
		e.reset()
	case errors.Is(err, io.EOF):
		_, _ = io.WriteString(e.out, "\r\n")
	}
	return line, err
}

func (e *editor) raw() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	state, err := term.MakeRaw(int(e.in.Fd()))
	if err == nil {
		e.cooked = state
	}
	return err
}

// restore ends raw mode. Any goroutine.
func (e *editor) restore() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cooked != nil {
		_ = term.Restore(int(e.in.Fd()), e.cooked)
		e.cooked = nil
	}
}

// resize adapts to the terminal's size. Any goroutine.
func (e *editor) resize() {
	width, height, err := term.GetSize(int(e.out.Fd()))
	if err != nil || width < 1 {
		return
	}
	e.mu.Lock()
	line, raw := e.line, e.cooked != nil
	e.mu.Unlock()
	if raw {
		_ = line.SetSize(width, height)
	}
}

// width is that of the terminal.
func (e *editor) width() int {
	if width, _, err := term.GetSize(int(e.out.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// watch follows the size of the terminal, and restores it when a signal ends the process. interrupt is called at
// SIGINT: the terminal sends it for Ctrl-C only while no line is read.
func (e *editor) watch(interrupt func()) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGWINCH, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				switch s {
				case syscall.SIGWINCH:
					e.resize()
				case os.Interrupt:
					interrupt()
				default:
					e.restore()
					os.Exit(128 + int(s.(syscall.Signal)))
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// key handles a key that the line does not. It implements term.Terminal.AutoCompleteCallback.
func (e *editor) key(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	switch key {
	case tab:
		newLine, newPos, list := e.completer.complete(line, pos)
		if len(list) > 1 {
			if len(list) > maxListed {
				list = append(list[:maxListed:maxListed], "...")
			}
			_, _ = io.WriteString(e.line, strings.Join(columns(list, e.width()), "\n")+"\n")
		}
		return newLine, newPos, true
	case ctrlR:
		if line != e.found || e.found == "" { // a new search
			e.searched, e.index = line, e.history.Len()
		}
		if text, i := e.history.before(e.index, e.searched); i >= 0 {
			e.found, e.index = text, i
			return text, len(text), true
		}
		return line, pos, true
	}
	return "", 0, false
}

// keys reads what is typed, and makes Ctrl-C an error: the line editor would take it for Ctrl-D.
type keys struct {
	in   io.Reader
	rest []byte // was read and not returned
	end  bool   // the cursor was sent to the end of the line, because of the Ctrl-C that is first in rest
}

// Read implements io.Reader.
func (k *keys) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		n, err := k.in.Read(p)
		if n == 0 {
			return 0, err
		}
		k.rest = bytes.Clone(p[:n])
	}
	i := bytes.IndexByte(k.rest, ctrlC)
	switch {
	case i == 0 && !k.end:
		k.end = true
		p[0] = ctrlE
		return 1, nil
	case i == 0:
		k.end = false
		k.rest = k.rest[1:]
		return 0, errCleared
	case i < 0:
		i = len(k.rest)
	}
	n := copy(p, k.rest[:i])
	k.rest = k.rest[n:]
	return n, nil
}
