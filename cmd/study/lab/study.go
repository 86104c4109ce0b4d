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
	fullRounds     = 10
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
	pageFile     = "report.html"
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
	p, now := newProgress(o.Progress), stated(".")
	announce(p, o, chosen, now)
	failed := 0
	for _, e := range chosen {
		data := conductRow(ctx, o, e, p)
		data.Stated = now
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
	p.message("Done in %s.", clock(p.now().Sub(p.begun)))
	written(o.Progress, o.Out)
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
	written(o.Progress, out)
	return nil
}

// announce says what is going to happen: the rules, where they can be checked, and how long it takes.
func announce(p *progress, o Options, chosen []*Experiment, now Stated) {
	p.message("Rules for conclusions:")
	for _, rule := range Rules {
		p.message("- %s", rule)
	}
	p.message("%s.", upper(now.text()))
	if !now.shown() {
		p.message("Nobody can check that rules that are not committed are older than the data. Commit them first.")
	}
	if command := now.command(); command != "" {
		p.message("To see them: %s", command)
	}
	for _, e := range chosen {
		e, rounds, length := planned(o, e)
		p.add(e.Name, len(plan(e, rounds)), cmp.Or(e.Expect, usual).of(length))
	}
	p.message("%d runs, about %s.", p.runs(), clock(p.total()))
}

// Planned is a row with what is known before it is run.
type Planned struct {
	*Experiment
	Runs int
	Time time.Duration // expected
}

// Plan returns all rows. Those that are on demand have the plan of a study that chooses them.
func Plan(o Options) (all []Planned) {
	for _, e := range All() {
		q, rounds, length := planned(o, e)
		runs := len(plan(q, rounds))
		all = append(all, Planned{e, runs, time.Duration(runs) * cmp.Or(q.Expect, usual).of(length)})
	}
	return all
}

// written prints the paths of all files of a report.
func written(out io.Writer, folder string) {
	fmt.Fprintln(out, "Written:")
	for _, file := range []string{markdownFile, pageFile, rawFile} {
		fmt.Fprintln(out, " ", filepath.Join(folder, file))
	}
	drawn, _ := filepath.Glob(filepath.Join(folder, chartFolder, "*.svg")) // the pattern is valid
	for _, file := range drawn {
		fmt.Fprintln(out, " ", file)
	}
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

// planned returns the part of a row that is measured, its rounds, and the time of a measurement.
func planned(o Options, e *Experiment) (of *Experiment, rounds int, length time.Duration) {
	rounds, length = cmp.Or(e.Rounds, fullRounds), fullLength
	if o.Against == "" {
		e = alone(e)
	}
	if o.Quick {
		e, rounds, length = quick(e), quickRounds, quickLength
	}
	if e.OnDemand {
		rounds = onDemandRounds
	}
	if e.Simulated {
		length = 0
		if rounds = fullRounds; o.Quick {
			rounds = enough // which are seeds
		}
	}
	return e, cmp.Or(o.Rounds, rounds), length
}

// conductRow runs one row.
func conductRow(ctx context.Context, o Options, e *Experiment, p *progress) *Data {
	e, rounds, length := planned(o, e)
	b := &Bench{Herd: o.Herd, Against: o.Against, Self: o.Self, Length: length, Quick: o.Quick, Notes: Notes{}}
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
		experiment: e, data: data, failures: map[[2]string]int{}, voids: map[[2]string]int{},
		one:    func(ctx context.Context, r Run) (Values, error) { return one(ctx, e, b, r) },
		starts: func(r Run) { p.starts(e.Name, r) },
		ended:  func(took time.Duration) { p.ended(e.Name, took) },
	}
	if err := prepare(ctx, e, b); err != nil {
		data.Skipped = append(data.Skipped, Skipped{Why: err.Error()})
	} else {
		c.conduct(ctx, rounds)
	}
	data.Notes = b.Notes
	maps.DeleteFunc(data.Notes, func(_ string, v float64) bool { return !isFigure(v) })
	p.completed(e.Name)
	p.clear()
	for _, text := range troubles(data) {
		p.message("%s: %s", e.Name, text)
	}
	return data
}

// quick returns the experiment with its quick settings only.
func quick(e *Experiment) *Experiment {
	q := *e
	q.Settings = slices.DeleteFunc(slices.Clone(e.Settings), func(s Setting) bool { return !s.Quick })
	return &q
}

// alone returns the experiment without another binary, and without the settings that are only for two.
func alone(e *Experiment) *Experiment {
	a := *e
	a.Subjects = slices.DeleteFunc(slices.Clone(e.Subjects), func(s string) bool { return s == otherHerd })
	a.Settings = slices.DeleteFunc(slices.Clone(e.Settings), func(s Setting) bool { return s.Compared })
	return &a
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
	folder := filepath.Join(out, chartFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	former, _ := filepath.Glob(filepath.Join(folder, "*.svg")) // the pattern is valid
	for _, file := range former {
		if _, ok := d.charts()[chartFolder+"/"+filepath.Base(file)]; !ok {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	for file, svg := range d.charts() {
		if err := save(filepath.Join(out, file), svg); err != nil {
			return err
		}
	}
	page, err := d.page()
	if err != nil {
		return err
	}
	if err := save(filepath.Join(out, pageFile), page); err != nil {
		return err
	}
	return save(filepath.Join(out, markdownFile), d.markdown())
}
