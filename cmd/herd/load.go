package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/view"
)

func newLoad(o *options) *cobra.Command {
	f := &loadFlags{}
	c := &cobra.Command{
		Use:   "load",
		Short: "Generate load and report throughput, latency and errors",
		Long: "Generate load and report throughput, latency and errors. By default it is a\n" +
			"closed loop: each connection sends the next request when it has a reply. With\n" +
			"--rate it is an open loop: requests are due at a fixed rate, and latency counts\n" +
			"from the time at which a request was due. Ctrl-C ends the run early and prints\n" +
			"the report so far. The exit code is 1 if there were errors or unanswered\n" +
			"requests, or if a --fail-if condition is met.\n\n" +
			"The clients that it updates stay in the herd, and servers with log.lines = true\n" +
			"log all requests and replies: standard error says which clients these are,\n" +
			"where the logs are and how fast they grow.",
		Example: "  herd load -c 50 -d 10s --pipeline 16\n" +
			"  herd load --servers all --rate 2000 --fail-if 'errors>0'\n" +
			"  herd load --mix iamat:whatsat=9:1\n" +
			"  herd load --servers Alford,Ball --replication",
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.read(o, c.Flags()); err != nil {
				return err
			}
			return f.run(c)
		},
	}
	f.define(c.Flags())
	o.serverFlags(c)
	o.timeoutFlag(c, "how long to wait for a connection, and for the next reply after the last line")
	return c
}

// run executes the command.
func (f *loadFlags) run(c *cobra.Command) (err error) {
	ctx, stop := untilSignal()
	defer stop()
	errOut := direct(c.ErrOrStderr()) // it draws a progress line
	onTerminal := isTerminal(errOut)
	say := func(text string) {
		text = view.OneLine(text)
		if onTerminal {
			text = "\r\x1b[K" + text
		}
		fmt.Fprintln(errOut, text)
	}
	logs := lineLogs{cfg: f.herd, client: f.asker, say: say}
	begun := false
	f.OnSecond = func(s load.Second) {
		begun = true
		logs.second(s, f.Duration)
		if f.live || onTerminal {
			f.progress(errOut, onTerminal, s)
		}
	}
	steps := c.OutOrStdout()
	if f.toOut() {
		steps = errOut
	}
	files, err := f.openFiles()
	if err != nil {
		return err
	}
	defer func() { err = cutShort(ctx, err) }()
	logs.begin()
	report, err := f.load(ctx, steps)
	if onTerminal {
		fmt.Fprint(errOut, "\r\x1b[K")
	}
	if begun || err == nil {
		defer func() {
			missing, all := logs.end()
			f.reportClients(say, logs.first.kept(), missing, all)
		}()
	}
	if err != nil {
		return err
	}
	// Files first: a closed standard output ends the command.
	if err := writeFiles(files, report, c.OutOrStdout()); err != nil {
		return err
	}
	if !f.toOut() {
		if err := report.WriteText(c.OutOrStdout()); err != nil {
			return err
		}
	}
	if f.findMax != "" {
		fmt.Fprintf(steps, "highest rate with %s of those tried: %.0f requests/s\n", f.findMax, report.Rate)
	}
	if err := f.verdict(report); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New(f.interrupted(report))
	}
	return nil
}

// cutShort gives the error of an interrupted run the signal's exit code, because the interruption may have
// caused the error.
func cutShort(ctx context.Context, err error) error {
	var interrupted *exitError
	if errors.As(context.Cause(ctx), &interrupted) && err != nil {
		return &exitError{interrupted.code, err.Error()}
	}
	return err
}

// interrupted says what the report of an interrupted run covers.
func (f *loadFlags) interrupted(r *load.Report) string {
	switch {
	case f.findMax != "":
		return "interrupted: the rate is the highest of those tried so far"
	case r.Began.IsZero():
		return "interrupted in the warm-up: nothing was measured"
	}
	return fmt.Sprintf("interrupted: the report covers %.1f s of %v", r.Length.Seconds(), f.Duration)
}

