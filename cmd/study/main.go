// Command study measures the herd's servers on each engine, servers on other event loops, and simulated
// herds, and writes a report. Package lab has the rows and the report. This package has the command line,
// and the servers that the study starts as child processes: bare and slow-server.
//
//	study --quick                    two minutes, every row, too few runs for conclusions
//	study                            every row that is not on demand, about an hour
//	study --list                     what a study consists of, and how long each row takes
//	study --only memory,churn        measure these rows again, into the same report
//	study --from report/raw.json     write the report again, from the measured figures
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"serverherd/cmd/study/lab"
)

const help = `Run experiments on this machine and write a report: answers, charts and all
figures, with conclusions that are computed by rules stated beforehand. A full
study takes about an hour, --quick two minutes. Servers and load generators
share the machine: do not use it meanwhile. Ctrl-C writes the report so far.
--only measures single rows again. Run it in a checkout, so that the report
names the commit that holds the rules, and next to the herd binary.

Usage: study [flags]

`

// Exit codes, the same as herd's.
const (
	exitFailed = 1
	exitUsage  = 2
)

// maxRounds is the maximum of --rounds.
const maxRounds = 1000

// usageError is the error for an invalid command line.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "study: %v\n", err)
	if errors.As(err, &usageError{}) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

// run executes a command line.
func run(args []string, out, progress io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case lab.BareServer:
			return serveBare(args[1:])
		case lab.SlowServer:
			return serveSlow(args[1:])
		}
	}
	o := lab.Options{Progress: progress}
	f := flag.NewFlagSet("study", flag.ContinueOnError)
	list := f.Bool("list", false, "list the rows, with the number of runs and the expected time")
	f.BoolVar(&o.Quick, "quick", false, "two minutes: fewer settings, too few runs for conclusions")
	f.Func("only", "measure only these `rows`, separated by commas; other rows stay in the report", func(rows string) error {
		o.Only = append(o.Only, strings.Split(rows, ",")...)
		return nil
	})
	f.IntVar(&o.Rounds, "rounds", 0, "rounds of each row, up to 1000 (default 10, of some rows 5; 1 with --quick)")
	f.StringVar(&o.Out, "out", "", "`folder` of the report (default report, or that of --from)")
	f.StringVar(&o.From, "from", "", "write the report of this raw.json `file` without measuring")
	f.StringVar(&o.Herd, "herd", "", "herd `binary` to measure (default herd in the directory of this binary)")
	f.StringVar(&o.Against, "against", "", "another herd `binary`, such as an older one: the rows herd and copy measure it, too, in turn with\nthe first")
	if err := parse(f, args); errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, help)
		f.SetOutput(out)
		f.PrintDefaults()
		return err
	} else if err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return usage("unknown argument %q; see study --help", f.Arg(0))
	case *list:
		return listRows(out, o)
	case given(f, "rounds") && (o.Rounds < 1 || o.Rounds > maxRounds):
		return usage("--rounds: want a whole number from 1 to %d, got %d", maxRounds, o.Rounds)
	case o.From != "" && (o.Quick || len(o.Only) > 0 || o.Rounds > 0 || o.Against != ""):
		return usage("--from excludes --quick, --only, --rounds and --against: it does not measure")
	}
	return conduct(o)
}

// parse is f.Parse with a usageError and without output.
func parse(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return usage("%w; see study --help", err)
	}
	return err
}

// given reports whether a flag was given.
func given(f *flag.FlagSet, name string) (is bool) {
	f.Visit(func(g *flag.Flag) { is = is || g.Name == name })
	return is
}

// listRows prints all rows with what a study with these options does, and the sum.
func listRows(out io.Writer, o lab.Options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "RUNS\tTIME\t \tROW")
	var runs int
	var all time.Duration
	for _, p := range lab.Plan(o) {
		when := ""
		if p.OnDemand {
			when = " (only by --only)"
		} else {
			runs, all = runs+p.Runs, all+p.Time
		}
		fmt.Fprintf(w, "%d\t%v\t \t%s: %s%s\n", p.Runs, p.Time.Round(time.Second), p.Name, p.Question, when)
	}
	fmt.Fprintf(w, "%d\t%v\t \twithout those that need --only\n", runs, all.Round(time.Second))
	return w.Flush()
}

// conduct runs the study until it is done or interrupted.
func conduct(o lab.Options) (err error) {
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	if o.Out == "" && o.From == "" {
		o.Out = "report"
	}
	if o.From == "" {
		if o.Herd == "" {
			o.Herd = filepath.Join(filepath.Dir(o.Self), "herd")
		}
		if o.Herd, o.Version, err = herdBinary(o.Herd); err != nil {
			return err
		}
		if o.Against != "" {
			if o.Against, o.Other, err = herdBinary(o.Against); err != nil {
				return err
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program immediately
	err = lab.Conduct(ctx, o)
	if errors.Is(err, lab.ErrUnknownRow) {
		return usage("--only: %w", err)
	}
	if errors.Is(err, lab.ErrNotCompared) {
		return usage("--against: %w; see study --list", err)
	}
	return err
}

// herdBinary returns the absolute path of a herd binary, as runs have directories of their own, and its version.
// It runs herd version, which prints "herd VERSION ...".
func herdBinary(file string) (path, version string, err error) {
	out, err := exec.Command(file, "version").Output()
	if err != nil {
		return "", "", fmt.Errorf("%w; build a herd binary with make build", err)
	}
	words := strings.Fields(string(out))
	if len(words) < 2 || words[0] != "herd" {
		return "", "", fmt.Errorf("%s is not a herd binary: its version is %q", file, out)
	}
	if path, err = exec.LookPath(file); err == nil {
		path, err = filepath.Abs(path)
	}
	return path, words[1], err
}
