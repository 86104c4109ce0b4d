package lab

import (
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/term"
)

// terminalWidth is the width of a progress line on a terminal.
const terminalWidth = 80

// expectation is how long a run of a row takes, before any has ended.
type expectation struct {
	lengths float64       // multiples of Bench.Length
	more    time.Duration // the rest: start of servers, check at the end
}

// usual is the expectation of rows that do not state one.
var usual = expectation{1.25, 250 * time.Millisecond}

func (e expectation) of(length time.Duration) time.Duration {
	return time.Duration(e.lengths*float64(length)) + e.more
}

// progress prints a line for each run, with the elapsed and the remaining time. One goroutine.
type progress struct {
	out      io.Writer
	terminal bool // one line, which is overwritten
	now      func() time.Time
	begun    time.Time
	rows     []*pending
	written  int // length of the line on the terminal
}

// pending is the rest of a row.
type pending struct {
	name     string
	expected time.Duration // of a run
	runs     int           // in all
	done     int
	took     time.Duration // of those done
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, now: time.Now}
	p.terminal = isTerminal(out)
	p.begun = p.now()
	return p
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// add adds a row.
func (p *progress) add(name string, runs int, expected time.Duration) {
	p.rows = append(p.rows, &pending{name: name, runs: runs, expected: expected})
}

// total is the expected time of all rows.
func (p *progress) total() (sum time.Duration) {
	for _, r := range p.rows {
		sum += time.Duration(r.runs) * r.expected
	}
	return sum
}

// runs is the number of all runs.
func (p *progress) runs() (sum int) {
	for _, r := range p.rows {
		sum += r.runs
	}
	return sum
}

// remaining estimates the time of all runs that are left. A row with runs that are done goes on like these.
// Others take as many times longer than expected as all runs that are done together.
func (p *progress) remaining() (sum time.Duration) {
	var took, expected time.Duration
	for _, r := range p.rows {
		took += r.took
		expected += time.Duration(r.done) * r.expected
	}
	slower := 1.0
	if expected > 0 {
		slower = float64(took) / float64(expected)
	}
	for _, r := range p.rows {
		left := time.Duration(r.runs - r.done)
		if r.done > 0 {
			sum += left * (r.took / time.Duration(r.done))
		} else {
			sum += time.Duration(float64(left*r.expected) * slower)
		}
	}
	return sum
}

// ended counts a run, which may be one that was left out.
func (p *progress) ended(row string, took time.Duration) {
	for _, r := range p.rows {
		if r.name == row && r.done < r.runs {
			r.done++
			r.took += took
		}
	}
}

// completed counts a row whose last runs were left out.
func (p *progress) completed(row string) {
	for _, r := range p.rows {
		if r.name == row {
			r.runs = r.done
		}
	}
}

// starts prints the line of a run: its number in the study, the times, the row, and what is measured.
func (p *progress) starts(row string, r Run) {
	done, runs := 0, 0
	for _, x := range p.rows {
		done, runs = done+x.done, runs+x.runs
	}
	p.line(fmt.Sprintf("%d/%d, %s elapsed, %s left: %s, round %d, %s, %s", done+1, runs, clock(p.now().Sub(p.begun)),
		clock(p.remaining()), row, r.Round+1, r.Subject, r.Setting.Label))
}

// line prints a line that the next one overwrites on a terminal.
func (p *progress) line(text string) {
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	if runes := []rune(text); len(runes) >= terminalWidth {
		text = string(runes[:terminalWidth-4]) + "..."
	}
	fmt.Fprintf(p.out, "\r%-*s", p.written, text)
	p.written = len([]rune(text))
}

// message prints a line that stays.
func (p *progress) message(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear removes the line of a run from a terminal.
func (p *progress) clear() {
	if p.terminal && p.written > 0 {
		fmt.Fprint(p.out, "\r"+strings.Repeat(" ", p.written)+"\r")
		p.written = 0
	}
}

// clock formats a duration as minutes and seconds, or hours and minutes.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