// reportClients says which clients stay in the herd. That is unknown if no server answers (all) and they are
// kept nowhere else.
func (f *loadFlags) reportClients(say func(string), kept string, missing []string, all bool) {
	n, first, last := f.Known()
	if f.replicated {
		n, first = 1, load.ReplicationID(&f.Options)
	}
	ids, stay := fmt.Sprintf("%s clients %s ... %s", thousands(n), first, last), "stay"
	switch n {
	case 0:
		return
	case 1:
		ids, stay = "client "+first, "stays"
	}
	reportStay(say, ids, stay, kept, missing, all)
}

// reportStay says whether clients stay in the herd.
func reportStay(say func(string), ids, stay string, kept string, missing []string, all bool) {
	if kept != "" {
		say(fmt.Sprintf("%s %s in the herd%s", ids, stay, kept))
		return
	}
	if all {
		say(fmt.Sprintf("unknown whether %s %s in the herd: %s", ids, stay, unanswering(missing)))
		return
	}
	say(fmt.Sprintf("%s %s in the herd until all its servers are stopped", ids, stay))
}

// thousands formats a number with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// toOut reports whether one of the files is standard output.
func (f *loadFlags) toOut() bool { return f.json == "-" || f.csv == "-" || f.hdr == "-" }

func (f *loadFlags) load(ctx context.Context, out io.Writer) (*load.Report, error) {
	switch {
	case f.replicated:
		return load.Replication(ctx, f.Options)
	case f.findMax != "":
		holds, err := load.ParseThreshold(f.findMax)
		if err != nil {
			return nil, err
		}
		r, err := load.FindMax(ctx, f.Options, holds, func(s string) { fmt.Fprintln(out, s) })
		switch {
		case err == nil && r.Rate == 0 && ctx.Err() != nil:
			err = errors.New("interrupted before a rate was found")
		case err == nil && r.Rate == 0:
			err = fmt.Errorf("--find-max: %s was not met at any rate tried", f.findMax)
		}
		return r, err
	}
	r, err := load.Run(ctx, f.Options)
	return r, target{tls: f.Targets[0].TLS}.withoutTLS(err)
}

// progress prints one line of progress. On a terminal, of at least 80 columns, it overwrites the previous
// one.
func (f *loadFlags) progress(w io.Writer, onTerminal bool, s load.Second) {
	phase := ""
	if s.Warmup {
		phase = " warm-up"
	}
	all := (f.Warmup + f.Duration).Seconds()
	line := fmt.Sprintf("%3.0f/%.0f s%s: %.0f replies/s, p50 %.3f, p99 %.3f ms, %s", s.At.Seconds(), all,
		phase, float64(s.Counts.Replies)/s.Length.Seconds(), s.Latency.P50*1e3, s.Latency.P99*1e3,
		load.Plural(s.Counts.Errors, "error", "errors"))
	if !onTerminal {
		fmt.Fprintln(w, line)
		return
	}
	// A line that wraps cannot be overwritten.
	const width = 79
	line = line[:min(len(line), width)]
	if bar := min(width-len(line)-3, 20); bar > 4 {
		done := int(float64(bar) * min(s.At.Seconds()/all, 1))
		line = "[" + strings.Repeat("=", done) + strings.Repeat(" ", bar-done) + "] " + line
	}
	fmt.Fprint(w, "\r\x1b[K"+line)
}

// verdict is the error that decides the exit code.
func (f *loadFlags) verdict(r *load.Report) error {
	for _, text := range f.failIf {
		t, err := load.ParseThreshold(text)
		switch {
		case err != nil:
			return err
		case !t.Decidable(r):
			return fmt.Errorf("--fail-if %s: no latency samples", text)
		case t.Holds(r):
			return fmt.Errorf("--fail-if condition met: %s (%s)", text, t.Value(r))
		}
	}
	if n := r.All.Errors + r.All.Unanswered; n > 0 {
		return fmt.Errorf("%s, %s unanswered", load.Plural(r.All.Errors, "error", "errors"),
			load.Plural(r.All.Unanswered, "request", "requests"))
	}
	return nil
}
