package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
)

// A neighbor like public servers of the course: it reads each connection to its end as one message, and
// sends each message on a new connection, without LF. Real sockets, on each engine.
func TestANeighborOfOneMessageAConnection(t *testing.T) {
	t.Parallel()
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, "[peers]\nhandshake = \"optional\"\nlegacy = \"close-after-write\"\n",
				"Alford", "Welsh")
			messages := oneMessageServer(t, listeners["Welsh"][0])
			h.Flags = []string{"--engine", engine}
			h.Start("Alford", listeners["Alford"]...)
			const n = 20
			for i := range n {
				h.Ask("Alford", fmt.Sprintf("IAMAT c%d +1-1 5\n", i))
			}
			got := map[string]bool{}
			for len(got) < n {
				select {
				case m := <-messages:
					f := strings.Fields(m)
					if len(f) != 7 || f[0] != "AT" || f[6] != "Alford" {
						if !strings.HasPrefix(m, "HELLO ") {
							t.Fatalf("a message is %q", m)
						}
						continue
					}
					got[f[3]] = true
				case <-time.After(processtest.Patience):
					t.Fatalf("%d of %d clients came", len(got), n)
				}
			}
			if got := h.Ask("Alford", "AT Welsh 0.000939 kiwi +1-1 5 Ball Welsh"); got != "" {
				t.Errorf("an AT line is answered %q", got)
			}
			h.UntilEqual(n + 1)
			if got := h.Ask("Alford", "WHATSAT kiwi 1 1\n"); !strings.HasPrefix(got, "AT Welsh 0.000939 kiwi +1-1 5\n") {
				t.Errorf("answered %q", got)
			}
			if s := h.Status("Alford"); s.Links[0].ATSent != n || s.Links[0].ATReceived != 1 {
				t.Errorf("%+v", s.Links[0])
			}
		})
	}
}

// oneMessageServer reads each connection to its end and then closes it.
func oneMessageServer(t *testing.T, l net.Listener) <-chan string {
	messages := make(chan string, 1000)
	serveEach(t, l, func(c *net.TCPConn) {
		if text, err := io.ReadAll(c); err == nil && len(text) > 0 {
			messages <- string(text)
		}
	})
	return messages
}
