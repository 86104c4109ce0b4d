// Package style colors what commands print on a terminal. Only the 16 colors of the terminal's own theme are
// used, so that they are readable on dark and light backgrounds, and nothing is said by color alone.
package style

import (
	"image/color"
	"io"
	"os"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"serverherd/cmd/herd/view"
)

// Styles are the colors for one writer; the zero value has none. Text must be safe for a terminal.
type Styles struct{ colored bool }

// For returns the colors for a writer: none if it is no terminal, if NO_COLOR is set (https://no-color.org)
// or if TERM is dumb.
func For(w io.Writer) Styles { return Styles{Colored(w)} }

// Colored reports whether colors may be written to w.
func Colored(w io.Writer) bool {
	return IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

// Always returns colors for a writer that is known to take them.
func Always() Styles { return Styles{true} }

// Colored reports whether there are colors.
func (s Styles) Colored() bool { return s.colored }

// Level colors text by its level.
func (s Styles) Level(l view.Level, text string) string {
	switch l {
	case view.Good:
		return s.Color(lipgloss.Green, text)
	case view.Notice:
		return s.Color(lipgloss.Yellow, text)
	case view.Bad:
		return s.render(lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true), text)
	}
	return s.Faint(text)
}

// Faint is for what matters less.
func (s Styles) Faint(text string) string { return s.render(lipgloss.NewStyle().Faint(true), text) }

// Bold is for headings.
func (s Styles) Bold(text string) string { return s.render(lipgloss.NewStyle().Bold(true), text) }

// Color is for what has a color of its own.
func (s Styles) Color(c color.Color, text string) string {
	return s.render(lipgloss.NewStyle().Foreground(c), text)
}

func (s Styles) render(how lipgloss.Style, text string) string {
	if !s.colored || text == "" {
		return text
	}
	return how.Render(text)
}
