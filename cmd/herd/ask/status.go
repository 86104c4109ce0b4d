package ask

import (
	"context"
	"fmt"

	"serverherd/herd"
	"serverherd/herd/config"
)

// Status is the status of one server, from its console. Its JSON is what herd status --json prints.
type Status struct {
	Server    string       `json:"server"`
	NoConsole bool         `json:"no_console,omitempty"` // none in herd.toml
	Error     string       `json:"error,omitempty"`      // why Status is nil
	Code      int          `json:"-"`                    // of HTTP; 0 if there was no answer in time
	Status    *herd.Status `json:"status,omitempty"`
}

const statusPath = "/status.json"

// Statuses asks all servers for their status.
func Statuses(ctx context.Context, c *Client, servers []config.Server) []Status {
	all := make([]Status, len(servers))
	for i, a := range All[herd.Status](ctx, c, servers, statusPath) {
		all[i] = statusFrom(a)
	}
	return all
}

// StatusOf asks one server for its status.
func StatusOf(ctx context.Context, c *Client, s config.Server) Status {
	return statusFrom(One[herd.Status](ctx, c, s, statusPath))
}

func statusFrom(a Answer[herd.Status]) Status {
	s := Status{Server: a.Server, NoConsole: a.NoConsole, Error: a.Error, Code: a.Code, Status: a.Value}
	if s.Status != nil && len(s.Status.Links) > herd.ConsoleLinks {
		s.Status, s.Error = nil, fmt.Sprintf("bad answer: it has more than %d links", herd.ConsoleLinks)
	}
	return s
}
