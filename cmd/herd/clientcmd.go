package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/view"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// consoleFlags adds the flags of commands that ask one server's console.
func (o *options) consoleFlags(c *cobra.Command) {
	checkedFlag(c.Flags(), &o.at, "at", "", "a server's name",
		"server: a `name` of herd.toml (default its first)", func(text string) bool { return text != "" && !strings.Contains(text, ":") })
	complete(c, "at", o.completeServers)
	o.tokenFlag(c)
}

// consoleServer returns the server whose console --at names, and the configuration.
func (o *options) consoleServer() (s config.Server, cfg *config.Config, err error) {
	cfg, err = o.load()
	if err != nil {
		return s, nil, err
	}
	s = cfg.Servers[0]
	if o.at != "" {
		if s, err = findFor("at", cfg, o.at); err != nil {
			return s, nil, err
		}
	}
	if s.Console == "" {
		err = &exitError{exitFailed, s.Name + " has no console in herd.toml"}
	}
	return s, cfg, err
}

func newClient(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "client ID",
		Short: "Show where a client is, as one server knows it",
		Long: "Show where a client is, without places: its position, the age of that, the\n" +
			"server that the client told, and when and from where the record came to the\n" +
			"server that is asked. Unlike whatsat it asks the server's console. The exit\n" +
			"code is 1 if the server does not know the client, or does not answer within\n" +
			"--timeout.",
		Example:           "  herd client kiwi.cs.ucla.edu\n  herd client kiwi.cs.ucla.edu --json",
		Args:              arguments(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if err := protocol.CheckClientID([]byte(args[0])); err != nil {
				return usage("client id: %v", err)
			}
			s, cfg, err := o.consoleServer()
			if err != nil {
				return err
			}
			got, err := whereIs(o.asker(cfg, o.timeout), s, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(c.OutOrStdout(), got)
			}
			return printClient(c.OutOrStdout(), got)
		},
	}
	o.consoleFlags(c)
	o.timeoutFlag(c, "how long to wait for the answer")
	c.Flags().BoolVar(&asJSON, "json", false, "print the console's answer as JSON")
	return c
}

// isItRunning is added to an error if a server does not answer.
const isItRunning = "; is the server running? see herd status"

// consoleError is the error of a command because of a console's answer, or because there is none.
func consoleError(s config.Server, reason string) error {
	text := s.Name + ": " + view.OneLine(reason)
	if strings.HasPrefix(reason, "no answer at ") {
		text += isItRunning
	}
	return &exitError{exitFailed, text}
}

// whereIs asks a server for the record of a client.
func whereIs(client *ask.Client, s config.Server, id string) (*console.ClientStatus, error) {
	a := ask.One[console.ClientStatus](context.Background(), client, s, "/client.json?id="+url.QueryEscape(id))
	unknown := s.Name + " does not know " + protocol.Printable([]byte(id))
	switch {
	case a.Code == http.StatusNotFound && a.Reason == unknown:
		return nil, &exitError{exitFailed, unknown}
	case a.Value == nil:
		return nil, consoleError(s, a.Error)
	case string(a.Value.Base64) != id:
		return nil, &exitError{exitFailed, s.Name + ": the answer is about another client"}
	}
	return a.Value, nil
}

// printClient prints a record. Its strings may be anything.
func printClient(out io.Writer, c *console.ClientStatus) error {
	const most = 70 // columns of a value
	came := map[string]string{"client": "from the client", "journal": "from the journal", "bucket": "from the bucket"}[c.Source]
	if came == "" {
		came = "from a neighbor"
		if c.Neighbor != "" {
			came = "from " + c.Neighbor
		}
	}
	var text strings.Builder
	for _, row := range [][2]string{
		{"client", c.ID},
		{"position", fmt.Sprintf("%.6f,%.6f", c.Lat, c.Lng)},
		{"age", age(c.Age) + " (time " + c.Time + ")"},
		{"told", told(c)},
		{"stored", "at " + c.Server + " since " + clock(c.Applied, c.Now) + ", " + came},
	} {
		fmt.Fprintf(&text, "%-8s  %s\n", row[0], view.Cell(row[1], most))
	}
	_, err := io.WriteString(out, text.String()+view.OneLine(c.AT)+"\n")
	return err
}

// maxSeconds bounds times and differences that are shown: about 285 years, as a time.Duration has.
const maxSeconds = 9e9

// told says which server a client told, when by that server's clock, and how long after the client's own time.
func told(c *console.ClientStatus) string {
	seconds, err := strconv.ParseFloat(c.Diff, 64)
	if err != nil || !(math.Abs(seconds) <= maxSeconds) || !(math.Abs(c.Age) <= maxSeconds) {
		return c.Origin + ", long before or after its time"
	}
	at := c.Now.Add(time.Duration((seconds - c.Age) * 1e9))
	how := "after"
	if seconds < 0 {
		how = "before"
	}
	return c.Origin + " at " + clock(at, c.Now) + ", " + difference(math.Abs(seconds)) + " " + how + " its time"
}

// clock formats a time in the local time zone, with its name: of today without the date.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05.000 MST")
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

// difference formats seconds like view.Latency, but less than 0.1 ms in microseconds.
func difference(seconds float64) string {
	if seconds < 100e-6 {
		return fmt.Sprintf("%.3g ms", math.Round(seconds*1e6)/1000)
	}
	return view.Latency(seconds, true)
}

// age formats an age in seconds. A client's clock may be ahead.
func age(seconds float64) string {
	d := time.Duration(min(max(seconds, -maxSeconds), maxSeconds) * 1e9).Truncate(time.Second)
	if d < 0 {
		return view.Duration(-d) + " in the future"
	}
	return view.Duration(d)
}
