package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"serverherd/herd"
)

func newStatus(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every server of herd.toml on one screen",
		Long: "Show every server of herd.toml: how long it is up, links live and expected,\n" +
			"records, and whether it holds the same as its neighbors; and below its address,\n" +
			"the digest of its records, and how far its neighbors' clocks are from its own.\n" +
			"LAG is how long the loop has kept waiting, and \"updates come in\" how long an\n" +
			"update took to come there, both of 99 % at most. The exit code is 1 if not all\n" +
			"is well. Servers that do not answer within --timeout are named on standard\n" +
			"error, too.",
		Example:           "  herd status\n  herd status --json",
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			answers := askAll(cfg, o.timeout)
			differ := digestsDiffer(answers)
			if differ {
				answers, differ = askAgain(cfg, answers, o.timeout)
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

// fullDigest stands for a digest where a server has dropped records: nobody compares with it.
const fullDigest = "full"

// digestsDiffer says whether those that answered hold different records.
func digestsDiffer(answers []answer) bool {
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

// isLive says whether a link is live in both directions. A plain neighbor connects when it has
// something to say.
func isLive(l herd.LinkStatus) bool {
	return l.State == "live" && l.Receiving || l.State == "plain"
}

// live counts the links that are live.
func live(s *herd.Status) (n int) {
	for _, l := range s.Links {
		if isLive(l) {
			n++
		}
	}
	return n
}

// allWell: every server that has a console answers, and nothing is wrong with it that wrong finds. Of a
// herd without any console nothing is known.
func allWell(answers []answer) bool {
	if !slices.ContainsFunc(answers, func(a answer) bool { return !a.Silent }) {
		return false
	}
	return !slices.ContainsFunc(answers, func(a answer) bool { return !a.Silent && (a.Status == nil || wrong(a.Status)) })
}

// wrong: a link is not live, a neighbor is known to disagree, this server or a neighbor lacks records, a clock is
// wrong, a name is claimed by two processes, or the disk, the log or the places need somebody now. What has
// only happened, and is counted, is not wrong.
func wrong(s *herd.Status) bool {
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

// statusWidth is how wide the table and what is below it are, errors aside.
const statusWidth = 80

func printStatus(out io.Writer, answers []answer, differ bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVER\tUP\tLINKS\tRECORDS\tCONNS\tREPLIES\tLAG\tAGREEMENT")
	answered, asked := 0, 0
	for _, a := range answers {
		s := a.Status
		if !a.Silent {
			asked++
		}
		if s == nil {
			fmt.Fprintf(w, "%s\tno: %s\n", a.Server, oneCell(a.Error))
			continue
		}
		answered++
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d\t%d\t%d\t%s\t%s\n", a.Server, uptime(s.Now.Sub(s.Started)),
			live(s), len(s.Links), s.Records, s.Connections, s.Counters.Replies,
			milliseconds(s.Loop.LagP99, s.Loop.LagP99 > 0), oneCell(agreement(s)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range answers {
		for _, text := range append(details(a.Status), remarks(a.Status)...) {
			fmt.Fprintf(out, "%s: %s\n", a.Server, oneCell(text))
		}
	}
	if differ {
		fmt.Fprintln(out, "the servers do not hold the same records")
	}
	_, err := fmt.Fprintf(out, "%d of %d answered\n", answered, asked)
	return err
}
