package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"serverherd/herd"
	"serverherd/herd/config"
)

// answer is the status of one server, from its console.
type answer struct {
	Server    string       `json:"server"`
	NoConsole bool         `json:"no_console,omitempty"` // none in herd.toml
	Error     string       `json:"error,omitempty"`
	Status    *herd.Status `json:"status,omitempty"`
}

// unanswered lists the servers that did not answer, and why; "" if all did.
func unanswered(answers []answer) string {
	var all []string
	for _, a := range answers {
		if a.Status == nil && !a.NoConsole {
			all = append(all, a.Server+": "+oneCell(a.Error))
		}
	}
	return strings.Join(all, "; ")
}

// newConsoleClient returns an HTTP client that ignores proxy settings.
func newConsoleClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
}

// askAll requests the status of all servers concurrently, with a timeout for each.
func askAll(cfg *config.Config, timeout time.Duration) []answer {
	answers := make([]answer, len(cfg.Servers))
	client := newConsoleClient(timeout)
	var group sync.WaitGroup
	for i, s := range cfg.Servers {
		answers[i].Server = s.Name
		if s.Console == "" {
			answers[i].NoConsole, answers[i].Error = true, "no console in herd.toml"
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

func ask(client *http.Client, s config.Server) (*herd.Status, error) {
	r, err := client.Get("http://" + s.Console + "/status.json")
	if os.IsTimeout(err) {
		return nil, fmt.Errorf("no answer at %s within %s", s.Console, formatDuration(client.Timeout))
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
		return nil, fmt.Errorf("the console at %s belongs to %s", s.Console, status.Server)
	}
	return &status, nil
}

// settling is the pause before servers whose digests differ are asked again: an update may be on its way.
const settling = 500 * time.Millisecond

// askAgain distinguishes servers that disagree from servers that an update is on its way to. While a herd
// is written to, digests differ in any snapshot, but then the feeds move between two snapshots.
func askAgain(cfg *config.Config, before []answer, timeout time.Duration) (answers []answer, differ bool) {
	time.Sleep(settling)
	answers = askAll(cfg, timeout)
	for i, a := range answers {
		if b := before[i].Status; a.Status != nil && b != nil && a.Status.Tail != b.Tail {
			return answers, false
		}
	}
	return answers, digestsDiffer(answers)
}
