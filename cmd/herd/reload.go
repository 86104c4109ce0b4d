package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/statusview"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
)

// reloadTimeout is --timeout of herd reload: a places file may have millions of places.
const reloadTimeout = time.Minute

func newReload(o *options) *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "reload [NAME...]",
		Short: "Make servers read their tokens, certificates and places again",
		Long: "Make the servers of herd.toml, or those named, read their files again, by their\n" +
			"consoles, all at once: the tokens, the certificates and the places file. A log\n" +
			"file that was moved is opened again. It is what SIGHUP does, with the result:\n" +
			"what is in force now, and what is wrong with a file. A file with a mistake\n" +
			"changes nothing. herd.toml itself is read at the start only.\n\n" +
			"Beyond loopback this needs a token with the right operate. The exit code is 1 if\n" +
			"a file was not accepted, a server does not answer within --timeout or does not\n" +
			"let the command in, or a server that is named has no console.",
		Example:           "  herd reload\n  herd reload Alford Ball\n  herd reload --json",
		Args:              arguments(0, -1),
		ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			servers, err := findAll(cfg, args)
			if err != nil {
				return err
			}
			client := o.operator(cfg, timeout)
			all := ask.Each(servers, func(s config.Server) reloadResult {
				a := ask.Change[console.Reloaded](context.Background(), client, s, http.MethodPost, "/reload", nil)
				return reloadResult{a.Server, a.NoConsole, a.Error, a.Code, a.Value}
			})
			if asJSON {
				err = printJSON(c.OutOrStdout(), all)
			} else {
				err = printReloads(direct(c.OutOrStdout()), all)
			}
			if err == nil && !allDone(all, len(args) > 0) {
				err = errFailed
			}
			return err
		},
	}
	durationFlag(c.Flags(), &timeout, "timeout", reloadTimeout, time.Millisecond, time.Hour, "how long to wait for each server")
	o.tokenFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print an array with the result of each server")
	return c
}

// change is what came of asking one server to change something.
type change interface {
	done() bool    // it has changed it
	skipped() bool // it has no console
}

// allDone reports whether all servers have done it, and there is one. Servers without a console count if they are named.
func allDone[T change](all []T, named bool) bool {
	some := false
	for _, a := range all {
		if !a.done() && (named || !a.skipped()) {
			return false
		}
		some = some || a.done()
	}
	return some
}

// reloadResult is what came of reloading one server. Its JSON is what herd reload --json prints.
type reloadResult struct {
	Server    string            `json:"server"`
	NoConsole bool              `json:"no_console,omitempty"` // none in herd.toml
	Error     string            `json:"error,omitempty"`      // why Reloaded is nil
	Code      int               `json:"-"`                    // of HTTP; 0 if there was no answer in time
	Reloaded  *console.Reloaded `json:"reloaded,omitempty"`
}

func (r reloadResult) done() bool    { return r.Reloaded != nil && r.Reloaded.OK }
func (r reloadResult) skipped() bool { return r.NoConsole }

// printReloads prints what is wrong, and a table with a row for each server.
func printReloads(out io.Writer, all []reloadResult) error {
	width, _ := terminalSize(out)
	s := statusview.Screen{Width: max(width, statusview.Narrowest), Styles: style.For(out)}
	_, err := fmt.Fprintln(out, strings.Join(reloadLines(s, all), "\n"))
	return err
}

func reloadLines(s statusview.Screen, all []reloadResult) []string {
	var problems, notes, lines []string
	columns := []view.Column{{Head: "SERVER"}, {Head: "RESULT"}, {Head: "LOG"}, {Head: "TOKENS", Right: true}, {Head: "CERTIFICATE"},
		{Head: "PLACES", Right: true}, {Head: "TOOK", Right: true}}
	var rows [][]string
	var levels []view.Level
	for _, a := range all {
		row := []string{view.OneLine(a.Server), "", "-", "-", "-", "-", "-"}
		level := view.Bad
		switch r := a.Reloaded; {
		case a.NoConsole:
			level, row[1] = view.Unknown, "no console"
			notes = append(notes, s.Wrapped(view.Unknown, "- ", a.Server+": "+a.Error+": send SIGHUP to its process")...)
		case r == nil:
			row[1] = statusview.Failure(a.Code)
			problems = append(problems, s.Wrapped(view.Bad, "! ", a.Server+": "+a.Error)...)
		default:
			row[1] = console.Failed
			switch {
			case r.OK:
				level, row[1] = view.Good, console.Reread
			case !slices.ContainsFunc(r.Parts, func(p console.ReloadedPart) bool { return p.What == console.Failed }):
				row[1] = console.Delayed
			}
			for _, part := range r.Parts {
				if part.Error != "" {
					problems = append(problems, s.Wrapped(view.Bad, "! ", fmt.Sprintf("%s: %s: %s", a.Server, part.Part, part.Error))...)
				}
				if column, ok := reloadColumns[part.Part]; ok {
					row[column] = reloadCell(part)
				}
			}
			row[6] = view.Latency(r.Took, true)
		}
		rows, levels = append(rows, row), append(levels, level)
	}
	if len(problems) > 0 {
		lines = append(problems, "")
	}
	s.Fit(columns, rows, 0, 1)
	lines = append(lines, view.Table(columns, rows, func(row, column int, text string) string {
		switch {
		case row < 0:
			return s.Faint(text)
		case column == 1:
			return s.Level(levels[row], text)
		case strings.TrimSpace(text) == console.Failed || strings.TrimSpace(text) == console.Delayed:
			return s.Level(view.Bad, text)
		}
		return text
	})...)
	if len(notes) > 0 {
		lines = append(append(lines, ""), notes...)
	}
	return lines
}

// reloadColumns are the columns of the parts.
var reloadColumns = map[string]int{
	console.LogPart: 2, console.TokensPart: 3, console.CertificatesPart: 4, console.PlacesPart: 5,
}

// reloadCell says what a reload did to a part: what is in force now, or that it failed.
func reloadCell(p console.ReloadedPart) string {
	const most = 11
	switch {
	case p.What == console.Delayed:
		return console.Delayed
	case p.Error != "" || p.What == console.Failed:
		return console.Failed
	case p.What == console.NotConfigured:
		return "-"
	case p.Count != nil:
		return view.Cut(view.Number(uint64(max(0, *p.Count))), most)
	case !p.Expires.IsZero():
		return "to " + p.Expires.Format(time.DateOnly)
	}
	return view.Cell(p.What, most)
}
