package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/study"
)

// maxRounds bounds --rounds.
const maxRounds = 1000

func newStudy(all *options) *cobra.Command {
	o := study.Options{}
	var list bool
	c := &cobra.Command{
		Use:   "study",
		Short: "Measure event loop and goroutines, flood and ask, and report",
		Long: "Run experiments on this machine and write a report with every figure, charts,\n" +
			"and conclusions that are computed by rules stated beforehand. Everything in\n" +
			"under an hour, --quick in two minutes. Servers and what loads them share the\n" +
			"machine: leave it alone meanwhile. Ctrl-C writes the report of what there is;\n" +
			"--only measures single rows again.",
		Example: "  herd study --quick\n  herd study --only throughput,memory --out report/\n" +
			"  herd study --from report/raw.json --out elsewhere/",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if list {
				return listRows(c.OutOrStdout())
			}
			if o.From != "" && (o.Quick || len(o.Only) > 0 || o.Rounds > 0) {
				return usage("--from measures nothing: --quick, --only and --rounds do not go with it")
			}
			if o.From != "" && !c.Flags().Changed("out") {
				o.Out = ""
			}
			return conductStudy(c, o)
		},
	}
	c.AddCommand(newBareServer(), newSlowServer(all))
	f := c.Flags()
	f.BoolVar(&o.Quick, "quick", false, "two minutes: fewer settings, too few runs to conclude from")
	listFlag(f, &o.Only, "only", ",", "rows as throughput,memory, see --list",
		"measure these `rows`; others stay in the report (see --list)", func(row string) bool { return row != "" })
	textFlag(f, &o.Out, "out", "report", "a folder", "`folder` of the report")
	textFlag(f, &o.From, "from", "", "a file", "make the report of this raw.json `file` and measure nothing")
	wholeFlag(f, &o.Rounds, "rounds", 0, 1, maxRounds, "rounds of each row (default 5, or 1 with --quick)")
	f.BoolVar(&list, "list", false, "list the rows")
	return c
}

// listRows prints what there is to measure.
func listRows(out io.Writer) error {
	for _, e := range study.All() {
		fmt.Fprintf(out, "%-16s %s\n", e.Name, e.Question)
	}
	return nil
}

// conductStudy runs it until it ends or a signal comes.
func conductStudy(c *cobra.Command, o study.Options) error {
	var err error
	if o.Herd, err = os.Executable(); err != nil {
		return err
	}
	o.Version, o.Progress = version(), c.ErrOrStderr()
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err = study.Conduct(ctx, o)
	if errors.Is(err, study.ErrUnknownRow) {
		return usage("--only: %s", strings.TrimSpace(err.Error()))
	}
	return err
}
