// Command study measures the herd's servers on each engine, servers on other event loops, and simulated
// herds, and writes a report. The rows and the report are package lab's; this is the command line, and
// the servers that the study starts as processes of its own: bare and slow-server.
//
//	study --quick                    two minutes, every row, too few runs for conclusions
//	study                            everything, under an hour
//	study --only memory,churn        those rows again, into the same report
//	study --from report/raw.json     the report again, from what was measured
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

	"serverherd/cmd/study/lab"
)

const help = `Run experiments on this machine and write a report with every figure, charts,
and conclusions that are computed by rules stated beforehand. Everything takes
under an hour, --quick two minutes. Servers and what loads them share the
machine: leave it alone meanwhile. Ctrl-C writes the report of what there is;
--only measures single rows again. It runs in a checkout, beside the herd binary.

Usage: study [flags]

`

// Exit codes, as herd has them.
const (
	exitFailed = 1
	exitUsage  = 2
)

// maxRounds bounds --rounds.
const maxRounds = 1000

// usageError is the error of a command line that means nothing.
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

// run is the program without its process.
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
	list := f.Bool("list", false, "list the rows")
	f.BoolVar(&o.Quick, "quick", false, "two minutes: fewer settings, too few runs to conclude from")
	f.Func("only", "measure these `rows`, separated by commas; others stay in the report", func(rows string) error {
		o.Only = append(o.Only, strings.Split(rows, ",")...)
		return nil
	})
	f.IntVar(&o.Rounds, "rounds", 0, "rounds of each row, up to 1000 (default 5, or 1 with --quick)")
	f.StringVar(&o.Out, "out", "", "`folder` of the report (default report, or that of --from)")
	f.StringVar(&o.From, "from", "", "make the report of this raw.json `file` and measure nothing")
	f.StringVar(&o.Herd, "herd", "", "herd `binary` to measure (default herd, beside this one)")
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
		return listRows(out)
	case given(f, "rounds") && (o.Rounds < 1 || o.Rounds > maxRounds):
		return usage("--rounds: want a whole number from 1 to %d, got %d", maxRounds, o.Rounds)
	case o.From != "" && (o.Quick || len(o.Only) > 0 || o.Rounds > 0):
		return usage("--from measures nothing: --quick, --only and --rounds do not go with it")
	}
	return conduct(o)
}

// parse is f.Parse with errors for people and nothing printed.
func parse(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return usage("%w; see study --help", err)
	}
	return err
}

// given says whether a flag stands on the command line.
func given(f *flag.FlagSet, name string) (is bool) {
	f.Visit(func(g *flag.Flag) { is = is || g.Name == name })
	return is
}

// listRows prints what there is to measure.
func listRows(out io.Writer) error {
	for _, e := range lab.All() {
		if _, err := fmt.Fprintf(out, "%-16s %s\n", e.Name, e.Question); err != nil {
			return err
		}
	}
	return nil
}

// conduct runs the study until it ends or a signal comes.
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
		if o.Version, err = versionOf(o.Herd); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err = lab.Conduct(ctx, o)
	if errors.Is(err, lab.ErrUnknownRow) {
		return usage("--only: %w", err)
	}
	return err
}

// versionOf asks the herd binary, which says "herd VERSION ...".
func versionOf(herd string) (string, error) {
	said, err := exec.Command(herd, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%w; make build makes a herd binary", err)
	}
	words := strings.Fields(string(said))
	if len(words) < 2 || words[0] != "herd" {
		return "", fmt.Errorf("%s is no herd binary: its version is %q", herd, said)
	}
	return words[1], nil
}
