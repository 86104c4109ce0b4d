package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/load"
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

// answer is what one server's console says.
type answer struct {
	Server string       `json:"server"`
	Silent bool         `json:"no_console,omitempty"` // herd.toml gives it none
	Error  string       `json:"error,omitempty"`
	Status *herd.Status `json:"status,omitempty"`
}

// unanswered names the servers that did not answer, and why; "" if all did.
func unanswered(answers []answer) string {
	var all []string
	for _, a := range answers {
		if a.Status == nil && !a.Silent {
			all = append(all, a.Server+": "+oneCell(a.Error))
		}
	}
	return strings.Join(all, "; ")
}

// newConsoleClient makes a client that asks consoles directly, whatever proxy is configured.
func newConsoleClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
}

// askAll asks all consoles at once, each for as long as timeout.
func askAll(cfg *herd.Config, timeout time.Duration) []answer {
	answers := make([]answer, len(cfg.Servers))
	client := newConsoleClient(timeout)
	var group sync.WaitGroup
	for i, s := range cfg.Servers {
		answers[i].Server = s.Name
		if s.Console == "" {
			answers[i].Silent, answers[i].Error = true, "no console in herd.toml"
			continue
		}
		group.Go(func() {
			status, err := ask(client, s)
			if err != nil {
				answers[i].Error = err.Error()
				return
			}
			answers[i].Status = status
		})
	}
	group.Wait()
	return answers
}

func ask(client *http.Client, s herd.ServerConfig) (*herd.Status, error) {
	r, err := client.Get("http://" + s.Console + "/status.json")
	if os.IsTimeout(err) {
		return nil, fmt.Errorf("no answer at %s within %s", s.Console, plainDuration(client.Timeout))
	}
	if err != nil {
		return nil, fmt.Errorf("no answer at %s", s.Console)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s from %s", r.Status, s.Console)
	}
	var status herd.Status
	if err := json.NewDecoder(io.LimitReader(r.Body, 4<<20)).Decode(&status); err != nil {
		return nil, fmt.Errorf("console at %s: %w", s.Console, err)
	}
	if status.Server != s.Name {
		return nil, fmt.Errorf("%s answers at %s", status.Server, s.Console)
	}
	return &status, nil
}

// settling is how long an update may take to reach every server.
const settling = 500 * time.Millisecond

