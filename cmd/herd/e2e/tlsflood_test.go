package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
	"serverherd/reactor"
)

// Handshakes are begun as fast as possible and abandoned at any point, and more hang than may be in progress: others are
// served, and everything is given back.
func TestHandshakesAbandoned(t *testing.T) {
	for _, mode := range []string{"required", "optional"} {
		t.Run(mode, func(t *testing.T) {
			scenario(t)
			handshakesAbandoned(t, mode)
		})
	}
}

func handshakesAbandoned(t *testing.T, mode string) {
	g, welsh := newSecured(t, mode, mode, "")
	welsh.Close()
	c := &cluster{Herd: g.Herd}
	stop := g.bystander(0)
	before, most := c.usage(), c.peak("Alford")
	failed := g.status().Counters.TLSFailed
	hello := tlsHello()
	n, begun := sized(2000, 20_000), time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				conn, err := net.Dial("tcp", g.addr)
				if err != nil {
					t.Error(err)
					return
				}
				switch whole := i%2 == 0; {
				case !whole:
					_, _ = conn.Write(hello[:len(hello)-100])
				case i%4 == 0: // a reset only here: elsewhere, the server may not have read anything before
					_, _ = conn.Write(hello)
					_, _ = io.ReadFull(conn, make([]byte, 5))
					_ = conn.(*net.TCPConn).SetLinger(0)
				default:
					_, _ = conn.Write(hello)
				}
				conn.Close()
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	counted := func() int { return int(g.status().Counters.TLSFailed - failed) }
	processtest.Eventually(t, "all handshakes have failed", func() bool { return counted() >= n && g.status().Connections == 1 })
	first := counted()
	if first > n {
		t.Errorf("%d counted, want %d", first, n)
	}

	const hanging = reactor.MaxTLSHandshakes + 76
	var closed atomic.Int64 // before they had to
	for i := range hanging {
		conn := g.tcp()
		if _, err := conn.Write(hello[:2+i%(len(hello)-2)]); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			began := time.Now()
			_, _ = io.Copy(io.Discard, conn)
			if time.Since(began) < reactor.TLSHandshakeTime/2 {
				closed.Add(1)
			}
		})
	}
	all.Wait()
	processtest.Eventually(t, "each that hung is counted", func() bool { return counted() >= first+hanging })
	if got := counted() - first; got != hanging {
		t.Errorf("%d counted, want %d", got, hanging)
	}
	g.loggedOnce("TLS handshake failed", "not complete within")
	g.loggedOnce("TLS handshake failed", fmt.Sprintf("more than %d TLS handshakes", reactor.MaxTLSHandshakes))
	if entries := g.logged("TLS handshake failed"); entries > 6*(1+int(time.Since(g.begun)/(30*time.Second))) {
		t.Errorf("%d entries of the log", entries)
	}
	processtest.Eventually(t, "descriptors and goroutines are back", func() bool {
		after := c.usage()
		return after.descriptors <= before.descriptors+8 && after.goroutines <= before.goroutines+8
	})
	stop()
	grown := most() - before.memory
	figure(t, grown < 128*mib, "handshakes abandoned, and more that hang than may: others are served, all is given back",
		"%d in %.1f s, %d hang (%d closed early), %.0f MiB more at most, clients: %s", n, took.Seconds(), hanging, closed.Load(), float64(grown)/mib, mode)
	g.noSecrets()
}

// One address lets handshakes hang all the time: neighbors and clients of others still connect.
func TestHandshakesOfOneAddressHang(t *testing.T) {
	const required = "one address lets more handshakes hang than may be in progress: others connect"
	if !inside(t, required, fiveAddresses) {
		return
	}
	var servers []config.Server
	pair := []string{"Alford", "Hamilton"}
	for i, name := range pair {
		host := fmt.Sprintf("192.0.2.%d", i+1)
		servers = append(servers, config.Server{Name: name, Address: host + ":11500", Listen: host + ":11500", Console: host + ":11600", Neighbors: []string{pair[1-i]}})
	}
	h := processtest.New(t, "[herd]\nsecret_file = \"secret\"\n[tls]\nlinks = \"required\"\n[clients]\nopen = true\ntls = \"required\"\n[console]\nopen = true\n"+placeless, servers...)
	g := &guarded{Herd: h, begun: time.Now(), addr: servers[0].Listen}
	g.file("secret", doorSecret+"\n")
	makeCerts(h)
	h.Start("Alford")
	processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
	attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("192.0.2.3")}}
	done := make(chan struct{})
	var all sync.WaitGroup
	for range reactor.MaxTLSHandshakes + 50 {
		all.Go(func() {
			for {
				conn, err := attacker.Dial("tcp", g.addr)
				if err == nil {
					_, _ = conn.Write([]byte("\x16\x03\x01"))
					go func() { <-done; conn.Close() }()
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	defer all.Wait()
	defer close(done)
	processtest.Eventually(t, "more hang than may", func() bool {
		return g.logged("TLS handshake failed", `"peer":"192.0.2.3:`, "the oldest is given up") > 0
	})
	h.Start("Hamilton")
	h.UntilLive()
	for range 20 {
		out, errOut, code := h.Command("", "whatsat", "nobody", "--at", "Alford")
		if !strings.Contains(out+errOut, "nobody") || strings.Contains(out+errOut, "TLS") {
			t.Errorf("a client gets exit code %d, %s%s", code, out, errOut)
		}
	}
	for name := range h.Running {
		if l := h.Status(name).Links[0]; !l.TLS {
			t.Errorf("%s: %+v", name, l)
		}
	}
	figure(t, true, required, "%d hang all the time", reactor.MaxTLSHandshakes+50)
}
