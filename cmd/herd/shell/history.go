package shell

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxHistory = 1000    // lines that are kept
	maxEntry   = 4 << 10 // bytes of a line of the history
)

// history has the lines of this session and of earlier ones, the oldest first. It implements term.History.
type history struct {
	lines []string
	file  string // "" if it is not saved
	// secret reports whether a line must not be kept.
	secret func(line string) bool
	err    error // why it is not saved
}

// StateFile returns the history file of the user: in $XDG_STATE_HOME, else in ~/.local/state. It returns "" if
// there is no home directory.
func StateFile() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // as the XDG Base Directory Specification says
		home, err := os.UserHomeDir()
		if err != nil || !filepath.IsAbs(home) {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "herd", "history")
}

// openHistory reads a history file. If it has many more lines than are kept, it is written again.
func openHistory(file string, secret func(line string) bool) *history {
	h := &history{file: file, secret: secret}
	if file == "" {
		return h
	}
	// #nosec G304 -- the user has named it, or it is in their home directory
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return h
	}
	if err != nil {
		h.fail(err)
		return h
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		h.keep(strings.TrimRight(line, "\n"))
	}
	if n > 2*maxHistory {
		h.fail(h.rewrite())
	}
	return h
}

func (h *history) fail(err error) {
	if err != nil {
		h.file, h.err = "", err
	}
}

// keep adds a line, unless it is not worth it.
func (h *history) keep(line string) bool {
	if strings.TrimSpace(line) == "" || len(line) > maxEntry || h.secret(line) || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return false
	}
	if h.lines = append(h.lines, line); len(h.lines) > maxHistory {
		h.lines = h.lines[1:]
	}
	return true
}

// rewrite replaces the file. Lines that another shell adds meanwhile are lost.
func (h *history) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(h.file), "history") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriter(f)
	for _, line := range h.lines {
		// #nosec G104 -- the error of a bufio.Writer stays until Flush, which handles it
		w.WriteString(line + "\n")
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), h.file)
}

// Add implements term.History.
func (h *history) Add(line string) {
	if line = strings.TrimRight(line, " "); h.keep(line) && h.file != "" {
		h.fail(h.save(line))
	}
}

// save appends a line to the file. Client ids are nobody else's business, so only the user can read it.
func (h *history) save(line string) error {
	if err := os.MkdirAll(filepath.Dir(h.file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(h.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// Len implements term.History.
func (h *history) Len() int { return len(h.lines) }

// At implements term.History.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// before returns the latest line before index that contains text, and its index; -1 if there is none. An index
// counts from the oldest line.
func (h *history) before(index int, text string) (string, int) {
	for i := index - 1; i >= 0; i-- {
		if strings.Contains(h.lines[i], text) {
			return h.lines[i], i
		}
	}
	return "", -1
}
