package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// terminalSize is the size of a terminal; 80x24 if it is unknown.
func terminalSize(w io.Writer) (width, height int) {
	if f, ok := direct(w).(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}

// liveScreen redraws lines in place on a terminal. It uses the alternate screen, so that what was on the
// terminal is back at the end. The lines are safe for a terminal, and may have colors.
type liveScreen struct {
	out  io.Writer
	last []string
}

// Alternate screen and cursor, on and off.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// draw shows lines instead of the last ones, cut to the terminal's size.
func (s *liveScreen) draw(lines []string) error {
	text := "\x1b[H"
	if s.last == nil {
		text = enterScreen + text
	}
	s.last = lines
	width, height := terminalSize(s.out)
	if len(lines) > height {
		rest := fmt.Sprintf("... %d more lines", len(lines)-height+1)
		lines = append(lines[:height-1:height-1], rest)
	}
	for i, line := range lines {
		if i > 0 {
			text += "\r\n"
		}
		text += ansi.Truncate(line, width, "") + "\x1b[K"
	}
	_, err := io.WriteString(s.out, text+"\x1b[J")
	return err
}

// close restores the terminal and leaves the last lines on it.
func (s *liveScreen) close() error {
	if s.last == nil {
		return nil
	}
	_, err := io.WriteString(s.out, leaveScreen+strings.Join(s.last, "\n")+"\n")
	return err
}
