package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Options configure a study.
type Options struct {
	Herd     string    // the herd binary
	Against  string    // another herd binary for rows that compare two; "" for none
	Self     string    // the study binary, for its bare and slow servers
	Version  string    // version of the herd binary
	Other    string    // version of the other herd binary
	Out      string    // directory of the report
	Quick    bool      // fewer settings, shorter runs: two minutes
	Only     []string  // names of rows; empty for all that are not on demand
	From     string    // a raw.json to write the report of, instead of measuring; Out may be ""
	Rounds   int       // of each row; 0 for the default
	Progress io.Writer // for progress lines
}

const (
	fullRounds     = 5
	fullLength     = time.Second
	quickRounds    = 1
	quickLength    = 200 * time.Millisecond
	onDemandRounds = 1
)

// ErrInterrupted is the error of an interrupted study. The report so far has been written.
var ErrInterrupted = errors.New("interrupted; the report is incomplete")

// ErrUnknownRow is the error for an unknown row.
var ErrUnknownRow = errors.New("unknown row")

// ErrNotCompared is the error for another herd binary that no chosen row measures.
var ErrNotCompared = errors.New("no row that compares two binaries is chosen")

// Files of a report.
const (
	rawFile      = "raw.json"
	markdownFile = "report.md"
	chartFolder  = "charts"
)

// Conduct conducts the study and writes the report after each row. With Only, other rows of an existing
// report are kept.
func Conduct(ctx context.Context, o Options) error { return run(ctx, o, All()) }

