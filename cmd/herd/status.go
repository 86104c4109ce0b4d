package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"serverherd/herd"
)

func newStatus(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show every server of herd.toml on one screen",
		Long: "Show every server of herd.toml: up, links live and expected, records, and whether it agrees\n" +
			"with its neighbors. The exit code is 1 if not all is well.",
		Example: "  herd status\n  herd status --json | jq '.[].records'",
		Args:    arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			answers := askAll(cfg)
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(answers)
			} else {
				err = printStatus(c.OutOrStdout(), answers)
			}
			if err == nil && !allWell(answers) {
				err = errFailed
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of the servers' /status.json")
	return c
}

// answer is what one server's console says.
type answer struct {
	Server string       `json:"server"`
	Error  string       `json:"error,omitempty"`
	Status *herd.Status `json:"status,omitempty"`
}

// askAll asks all consoles at once.
func askAll(cfg *herd.Config) []answer {
	answers := make([]answer, len(cfg.Servers))
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{Proxy: nil}}
	var group sync.WaitGroup
	for i, s := range cfg.Servers {
		answers[i].Server = s.Name
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
	if s.Console == "" {
		return nil, fmt.Errorf("no console in herd.toml")
	}
	r, err := client.Get("http://" + s.Console + "/status.json")
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

// live counts the links that are live in both directions.
func live(s *herd.Status) (n int) {
	for _, l := range s.Links {
		if l.State == "live" && l.Receiving {
			n++
		}
	}
	return n
}

// agreement is a server's least happy neighbor, in words.
func agreement(s *herd.Status) string {
	behind, oldest := uint64(0), time.Time{}
	for _, l := range s.Links {
		behind = max(behind, l.Behind)
		switch {
		case l.DivergedSince != nil:
			return fmt.Sprintf("%s diverged since %s", l.Neighbor, l.DivergedSince.Local().Format(time.TimeOnly))
		case l.Checked != nil && (oldest.IsZero() || l.Checked.Before(oldest)):
			oldest = *l.Checked
		}
	}
	switch {
	case behind > 0:
		return fmt.Sprintf("neighbors behind by at most %d", behind)
	case len(s.Links) == 0:
		return "alone"
	case oldest.IsZero():
		return "not compared yet"
	}
	return fmt.Sprintf("in sync (checked %.0f s ago)", s.Now.Sub(oldest).Seconds())
}

// allWell: every server answers, every link is live, nobody is known to disagree.
func allWell(answers []answer) bool {
	for _, a := range answers {
		if a.Status == nil || live(a.Status) < len(a.Status.Links) {
			return false
		}
		for _, l := range a.Status.Links {
			if l.DivergedSince != nil {
				return false
			}
		}
	}
	return true
}

func printStatus(out io.Writer, answers []answer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVER\tADDRESS\tUP\tLINKS\tRECORDS\tDIGEST\tAGREEMENT\tCONNECTIONS\tREPLIES")
	answered := 0
	for _, a := range answers {
		s := a.Status
		if s == nil {
			fmt.Fprintf(w, "%s\t-\tno: %s\t\t\t\t\t\t\n", a.Server, a.Error)
			continue
		}
		answered++
		fmt.Fprintf(w, "%s\t%s\t%v\t%d/%d\t%d\t%s\t%s\t%d\t%d\n", s.Server, s.Address,
			s.Now.Sub(s.Started).Round(time.Second), live(s), len(s.Links), s.Records, s.Digest,
			agreement(s), s.Connections, s.Counters.Replies)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d of %d answered\n", answered, len(answers))
	return err
}
