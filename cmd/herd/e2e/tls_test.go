package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// tlsModes is the beginning of a herd.toml with modes of TLS for links, clients and consoles.
func tlsModes(links, clients, console string) string {
	return fmt.Sprintf("[tls]\nlinks = %q\n[clients]\ntls = %q\n[console]\ntls = %q\n", links, clients, console)
}

// makeCerts makes the certificates of a herd, with herd cert.
func makeCerts(h *processtest.Herd, args ...string) {
	h.T.Helper()
	if out, errOut, code := h.Command("", append([]string{"cert"}, args...)...); code != 0 {
		h.T.Fatalf("herd cert: exit code %d, %s%s", code, out, errOut)
	}
}

// caFile is the file with the authority that makeCerts has made.
func caFile(h *processtest.Herd) string { return filepath.Join(h.Dir, "tls", "ca.pem") }

// roots are the authorities that a herd trusts.
func roots(h *processtest.Herd) *x509.CertPool {
	h.T.Helper()
	pool, err := certs.Roots(caFile(h))
	if err != nil {
		h.T.Fatal(err)
	}
	return pool
}

// directServers are the paper's five, which dial each other directly: only the network of other tests needs to read what
// servers say.
func directServers(t *testing.T) (servers []config.Server) {
	t.Helper()
	host := processtest.Host()
	for _, name := range names {
		var free [2]string
		for i := range free {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			free[i] = l.Addr().String()
		}
		servers = append(servers, config.Server{
			Name: name, Address: free[0], Listen: free[0], Console: free[1], Neighbors: processtest.Ring[name],
		})
	}
	return servers
}

// Links, clients and consoles go from off to optional to required, by two rounds of restarts, while clients write at all
// servers all the time. Where TLS is optional, some clients use it and others do not.
func TestRollingChangeToTLS(t *testing.T) {
	scenario(t)
	c := &cluster{Herd: processtest.New(t, unlogged, directServers(t)...)}
	c.Flags = []string{"--engine", *engine}
	makeCerts(c.Herd)
	pool := roots(c.Herd)
	modes, plain, secured := map[string]*atomic.Value{}, atomic.Int64{}, atomic.Int64{} // connections where it is optional
	for _, name := range names {
		modes[name] = &atomic.Value{}
		modes[name].Store("off")
	}
	c.connect = func(name string) (net.Conn, error) {
		mode := modes[name].Load()
		if mode == "off" || mode == "optional" && slices.Index(names, name)%2 == 0 {
			conn, err := net.Dial("tcp", c.Server(name).Listen)
			if err == nil && mode == "optional" {
				plain.Add(1)
			}
			return conn, err
		}
		conn, err := tls.Dial("tcp", c.Server(name).Listen, certs.Client(pool, name))
		if err != nil {
			return nil, err
		}
		if mode == "optional" {
			secured.Add(1)
		}
		return conn, nil
	}
	for _, name := range names {
		c.Start(name)
	}
	c.UntilLive()
	s := c.visit(names...)
	s.loaded()
	for _, mode := range []string{"optional", "required"} {
		c.Change(unlogged + tlsModes(mode, mode, mode))
		if mode == "required" { // consoles and clients have been ready for it since the last round
			c.CA = caFile(c.Herd)
			for _, name := range names {
				modes[name].Store(mode)
			}
		}
		for _, name := range names {
			s.loaded()
			s.stop(name)
			modes[name].Store(mode)
			s.start(name)
			for _, args := range [][]string{{"ready"}, {"ready", name}, {"status"}} {
				var out, errOut string
				processtest.Eventually(t, fmt.Sprintf("herd %q with %s at %s", args, mode, name), func() bool {
					var code int
					out, errOut, code = c.Command("", args...)
					return code == 0
				})
				if errOut != "" {
					t.Errorf("herd %q: %s%s", args, out, errOut)
				}
			}
		}
		s.loaded()
	}
	acked, missing := s.end()
	for _, name := range names {
		st := c.now(name)
		for _, l := range st.Links {
			if !l.TLS || l.State != "live" {
				t.Errorf("%s to %s: %s, over TLS: %v", name, l.Neighbor, l.State, l.TLS)
			}
			if l.BadLines > 0 {
				t.Errorf("%s: %d bad lines from %s", name, l.BadLines, l.Neighbor)
			}
		}
		want := [3]string{"required", "required", "required"}
		if st.TLS == nil || [3]string{st.TLS.Links, st.TLS.Clients, st.TLS.Console} != want || st.TLS.Error != "" {
			t.Errorf("%s: status %+v", name, st.TLS)
		}
		if log := logOf(c.Herd, name); strings.Contains(log, `"level":"error"`) {
			t.Errorf("%s has logged errors: %s", name, slices.Collect(linesWith(log, `"level":"error"`)))
		}
	}
	if secured.Load() == 0 || plain.Load() == 0 {
		t.Errorf("where TLS was optional, %d connections with and %d without: the test is void", secured.Load(), plain.Load())
	}
	figure(t, missing == 0, "links, clients and consoles go from off to optional to required under load: nothing missing",
		"%d of %d updates missing, each server stopped within %.2f s", missing, acked, s.slowest.Seconds())
}

// linesWith are the lines of a text that contain all parts.
func linesWith(text string, parts ...string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			all := !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
			if all && !yield(line) {
				return
			}
		}
	}
}
