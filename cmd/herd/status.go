package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

func newStatus(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the status of every server in herd.toml",
		Long: "Show the status of every server in herd.toml: uptime, live and configured links,\n" +
			"records, open connections, replies, loop lag, and whether its records agree with\n" +
			"its neighbors'. Below the table: its address, the digest of its records, the\n" +
			"propagation delay of updates, the clock offsets of its neighbors, and warnings.\n" +
			"LAG and propagation are 99th percentiles. The exit code is 1 if a server does\n" +
			"not answer within --timeout or has a problem. Servers that do not answer are\n" +
			"also listed on standard error.",
		Example:           "  herd status\n  herd status --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			client := ask.New(ask.Options{Timeout: o.timeout})
			answers := ask.Statuses(context.Background(), client, cfg.Servers)
			differ := digestsDiffer(answers)
			if differ {
				answers, differ = askAgain(client, cfg, answers)
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(answers)
			} else {
				err = printStatus(c.OutOrStdout(), answers, differ)
			}
			if err == nil && (differ || !allWell(answers)) {
				err = &exitError{exitFailed, unanswered(answers)}
			}
			return err
		},
	}
	o.timeoutFlag(c, "how long to wait for each server")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of the servers' /status.json")
	return c
}

// unanswered lists the servers that did not answer, and why; "" if all did.
func unanswered(answers []ask.Status) string {
	var all []string
	for _, a := range answers {
		if a.Status == nil && !a.NoConsole {
			all = append(all, a.Server+": "+view.OneLine(a.Error))
		}
	}
	return strings.Join(all, "; ")
}

// settling is the pause before servers whose digests differ are asked again: an update may be on its way.
const settling = 500 * time.Millisecond

// askAgain distinguishes servers that disagree from servers that an update is on its way to. While a herd
// is written to, digests differ in any snapshot, but then the feeds move between two snapshots.
func askAgain(client *ask.Client, cfg *config.Config, before []ask.Status) (answers []ask.Status, differ bool) {
	time.Sleep(settling)
	answers = ask.Statuses(context.Background(), client, cfg.Servers)
	for i, a := range answers {
		if b := before[i].Status; a.Status != nil && b != nil && a.Status.Tail != b.Tail {
			return answers, false
		}
	}
	return answers, digestsDiffer(answers)
}

// fullDigest replaces the digest of a server that has dropped records beyond max_clients: its records are
// not compared.
const fullDigest = "full"

// digestsDiffer reports whether the servers that answered have different records.
func digestsDiffer(answers []ask.Status) bool {
	digest := ""
	for _, a := range answers {
		if a.Status == nil || a.Status.Digest == fullDigest {
			continue
		}
		if digest != "" && a.Status.Digest != digest {
			return true
		}
		digest = a.Status.Digest
	}
	return false
}

// isLive reports whether a link is live in both directions. A legacy neighbor (state "plain") connects only
// when it has something to send.
func isLive(l herd.LinkStatus) bool {
	return l.State == "live" && l.Receiving || l.State == "plain"
}

// live counts live links.
func live(s *herd.Status) (n int) {
	for _, l := range s.Links {
		if isLive(l) {
			n++
		}
	}
	return n
}

// allWell reports whether all servers with a console answered and none has a problem. It is false if no
// server has a console.
func allWell(answers []ask.Status) bool {
	if !slices.ContainsFunc(answers, func(a ask.Status) bool { return !a.NoConsole }) {
		return false
	}
	return !slices.ContainsFunc(answers, func(a ask.Status) bool { return !a.NoConsole && (a.Status == nil || hasProblem(a.Status)) })
}

// hasProblem reports whether a server has a problem now: a link is down, a neighbor has other records, this
// server or a neighbor is full, a clock is off, two processes use one name, or the journal, the log file or
// the places provider has an error. Past events, which are only counted, do not matter.
func hasProblem(s *herd.Status) bool {
	if live(s) < len(s.Links) || s.Digest == fullDigest || s.Log.Error != "" {
		return true
	}
	if j := s.Journal; j != nil && !j.OK {
		return true
	}
	if p := s.Places; p != nil && (p.File != nil && p.File.Refused != nil || p.Network != nil && p.Network.Budget.Error != "") {
		return true
	}
	return slices.ContainsFunc(s.Links, func(l herd.LinkStatus) bool {
		return l.DivergedSince != nil || l.Agreement == fullDigest || l.Duplicate != "" || l.Clock != nil && l.Clock.Wrong
	})
}

// statusWidth is the width of the table and the lines below it, except error messages.
const statusWidth = 80

func printStatus(out io.Writer, answers []ask.Status, differ bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVER\tUP\tLINKS\tRECORDS\tCONNS\tREPLIES\tLAG\tAGREEMENT")
	answered, consoles := 0, 0
	for _, a := range answers {
		s := a.Status
		if !a.NoConsole {
			consoles++
		}
		if s == nil {
			fmt.Fprintf(w, "%s\tno: %s\n", a.Server, view.OneLine(a.Error))
			continue
		}
		answered++
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d\t%d\t%d\t%s\t%s\n", a.Server, uptime(s.Now.Sub(s.Started)),
			live(s), len(s.Links), s.Records, s.Connections, s.Counters.Replies,
			milliseconds(s.Loop.LagP99, s.Loop.LagP99 > 0), view.OneLine(agreement(s)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range answers {
		for _, text := range append(details(a.Status), remarks(a.Status)...) {
			fmt.Fprintf(out, "%s: %s\n", a.Server, view.OneLine(text))
		}
	}
	if differ {
		fmt.Fprintln(out, "the servers do not have the same records")
	}
	_, err := fmt.Fprintf(out, "%d of %d answered\n", answered, consoles)
	return err
}
