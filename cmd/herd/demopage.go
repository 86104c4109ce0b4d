package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// pageTimeout is how long demo waits for a console.
const pageTimeout = 500 * time.Millisecond

// demoPage says where the map is: at the first console of herd.toml that can be reached.
func demoPage(ctx context.Context, servers []config.Server, secure ask.TLS) string {
	some := false
	for _, s := range servers {
		if s.Console == "" {
			continue
		}
		some = true
		if over, ok := reachable(ctx, s, secure); ok {
			return "open " + pageURL(over, s.Console) + "#view=map"
		}
	}
	if some {
		return "the page with the map: no console of herd.toml can be reached"
	}
	return "no server of herd.toml has a console, so there is no page with the map"
}

// reachable reports whether a console can be reached, and whether that is over TLS. A certificate that is wrong is for
// the browser to say.
func reachable(ctx context.Context, s config.Server, secure ask.TLS) (over, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Console)
	if err != nil {
		return false, false
	}
	defer c.Close()
	if secure.Mode == "off" || secure.Mode == "" {
		return false, true
	}
	if err := tls.Client(c, secure.Config(s.Name)).HandshakeContext(ctx); err == nil {
		return true, true
	} else if !(&certs.HandshakeError{Reason: err}).NoTLS() {
		return true, !errors.Is(err, context.DeadlineExceeded)
	}
	return false, secure.Mode == "optional"
}

// pageURL is the URL of a console's page.
func pageURL(over bool, address string) string {
	if over {
		return "https://" + browsable(address) + "/"
	}
	return "http://" + browsable(address) + "/"
}

// browsable is an address for a browser: one that means all interfaces becomes localhost, as does 127.0.0.1.
func browsable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && (ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1)))) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