func run(ctx context.Context, o Options, experiments []*Experiment) error {
	if o.From != "" {
		return reportAgain(o, experiments)
	}
	chosen, err := choose(experiments, o.Only)
	if err != nil {
		return err
	}
	if o.Against != "" && !slices.ContainsFunc(chosen, comparesBinaries) {
		return ErrNotCompared
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	results := &Results{Format: format}
	if len(o.Only) > 0 {
		if results, err = readResults(filepath.Join(o.Out, rawFile)); err != nil {
			return err
		}
	}
	results.Rules = Rules
	fmt.Fprintln(o.Progress, "Rules for conclusions:")
	for _, rule := range Rules {
		fmt.Fprintln(o.Progress, "-", rule)
	}
	failed := 0
	for _, e := range chosen {
		data := conductRow(ctx, o, e)
		results.put(data, names(experiments))
		if err := write(o.Out, results, experiments); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if noValues(data) {
			failed++
		}
	}
	fmt.Fprintf(o.Progress, "The report is in %s.\n", filepath.Join(o.Out, markdownFile))
	if failed > 0 {
		return fmt.Errorf("%d of %d rows have no figures; see the report", failed, len(chosen))
	}
	return nil
}

// reportAgain writes the report of an existing raw.json.
func reportAgain(o Options, experiments []*Experiment) error {
	if _, err := os.Stat(o.From); err != nil {
		return err
	}
	results, err := readResults(o.From)
	if err != nil {
		return err
	}
	out := o.Out
	if out == "" {
		out = filepath.Dir(o.From)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := write(out, results, experiments); err != nil {
		return err
	}
	fmt.Fprintf(o.Progress, "The report is in %s.\n", filepath.Join(out, markdownFile))
	return nil
}

// choose finds rows by name. Without names it returns all that are not on demand.
func choose(experiments []*Experiment, only []string) ([]*Experiment, error) {
	var chosen []*Experiment
	if len(only) == 0 {
		for _, e := range experiments {
			if !e.OnDemand {
				chosen = append(chosen, e)
			}
		}
		return chosen, nil
	}
	for _, e := range experiments {
		if slices.Contains(only, e.Name) {
			chosen = append(chosen, e)
		}
	}
	for _, name := range only {
		if !slices.Contains(names(experiments), name) {
			return nil, fmt.Errorf("%w %q; rows are %s", ErrUnknownRow, name,
				strings.Join(names(experiments), ", "))
		}
	}
	return chosen, nil
}

func comparesBinaries(e *Experiment) bool { return slices.Contains(e.Subjects, otherHerd) }

func names(experiments []*Experiment) []string {
	var all []string
	for _, e := range experiments {
		all = append(all, e.Name)
	}
	return all
}

// conductRow runs one row.
func conductRow(ctx context.Context, o Options, e *Experiment) *Data {
	b := &Bench{Herd: o.Herd, Against: o.Against, Self: o.Self, Length: fullLength, Quick: o.Quick, Notes: Notes{}}
	rounds := fullRounds
	if o.Against == "" {
		e = without(e, otherHerd)
	}
	if o.Quick {
		e, rounds, b.Length = quick(e), quickRounds, quickLength
	}
	if e.OnDemand {
		rounds = onDemandRounds
	}
	if e.Simulated {
		rounds, b.Length = fullRounds, 0
	}
	if o.Rounds > 0 {
		rounds = o.Rounds
	}
	data := &Data{
		Row: e.Row, Environment: newEnvironment(o.Version), Begun: time.Now().UTC(), Rounds: rounds,
		Length: b.Length, Quick: o.Quick,
	}
	data.Environment.Versions = versionsOf(e.Subjects)
	if slices.Contains(e.Subjects, otherHerd) {
		data.Environment.Against = o.Other
	}
	defer func() { data.Took = time.Since(data.Begun) }()
	c := &conductor{
		experiment: e, data: data, failures: map[[2]string]int{},
		one: func(ctx context.Context, r Run) (Values, error) { return one(ctx, e, b, r) },
		progress: func(done, of int, r Run) {
			fmt.Fprintf(o.Progress, "%s %s %d/%d: round %d, %s, %s\n", time.Now().Format(time.TimeOnly),
				e.Name, done+1, of, r.Round+1, r.Setting.Label, r.Subject)
		},
	}
	if err := prepare(ctx, e, b); err != nil {
		data.Skipped = append(data.Skipped, Skipped{Why: err.Error()})
	} else {
		c.conduct(ctx, rounds)
	}
	data.Notes = b.Notes
	maps.DeleteFunc(data.Notes, func(_ string, v float64) bool { return !isFigure(v) })
	for _, text := range troubles(data) {
		fmt.Fprintf(o.Progress, "%s: %s\n", e.Name, text)
	}
	return data
}

// quick returns the experiment with its quick settings only.
func quick(e *Experiment) *Experiment {
	q := *e
	q.Settings = slices.DeleteFunc(slices.Clone(e.Settings), func(s Setting) bool { return !s.Quick })
	return &q
}

// without returns the experiment without one of its subjects.
func without(e *Experiment, subject string) *Experiment {
	w := *e
	w.Subjects = slices.DeleteFunc(slices.Clone(e.Subjects), func(s string) bool { return s == subject })
	return &w
}

// prepare calls Experiment.Prepare, with retries.
func prepare(ctx context.Context, e *Experiment, b *Bench) error {
	if e.Prepare == nil {
		return nil
	}
	prepare := &Experiment{Measure: func(ctx context.Context, b *Bench, _ Run) (Values, error) {
		return nil, e.Prepare(ctx, b)
	}}
	for try := 1; ; try++ {
		_, err := one(ctx, prepare, b, Run{})
		if void, _ := classify(err); !void || try == maxTries {
			return err
		}
	}
}

// runTimeout is the timeout of a run, in addition to ten times the measured time.
const runTimeout = 90 * time.Second

// one does one run in a temporary directory. A panic counts as an error, so that the study continues.
func one(ctx context.Context, e *Experiment, b *Bench, r Run) (values Values, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, runTimeout)+10*b.Length)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	of := *b
	if of.Dir, err = os.MkdirTemp("", "herd-study"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(of.Dir)
	if values, err = e.Measure(ctx, &of, r); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(values) {
		if v := values[name]; !isFigure(v) {
			return nil, fmt.Errorf("invalid figure %s: %v", name, v)
		}
	}
	return values, nil
}

// isFigure reports whether v is finite, as JSON requires.
func isFigure(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func noValues(d *Data) bool {
	return !slices.ContainsFunc(d.Samples, func(s Sample) bool { return len(s.Values) > 0 })
}

// write writes the files of the report.
func write(out string, r *Results, experiments []*Experiment) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := save(filepath.Join(out, rawFile), raw); err != nil {
		return err
	}
	d := report(r, experiments)
	if err := os.MkdirAll(filepath.Join(out, chartFolder), 0o755); err != nil {
		return err
	}
	for file, svg := range d.charts() {
		if err := save(filepath.Join(out, file), svg); err != nil {
			return err
		}
	}
	return save(filepath.Join(out, markdownFile), d.markdown())
}
