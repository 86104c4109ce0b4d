package lab

import (
	"context"
	"fmt"
	"math"
	"slices"

	"serverherd/cmd/herd/load"
)

// Series of latency: the peak that the rate is a percentage of.
const (
	ofAll     = "of the slowest one's peak"
	ofEngines = "of the slowest engine's peak"

	halfOfEngines = "50 % " + ofEngines
	halfOfAll     = "50 % " + ofAll
)

// latency measures latencies at a rate that all subjects sustain.
func latency() *Experiment {
	e := &Experiment{Section: SectionWaiting, Row: Row{
		Name:     "latency",
		Question: "How long does a reply take, at the same rate for all?",
		Method: "50 connections; lines are due at a fixed rate, whatever the server does, and the time " +
			"of a reply counts from when its line was due. Raw is from when it was sent. The rate is a " +
			"part of a peak that was found beforehand with a pipeline of 1: of the slowest of all, so " +
			"that all can bear it, and of the slowest of the herd's engines, without the others. Lines " +
			"are logged.",
		Variable: "% of the peak",
		Subjects: everyone(),
		Figures:  latencyFigures(),
	}}
	for _, series := range []string{ofAll, ofEngines} {
		for _, percent := range []float64{25, 50, 75} {
			if series == ofAll && percent != 50 {
				continue
			}
			e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v %% %s", percent, series), X: percent,
				Series: series, Quick: percent == 50})
		}
	}
	e.Missing = missing
	e.Excludes = func(subject string, s Setting) bool {
		return s.Series == ofEngines && !slices.Contains(engines, subject)
	}
	e.Prepare = func(ctx context.Context, b *Bench) error {
		b.Notes[ofAll], b.Notes[ofEngines] = math.Inf(1), math.Inf(1)
		for _, subject := range e.Subjects {
			if missing(subject) != "" {
				continue
			}
			peak, err := peakOf(ctx, b, subject)
			if err != nil && (ctx.Err() != nil || slices.Contains(engines, subject)) {
				return fmt.Errorf("the peak of %s: %w", subject, err)
			}
			if err != nil {
				continue // the rate may be more than it sustains, and then its runs are void
			}
			b.Notes["peak of "+subject+", replies/s"] = peak
			b.Notes[ofAll] = min(b.Notes[ofAll], peak)
			if slices.Contains(engines, subject) {
				b.Notes[ofEngines] = min(b.Notes[ofEngines], peak)
			}
		}
		return nil
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startAny(ctx, b, r.Subject, true)
		if err != nil {
			return nil, err
		}
		defer to.stop()
		rate := b.Notes[r.Setting.Series] * r.Setting.X / 100
		l, err := b.apply(ctx, to, load.Options{Connections: 50, Rate: rate})
		if err != nil {
			return nil, err
		}
		if l.perSecond() < 0.95*rate {
			return nil, Void("only %.0f of %.0f lines a second were answered", l.perSecond(), rate)
		}
		if slices.Contains(engines, r.Subject) {
			if err := to.verdict(ctx); err != nil {
				return nil, err
			}
		}
		return l.latency(), nil
	}
	return e
}

// peakOf is the throughput of a subject in a closed loop.
func peakOf(ctx context.Context, b *Bench, subject string) (float64, error) {
	to, err := startAny(ctx, b, subject, true)
	if err != nil {
		return 0, err
	}
	defer to.stop()
	l, err := b.applyAny(ctx, to, 50, 1)
	if err != nil {
		return 0, err
	}
	return l.perSecond(), nil
}

// latencyFigures are the figures of loaded.latency.
func latencyFigures() []Figure {
	return []Figure{
		{Name: "p50", Unit: "ms", Better: Lower},
		{Name: "p90", Unit: "ms"},
		{Name: "p99", Unit: "ms", Better: Lower, Chart: true, LogY: true},
		{Name: "p99.9", Unit: "ms"},
		{Name: "max", Unit: "ms"},
		{Name: "raw p50", Unit: "ms"},
		{Name: "raw p90", Unit: "ms"},
		{Name: "raw p99", Unit: "ms"},
		{Name: "raw p99.9", Unit: "ms"},
		{Name: "raw max", Unit: "ms"},
		{Name: "sent late, p99", Unit: "ms, of all lines"},
		{Name: "lines skipped", Unit: "% of those due"},
		{Name: "offered", Unit: "lines/s"},
	}
}

// latency returns latencies under the names of latencyFigures.
func (l loaded) latency() Values {
	r := l.report
	due := float64(r.All.Sent + r.All.Skipped)
	return Values{
		"p50": 1e3 * r.Latency.P50, "p90": 1e3 * r.Latency.P90, "p99": 1e3 * r.Latency.P99,
		"p99.9": 1e3 * r.Latency.P999, "max": 1e3 * r.Latency.Max,
		"raw p50": 1e3 * r.Raw.P50, "raw p90": 1e3 * r.Raw.P90, "raw p99": 1e3 * r.Raw.P99,
		"raw p99.9": 1e3 * r.Raw.P999, "raw max": 1e3 * r.Raw.Max,
		"sent late, p99": 1e3 * r.Lateness.P99, "lines skipped": 100 * float64(r.All.Skipped) / max(due, 1),
		"offered": r.Rate,
	}
}
