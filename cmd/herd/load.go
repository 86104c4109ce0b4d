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
)

func newLoad(o *options) *cobra.Command {
	f := &loadFlags{}
	c := &cobra.Command{
		Use:   "load",
		Short: "Put a load on servers and say how they bore it",
		Long: "Put a load on servers: a closed loop, in which each connection sends the next\n" +
			"line when a reply comes, or with --rate an open one, in which lines are due\n" +
			"whatever the servers do and latencies count from the moment at which a line was\n" +
			"due. Ctrl-C ends it early and prints what there is. The exit code is 1 if\n" +
			"anything went wrong, or if a condition of --fail-if holds.\n\n" +
			"The clients that it moves stay in the herd, and servers that log every line log\n" +
			"all of this: it says on standard error which clients these are, where the logs\n" +
			"are and how fast they grow.",
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

// run does what the flags say.
func (f *loadFlags) run(c *cobra.Command) (err error) {
	ctx, stop := untilSignal()
	defer stop()
	errOut := direct(c.ErrOrStderr()) // progress is drawn
	onTerminal := isTerminal(errOut)
	say := func(text string) {
		if onTerminal {
			text = "\r\x1b[K" + text
		}
		fmt.Fprintln(errOut, text)
	}
	logs := lineLogs{cfg: f.herd, timeout: f.Timeout, say: say}
	begun := false
	f.OnSecond = func(s load.Second) {
		begun = true
		logs.second(s, f.Duration)
		if f.live || onTerminal {
			f.tell(errOut, onTerminal, s)
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
			f.left(say, logs.first.journaled(), missing, all)
		}()
	}
	if err != nil {
		return err
	}
	// The files come first: whoever reads standard output may have had enough, and then we end.
	if err := writeFiles(files, report, c.OutOrStdout()); err != nil {
		return err
	}
	if !f.toOut() {
		if err := report.WriteText(c.OutOrStdout()); err != nil {
			return err
		}
	}
	if f.findMax != "" {
		fmt.Fprintf(steps, "%s held up to %.0f lines/s, the highest rate of those tried\n", f.findMax, report.Rate)
	}
	if err := f.verdict(report); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New(f.covered(report))
	}
	return nil
}

// cutShort is the error of a load that may have been interrupted: its exit code is the signal's whatever
// else went wrong, for what is short of connections, replies or a rate may be so because of that.
func cutShort(ctx context.Context, err error) error {
	var interrupted *exitError
	if errors.As(context.Cause(ctx), &interrupted) && err != nil {
		return &exitError{interrupted.code, err.Error()}
	}
	return err
}

// covered says how much of a load that was interrupted the report is about.
func (f *loadFlags) covered(r *load.Report) string {
	switch {
	case f.findMax != "":
		return "interrupted: the rate is the highest of those tried so far"
	case r.Began.IsZero():
		return "interrupted in the warm-up: nothing was measured"
	}
	return fmt.Sprintf("interrupted: the report covers %.1f s of %v", r.Length.Seconds(), f.Duration)
}

// left names the clients that stay in the herd. Whether they do is unknown if no server of it answers,
// unless they are in journals.
func (f *loadFlags) left(say func(string), journaled bool, missing []string, all bool) {
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
	if journaled {
		say(fmt.Sprintf("%s %s in the herd and in its journals", ids, stay))
		return
	}
	if all {
		say(fmt.Sprintf("whether %s %s in the herd is unknown, because of %s", ids, stay, unanswering(missing)))
		return
	}
	say(fmt.Sprintf("%s %s in the herd; stop all its servers to forget them", ids, stay))
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// toOut says whether standard output is one of the files.
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
			err = fmt.Errorf("%s held at no rate", f.findMax)
		}
		return r, err
	}
	return load.Run(ctx, f.Options)
}

// tell prints how things go: a line, or on a terminal of 80 columns or more the same line again and
// again.
func (f *loadFlags) tell(w io.Writer, onTerminal bool, s load.Second) {
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
	// A line that reaches the edge goes on below it, and is not overwritten by the next.
	const width = 79
	line = line[:min(len(line), width)]
	if bar := min(width-len(line)-3, 20); bar > 4 {
		done := int(float64(bar) * min(s.At.Seconds()/all, 1))
		line = "[" + strings.Repeat("=", done) + strings.Repeat(" ", bar-done) + "] " + line
	}
	fmt.Fprint(w, "\r\x1b[K"+line)
}

// verdict is the error that makes the exit code.
func (f *loadFlags) verdict(r *load.Report) error {
	for _, text := range f.failIf {
		t, err := load.ParseThreshold(text)
		switch {
		case err != nil:
			return err
		case !t.Decidable(r):
			return fmt.Errorf("--fail-if %s: no reply was timed, and so nobody knows", text)
		case t.Holds(r):
			return fmt.Errorf("--fail-if %s: so it is", text)
		}
	}
	if n := r.All.Errors + r.All.Unanswered; n > 0 {
		return fmt.Errorf("%s, %s unanswered", load.Plural(r.All.Errors, "error", "errors"),
			load.Plural(r.All.Unanswered, "line", "lines"))
	}
	return nil
}
