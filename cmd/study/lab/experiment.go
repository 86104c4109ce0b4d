package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Experiment is one row of the study. The package documentation says how to add one.
type Experiment struct {
	Row

	Section Section // of the report
	// Simulated means that runs use virtual time and are valid on a busy machine. Rounds are seeds. A quick study
	// does enough of them for verdicts.
	Simulated bool
	// OnDemand means that the row runs only if --only names it, and once unless --rounds says otherwise: a run
	// takes minutes, or gigabytes.
	OnDemand bool
	// Rounds is the number of rounds instead of fullRounds; 0 for that.
	Rounds int
	// Expect is how long a run takes; zero for usual.
	Expect expectation
	// Timeout is the timeout of a run, in addition to ten times the measured time. 0 means runTimeout.
	Timeout time.Duration
	// Measure does one run of a subject at a setting and returns the values of its figures by name. It
	// stops when ctx is done. An error made by Void means that the run is invalid; any other error means
	// that it failed.
	Measure func(ctx context.Context, b *Bench, r Run) (Values, error)
	// Prepare, if not nil, is called before the first run, for values that all runs need.
	Prepare func(ctx context.Context, b *Bench) error
	// Missing says why a subject cannot run here and how to install it; "" if it can. Nil means that all
	// can.
	Missing func(subject string) string
	// Excludes reports whether a subject is not run at a setting. Nil means that all are.
	Excludes func(subject string, s Setting) bool

	// Summary says in sentences what the charts of the row do not show; "" for nothing. Nil means that it does not.
	Summary func(d *Data) string

	Targets []Target
	Guesses []Guess
	Growth  []Growth
}

// Row is the part of an experiment that is stored in raw.json.
type Row struct {
	Name     string `json:"name"` // for --only
	Question string `json:"question"`
	Method   string `json:"method"`   // description of a run, in a few sentences
	Variable string `json:"variable"` // the meaning and unit of Setting.X
	LogX     bool   `json:"log_x,omitempty"`
	// Categories means that the settings are not points of an axis: they have bars instead of a line.
	Categories bool      `json:"categories,omitempty"`
	Subjects   []string  `json:"subjects"`
	Settings   []Setting `json:"settings"`
	Figures    []Figure  `json:"figures"`
}

// Setting is one value of the variable. Charts connect the settings of a series.
type Setting struct {
	Label  string  `json:"label"` // unique in the row
	X      float64 `json:"x"`
	Series string  `json:"series,omitempty"`
	Quick  bool    `json:"-"` // part of a quick study
	// ByConstruction means that subjects are not compared here, as the experiment itself makes them alike or different.
	ByConstruction bool `json:"-"`
	// Compared means that the setting is measured only if there are two binaries to compare.
	Compared bool `json:"-"`
}

// Figure is one quantity that a run measures.
type Figure struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Better Better `json:"better,omitempty"`
	Chart  bool   `json:"chart,omitempty"`
	LogY   bool   `json:"log_y,omitempty"`
}

// Better says whether higher or lower values of a figure are better. Without it, subjects are not compared in
// the figure, for instance because the difference is true by construction.
type Better string

// The directions.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Run identifies one run.
type Run struct {
	Subject string
	Setting Setting
	Round   int // from 0
}

// Values are the figures of one run by name. Figures may be missing.
type Values map[string]float64

// Bench is shared by all runs.
type Bench struct {
	Herd    string        // the herd binary
	Against string        // another herd binary; "" for none
	Self    string        // the study binary
	Dir     string        // temporary directory of the run
	Length  time.Duration // of the measured time, without warm-up
	Quick   bool
	Notes   Notes
}

// Notes are values found by Prepare, such as the peak rate. They are stored with the figures.
type Notes map[string]float64

// runError is the error of a run that says nothing about its subject.
type runError struct {
	void bool // the run was invalid; else this machine cannot do it
	why  string
}

func (e *runError) Error() string { return e.why }

// Void makes the error of an invalid run: a wrong reply, servers that differ, dropped log entries.
func Void(format string, args ...any) error { return &runError{true, fmt.Sprintf(format, args...)} }

// Cannot makes the error of a run that exceeds a limit of this machine. It says what to raise.
func Cannot(format string, args ...any) error { return &runError{false, fmt.Sprintf(format, args...)} }

// classify reports whether an error was made by Void or Cannot.
func classify(err error) (void, cannot bool) {
	var r *runError
	if errors.As(err, &r) {
		return r.void, !r.void
	}
	return false, false
}

// Section is a part of the report, which is a question.
type Section string

// The sections, in the order of the report.
const (
	SectionServer      Section = "How many lines does one server take?"
	SectionWaiting     Section = "How long does a client wait?"
	SectionConnections Section = "What does a connection cost?"
	SectionPeers       Section = "Twisted, asyncio, Node.js and Redis"
	SectionFlooding    Section = "Flood or ask?"
	SectionHerd        Section = "What does a herd of five do?"
	SectionGrowth      Section = "What grows, and what breaks first?"
)

var sections = []Section{
	SectionServer, SectionWaiting, SectionConnections, SectionPeers, SectionFlooding, SectionHerd, SectionGrowth,
}
