package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
	"serverherd/herd/trace"
	"serverherd/protocol"
)

func newTrace(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "trace CLIENT",
		Short: "Show how a client's latest update spread from server to server",
		Long: "Show how a client's latest update spread: the tree of the servers, each below\n" +
			"the one that it had the update from, with the time since the first one had it,\n" +
			"and the AT lines that came twice. All consoles of herd.toml are asked for what\n" +
			"their flight recorders have about the update. Between machines a time contains\n" +
			"the difference of two clocks, and is printed with its uncertainty. The exit\n" +
			"code is 1 if no server knows the client, or if a server does not answer or is\n" +
			"behind.",
		Example:           "  herd trace kiwi.cs.ucla.edu\n  herd trace kiwi.cs.ucla.edu --json",
		Args:              arguments(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			id := []byte(args[0])
			if err := protocol.CheckClientID(id); err != nil {
				return usage("%v", err)
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(cfg.Servers, func(s config.Server) bool { return s.Console != "" }) {
				return &exitError{exitFailed, "no server has a console in herd.toml"}
			}
			client := o.asker(cfg, o.timeout)
			t, err := ask.Trace(cfg.Servers, id, func(s config.Server, hash uint64) trace.Answer {
				return client.Flood(c.Context(), s, id, hash)
			})
			if err != nil {
				return &exitError{exitFailed, fmt.Sprintf("%s: %v%s", protocol.Escape(id), err, traceErrors(t.Answers))}
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), t)
			} else {
				out := direct(c.OutOrStdout()) // it is in color, and escapes what others wrote
				err = printTrace(out, t.Tree, style.For(out))
			}
			if err == nil && !t.Complete() {
				err = errFailed
			}
			return err
		},
	}
	o.timeoutFlag(c, "how long to wait for each server")
	o.tokenFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the tree as JSON")
	return c
}

// traceErrors lists the servers that did not answer, to follow an error.
func traceErrors(answers []trace.Answer) string {
	var all []string
	for _, a := range answers {
		if a.Error != "" {
			all = append(all, view.OneLine(a.Server+": "+a.Error))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}

// traceWidth is the width of a trace: lines are broken before it.
const traceWidth = 80

func printTrace(out io.Writer, t *trace.Tree, s style.Styles) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", protocol.Escape(t.AT))
	rows := t.Rows()
	name := 0
	for i := range rows {
		r := &rows[i]
		r.Server = view.OneLine(r.Server)
		name = max(name, view.Width(r.Branch+r.Server))
	}
	for _, r := range rows {
		level := view.Good
		switch r.Node.Outcome {
		case trace.Behind, trace.Unanswered:
			level = view.Bad
		case trace.Superseded:
			level = view.Notice
		}
		lines := view.Wrap(view.OneLine(r.Text), max(traceWidth-name-2, 20))
		for i, line := range lines {
			if i > 0 {
				fmt.Fprintf(&b, "%*s  %s\n", name, "", line)
				continue
			}
			pad := strings.Repeat(" ", name-view.Width(r.Branch+r.Server))
			fmt.Fprintf(&b, "%s%s%s  %s\n", s.Faint(r.Branch), s.Level(level, r.Server), pad, line)
		}
	}
	fmt.Fprintln(&b)
	for _, line := range t.Summary() {
		fmt.Fprintln(&b, view.OneLine(line))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
