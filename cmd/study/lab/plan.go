package lab

import (
	"context"
	"slices"
	"time"
)

// plan is the order of runs: rounds, then settings, then subjects, so that runs to compare are close in
// time. What a run leaves behind, such as logs that are still written, may slow the next one: each pair of rounds
// begins with another subject, and its second round has the opposite order.
func plan(e *Experiment, rounds int) []Run {
	var runs []Run
	for round := range rounds {
		first := round / 2 % len(e.Subjects)
		order := slices.Concat(e.Subjects[first:], e.Subjects[:first])
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, setting := range e.Settings {
			for _, subject := range order {
				if e.Excludes == nil || !e.Excludes(subject, setting) {
					runs = append(runs, Run{subject, setting, round})
				}
			}
		}
	}
	return runs
}

// maxTries is how often a void run is tried. maxFailures is how often a subject may fail at a setting
// before it is skipped there. It may have void rounds as long as there can be enough others for a verdict.
// A void run that took slowVoid is a failure.
const (
	maxTries    = 3
	maxFailures = 2
	slowVoid    = 30 * time.Second
)

// conductor executes the runs of one experiment. One goroutine.
type conductor struct {
	experiment *Experiment
	data       *Data
	failures   map[[2]string]int // by subject and setting
	voids      map[[2]string]int // rounds
	one        func(context.Context, Run) (Values, error)
	starts     func(r Run)
	ended      func(took time.Duration) // of a run, also one that was left out
}

// conduct executes all runs until ctx is done. It continues after failures.
func (c *conductor) conduct(ctx context.Context, rounds int) {
	missing := map[string]bool{}
	for _, subject := range c.experiment.Subjects {
		if c.experiment.Missing == nil {
			break
		}
		if why := c.experiment.Missing(subject); why != "" {
			missing[subject] = true
			c.data.Skipped = append(c.data.Skipped, Skipped{subject, why})
		}
	}
	mostVoid := max(maxFailures, rounds-enough+1)
	for _, r := range plan(c.experiment, rounds) {
		at := [2]string{r.Subject, r.Setting.Label}
		if missing[r.Subject] || c.failures[at] >= maxFailures || c.voids[at] >= mostVoid {
			c.ended(0)
			continue
		}
		if ctx.Err() != nil {
			c.data.Interrupted = true
			return
		}
		c.starts(r)
		begun := time.Now()
		c.run(ctx, r)
		c.ended(time.Since(begun))
	}
}

// run executes one run and repeats it if it is void.
func (c *conductor) run(ctx context.Context, r Run) {
	at := [2]string{r.Subject, r.Setting.Label}
	for try := 1; ; try++ {
		s := Sample{Subject: r.Subject, Setting: r.Setting.Label, Round: r.Round, Begun: time.Now().UTC().Truncate(time.Second)}
		begun := time.Now()
		values, err := c.one(ctx, r)
		void, cannot := classify(err)
		void = void && time.Since(begun) < slowVoid // what waits for its timeout is not tried again and again
		switch {
		case ctx.Err() != nil:
			c.data.Interrupted = true
			return
		case err == nil:
			s.Values = values
		case cannot:
			why := "at " + r.Setting.Label + ": " + err.Error()
			c.data.Skipped = append(c.data.Skipped, Skipped{r.Subject, why})
			c.failures[at] = maxFailures
			return
		case void:
			s.Void = err.Error()
		default:
			s.Error = err.Error()
		}
		c.data.Samples = append(c.data.Samples, s)
		switch {
		case err == nil:
			return
		case !void:
			c.failures[at]++
			return
		case try == maxTries:
			c.voids[at]++
			return
		}
	}
}