// askAgain tells servers that an update is on its way to from servers that disagree: the digests
// of a herd that is written to differ in any snapshot, but then its feeds move.
func askAgain(cfg *herd.Config, before []answer, timeout time.Duration) (answers []answer, differ bool) {
	time.Sleep(settling)
	answers = askAll(cfg, timeout)
	for i, a := range answers {
		if b := before[i].Status; a.Status != nil && b != nil && a.Status.Tail != b.Tail {
			return answers, false
		}
	}
	return answers, digestsDiffer(answers)
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

// agreement is a server's least happy neighbor, in a few words; its remarks have the rest.
func agreement(s *herd.Status) string {
	if s.Digest == fullDigest {
		return "full"
	}
	behind, oldest := uint64(0), time.Time{}
	full, never := false, false
	for _, l := range s.Links {
		behind = max(behind, l.Behind)
		switch {
		case l.DivergedSince != nil:
			return "diverged"
		case l.Agreement == fullDigest:
			full = true
		case l.Checked == nil:
			never = true
		case oldest.IsZero() || l.Checked.Before(oldest):
			oldest = *l.Checked
		}
	}
	age := s.Now.Sub(oldest)
	switch {
	case behind > 0:
		return fmt.Sprintf("behind by %d", behind)
	case full:
		return "neighbor full"
	case len(s.Links) == 0:
		return "alone"
	case never || oldest.IsZero():
		return "not compared"
	case age > herd.ComparisonAge:
		return "compared " + uptime(age) + " ago"
	}
	return fmt.Sprintf("in sync, %.0f s ago", age.Seconds())
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

// uptime is a time in at most two units.
func uptime(d time.Duration) string {
	s := int64(d.Round(time.Second).Seconds())
	for _, unit := range []struct {
		of          int64
		large, less string
		lessOf      int64
	}{{86400, "d", "h", 3600}, {3600, "h", "m", 60}, {60, "m", "s", 1}} {
		if s >= unit.of {
			return fmt.Sprintf("%d%s%d%s", s/unit.of, unit.large, s%unit.of/unit.lessOf, unit.less)
		}
	}
	return fmt.Sprintf("%ds", s)
}

// details are what the table has no room for: where a server listens, what it holds, how long updates take
// to come, and the clocks of its neighbors, of which each line takes as many as there is room for.
func details(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	where := fmt.Sprintf("%s, digest %s", s.Address, s.Digest)
	if s.Propagation.Count > 0 {
		where += ", updates come in " + milliseconds(s.Propagation.P99, true)
	}
	all = append(all, where)
	const head = "clocks: "
	line := head
	for _, l := range s.Links {
		text := l.Neighbor + " " + clockOf(l.Clock)
		if line != head && len(s.Server)+2+len(line)+2+len(text) > statusWidth {
			all, line = append(all, line), head
		}
		if line != head {
			line += ", "
		}
		line += text
	}
	if line != head {
		all = append(all, line)
	}
	return all
}

// clockOf tells how far a neighbor's clock is from the server's.
func clockOf(c *herd.ClockStatus) string {
	if c == nil {
		return "unknown"
	}
	ahead, off := math.Abs(c.Ahead), c.Uncertainty
	if ahead <= off { // it may as well be the same
		return "within " + shortTime(ahead+off)
	}
	how := " ahead"
	if c.Ahead < 0 {
		how = " behind"
	}
	return shortTime(ahead) + how
}

// shortTime writes seconds with two digits or more, and without those that nobody needs.
func shortTime(seconds float64) string {
	switch d := time.Duration(seconds * 1e9); {
	case d < 100*time.Microsecond:
		return "0.1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", seconds)
	default:
		return uptime(d)
	}
}

// milliseconds is a p99 in words.
func milliseconds(seconds float64, known bool) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// duplicates are the values of herd.LinkStatus.Duplicate in words.
var duplicates = map[string]string{
	"refused":    "one of them is refused",
	"taken back": "the one that had been replaced was taken back, as the other one has gone or is not at its address",
}

// remarks are an engine that is not the usual one, links that are not live, and the counters of what
// should not happen.
func remarks(s *herd.Status) (all []string) {
	if s == nil {
		return nil
	}
	if s.Engine != engines[0] {
		all = append(all, "its engine is "+s.Engine+", which is for comparing")
	}
	if s.Digest == fullDigest {
		all = append(all, "full: lacks records; raise max_clients")
	}
	for _, l := range s.Links {
		switch {
		case l.DivergedSince != nil:
			all = append(all, fmt.Sprintf("%s holds other records since %s", l.Neighbor, l.DivergedSince.Local().Format(time.DateTime)))
		case l.Agreement == fullDigest && s.Digest != fullDigest:
			all = append(all, l.Neighbor+" is full: lacks records")
		}
		switch {
		case l.State != "live" && l.State != "plain":
			all = append(all, strings.TrimSuffix(fmt.Sprintf("link to %s is %s: %s", l.Neighbor, l.State, l.Error), ": "))
		case !isLive(l):
			all = append(all, l.Neighbor+" has not linked to it")
		}
		if c := l.Clock; c != nil && c.Wrong {
			how := "ahead of"
			if c.Ahead < 0 {
				how = "behind"
			}
			ahead := time.Duration(math.Abs(c.Ahead) * float64(time.Second)).Round(time.Millisecond)
			all = append(all, fmt.Sprintf("the clock of %s is %v %s this server's", l.Neighbor, ahead, how))
		}
		if l.Duplicate != "" {
			all = append(all, fmt.Sprintf("two processes claim the name %s: %s", l.Neighbor, duplicates[l.Duplicate]))
		}
	}
	if s.Log.Error != "" {
		all = append(all, "the log: "+s.Log.Error)
	}
	if j := s.Journal; j != nil {
		all = append(all, journalRemarks(j)...)
	}
	if p := s.Places; p != nil && p.File != nil && p.File.Refused != nil {
		all = append(all, fmt.Sprintf("the places are those of %s; refused since: %s",
			p.File.Read.Local().Format(time.DateTime), p.File.Error))
	}
	if p := s.Places; p != nil && p.Network != nil && p.Network.Budget.Error != "" {
		all = append(all, "lookups are refused, for they cannot be counted: "+p.Network.Budget.Error)
	}
	c := s.Counters
	for _, trouble := range []struct {
		n               uint64
		one, many, what string
	}{
		{c.LogDropped, "log entry", "log entries", "dropped"},
		{c.ServerFull, "connection", "connections", "refused, being full"},
		{c.ClientsRefused, "update", "updates", "refused beyond max_clients"},
		{c.OutputLimits, "slow reader", "slow readers", "cut off"},
		{c.StallLimits, "client", "clients", "cut off for reading nothing"},
		{c.MemoryLimits, "client", "clients", "cut off for max_buffered"},
		{c.InputLimits, "connection", "connections", "closed because held input made no progress"},
		{c.OtherProtocols, "connection", "connections", "refused that spoke another protocol"},
		{c.LinksUnacknowledged, "link", "links", "dropped whose neighbor acknowledged nothing"},
		{c.LinksUnread, "link", "links", "dropped whose neighbor did not read"},
		{c.LinksGarbled, "link", "links", "dropped for what the neighbor sent"},
		{c.LookupsBusy, "lookup", "lookups", "refused, being busy"},
		{c.LookupsFailed, "lookup", "lookups", "failed"},
	} {
		if trouble.n > 0 {
			all = append(all, load.Plural(trouble.n, trouble.one, trouble.many)+" "+trouble.what)
		}
	}
	return all
}

// journalRemarks are what is or was wrong with a server's journal.
func journalRemarks(j *herd.JournalStatus) (all []string) {
	switch {
	case j.OK:
	case j.Behind > 0:
		all = append(all, strings.TrimSuffix(fmt.Sprintf("the journal is behind by %s and %.0f s: %s",
			load.Plural(j.Behind, "record", "records"), j.Late, j.Error), ": "))
	default:
		all = append(all, "the journal has an error: "+j.Error)
	}
	if j.Losses > 0 {
		all = append(all, "the journal was lost and written again "+load.Plural(j.Losses, "time", "times"))
	}
	return all
}
