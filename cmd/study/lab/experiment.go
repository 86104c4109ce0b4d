package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Experiment is one row of the study. See the package's documentation for how to add one.
type Experiment struct {
	Row

	// Simulated says that a run takes no longer than its work, and is as good on a busy machine: a
	// quick study does as many rounds as a full one.
	Simulated bool
	// Measure does one run of a subject at a setting and returns a value for each figure that it
	// has, by name. It gives up when ctx is done. An error made by Void says that the run cannot
	// be trusted; any other that it did not come about.
	Measure func(ctx context.Context, b *Bench, r Run) (Values, error)
	// Prepare, if there is one, is called before the first run, for what all runs need to know.
	Prepare func(ctx context.Context, b *Bench) error
	// Missing says why a subject cannot be run here and what to do about it; "" where it can. Nil:
	// all can.
	Missing func(subject string) string
	// Excludes says that a subject is not to be run at a setting. Nil: all are, at all.
	Excludes func(subject string, s Setting) bool

	Targets []Target
	Guesses []Guess
	Growth  []Growth
}

// Row is what an experiment is about, as raw.json keeps it.
type Row struct {
	Name     string   `json:"name"` // as --only takes it
	Question string   `json:"question"`
	Method   string   `json:"method"`   // what a run does, in a sentence or two
	Variable string   `json:"variable"` // what the settings' X is, with its unit
	LogX     bool     `json:"log_x,omitempty"`
	Subjects []string `json:"subjects"`
	// Yardsticks are subjects that do less, or something else, than the others: they are measured
	// beside them, and do not take part in who is first.
	Yardsticks []string  `json:"yardsticks,omitempty"`
	Settings   []Setting `json:"settings"`
	Figures    []Figure  `json:"figures"`
}

// Setting is one value of the variable. Those of one series are joined in charts.
type Setting struct {
	Label  string  `json:"label"` // unique in the row
	X      float64 `json:"x"`
	Series string  `json:"series,omitempty"`
	Quick  bool    `json:"-"` // it is among those of a quick study
}

// Figure is one number that a run yields.
type Figure struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Better Better `json:"better,omitempty"`
	Chart  bool   `json:"chart,omitempty"`
	LogY   bool   `json:"log_y,omitempty"`
}

// Better is which of two values of a figure is the better one. A figure without is for looking at:
// nothing is concluded from it.
type Better string

// The directions.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Run is one run: what is measured of whom, for the how many-th time.
type Run struct {
	Subject string
	Setting Setting
	Round   int // from 0
}

// Values are the figures of one run, by name. One that is not there was not measured.
type Values map[string]float64

// Bench is what all runs share.
type Bench struct {
	Herd   string        // the herd binary
	Self   string        // the study's own
	Dir    string        // for files of one run; empty at its beginning, gone after it
	Length time.Duration // of what is measured, without the warm-up
	Quick  bool
	Notes  Notes
}

// Notes are what Prepare has found out, such as the rate of which a part is then offered to all.
// They are kept with the figures.
type Notes map[string]float64

// refusal is the error of a run that says nothing about its subject.
type refusal struct {
	void bool // it came about, and must not count; else it cannot be done here at all
	why  string
}

func (e *refusal) Error() string { return e.why }

// Void makes the error of a run that must not count: a wrong reply, servers that differ, log
// entries that were dropped.
func Void(format string, args ...any) error { return &refusal{true, fmt.Sprintf(format, args...)} }

// Cannot makes the error of a run that this machine does not allow, which says what to do about it.
func Cannot(format string, args ...any) error { return &refusal{false, fmt.Sprintf(format, args...)} }

// refused says whether an error was made by Void or Cannot.
func refused(err error) (void, cannot bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.void, !r.void
	}
	return false, false
}
