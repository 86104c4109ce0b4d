package main

import (
	"net"
	"time"

	"serverherd/herd/config"
)

// pageTimeout is how long demo waits for a console.
const pageTimeout = 500 * time.Millisecond

// demoPage says where the map is: at the first console of herd.toml that can be reached.
func demoPage(servers []config.Server) string {
	some := false
	for _, s := range servers {
		if s.Console == "" {
			continue
		}
		some = true
		if c, err := net.DialTimeout("tcp", s.Console, pageTimeout); err == nil {
			c.Close()
			return "open http://" + browsable(s.Console) + "/#view=map"
		}
	}
	if some {
		return "the page with the map: no console of herd.toml can be reached"
	}
	return "no server of herd.toml has a console, so there is no page with the map"
}

// browsable is an address for a browser: one that means all interfaces becomes localhost, as does 127.0.0.1.
func browsable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && (ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1)))) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
