package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/engines"
)

// Lines that a web page sends to a server are not executed, and the page reads nothing.
func TestOtherProtocols(t *testing.T) {
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, "", "Alford")
			h.Flags = []string{"--engine", engine}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			addr := h.Server("Alford").Address
			for range 3 {
				reply, err := http.Post("http://"+addr+"/", "text/plain", strings.NewReader("IAMAT csrf +9.0+9.0 5\n"))
				if err == nil {
					reply.Body.Close()
					t.Errorf("a page got %s", reply.Status)
				}
			}
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: processtest.Patience}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
			if err == nil {
				c.Close()
				t.Error("a TLS handshake succeeded")
			}
			if got := h.Ask("Alford", "SSH-2.0-OpenSSH_9.6\r\nIAMAT csrf +9.0+9.0 5\n"); got != "" {
				t.Errorf("an SSH client got %q", got)
			}
			h.Ask("Alford", "IAMAT kiwi +1-1 5\n")
			h.UntilEqual(1)
			s := h.Status("Alford")
			if n := s.Counters.OtherProtocols; n < 5 { // net/http may try again
				t.Errorf("%d counted", n)
			}
			h.Stop("Alford")
			_, log := entries(h, "Alford")
			if n := strings.Count(log, `"msg":"other protocol refused"`); n != 3 {
				t.Errorf("%d entries for HTTP, TLS and SSH", n)
			}
		})
	}
}

// TCP health checks of load balancers are not logged.
func TestACheckIsNotLogged(t *testing.T) {
	h := processtest.StartHerd(t, processtest.Embedded, "Alford")
	before := h.Status("Alford").Counters.Accepted
	for range 5 {
		c, err := net.DialTimeout("tcp", h.Server("Alford").Address, processtest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	processtest.Eventually(t, "the checks have come and gone", func() bool {
		s := h.Status("Alford")
		return s != nil && s.Counters.Accepted == before+5 && s.Connections == 0
	})
	h.Stop("Alford")
	if got, all := entries(h, "Alford"); strings.Join(got, " ") != "started stopping stopped" {
		t.Errorf("logged %q:\n%s", got, all)
	}
}

// A connection with an unfinished line gets a reason before it is closed.
func TestUnfinishedLine(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[limits]\npartial_line_timeout = \"1s\"\n", "Alford")
	c := processtest.Dial(t, h.Server("Alford").Address)
	c.Send([]byte("IAMAT kiwi +1-1"))
	got := string(c.Await(func([]byte) bool { return false }))
	if want := "> LINE: not finished within 1s\n\n"; got != want || !c.Closed() {
		t.Errorf("%q, want %q", got, want)
	}
}

// With unfinished_line, clients that do not end their line get a reply. Real sockets, on each engine.
func TestUnfinishedLineIsExecuted(t *testing.T) {
	t.Parallel()
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			h, listeners := processtest.NewHerd(t, "[herd]\ndialect = \"cs131\"\nunfinished_line = \"300ms\"\n", "Alford")
			h.Flags = []string{"--engine", engine}
			h.Start("Alford", listeners["Alford"]...)
			for _, c := range []struct{ sent, want string }{
				{"IAMAT kiwi +1-1 5", "AT Alford "}, {"x\nWHATSAT kiwi 10.5 1", "? x\nAT Alford "}, {"nonsense", "? nonsense\n"},
			} {
				conn := processtest.Dial(t, h.Server("Alford").Address)
				conn.Send([]byte(c.sent))
				got := string(conn.Await(func([]byte) bool { return false }))
				if !strings.HasPrefix(got, c.want) || !strings.HasSuffix(got, "\n") || !conn.Closed() {
					t.Errorf("%q: %q, closed %v", c.sent, got, conn.Closed())
				}
			}
			if n := h.Status("Alford").Counters.UnfinishedLines; n != 3 {
				t.Errorf("%d counted", n)
			}
		})
	}
}
