package ask

import (
	"context"
	"io"
	"net/http"
	"strings"

	"serverherd/herd/config"
)

// Readiness is the answer of a server's /readyz. Its JSON is what herd ready --json prints.
type Readiness struct {
	Server    string `json:"server"`
	Ready     bool   `json:"ready"`
	NoConsole bool   `json:"no_console,omitempty"` // none in herd.toml
	// Reason is why it is not ready, or that its journal is failing.
	Reason string `json:"reason,omitempty"`
}

// Ready asks all servers whether they are ready.
func Ready(ctx context.Context, c *Client, servers []config.Server) []Readiness {
	return Each(servers, func(s config.Server) Readiness { return c.ready(ctx, s) })
}

func (c *Client) ready(ctx context.Context, s config.Server) Readiness {
	if s.Console == "" {
		return Readiness{Server: s.Name, NoConsole: true, Reason: noConsole}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	status, text, err := c.text(ctx, s, "/readyz")
	a := Readiness{Server: s.Name}
	first, rest, _ := strings.Cut(text, "\n")
	switch {
	case err != nil:
		a.Reason = err.Error()
	case status == http.StatusOK && first == "ready":
		a.Ready, a.Reason = true, strings.TrimSpace(rest)
	case status == http.StatusServiceUnavailable && first != "":
		a.Reason = strings.TrimPrefix(first, "not ready: ")
	default:
		a.Reason = "bad answer from " + s.Console
		if c.mayNeedTLS(status) {
			a.Reason += "; " + needsTLS
		}
	}
	a.Reason = bounded(a.Reason)
	return a
}

// text requests a path whose answer is text, whatever its status is, and returns the first bytes.
func (c *Client) text(ctx context.Context, s config.Server, path string) (status int, text string, err error) {
	r, err := c.do(ctx, s, question{http.MethodGet, path, nil})
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxReason))
	return r.StatusCode, string(b), c.timely(ctx, s, err)
}
