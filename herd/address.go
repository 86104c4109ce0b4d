package herd

import (
	"net/netip"
	"strings"

	"serverherd/herd/config"
)

// clientAddress is what the limits per client address count by: the host of a peer, host:port, and
// of an IPv6 address its /64, which is what one customer of a provider has. All of loopback is
// one address, as for config.Machine.
func clientAddress(peer string) string {
	if config.IsLoopback(peer) {
		return "loopback"
	}
	if addr, err := netip.ParseAddrPort(peer); err == nil {
		ip := addr.Addr().Unmap()
		if ip.Is4() {
			return ip.String()
		}
		net, _ := ip.Prefix(64) // an IPv6 address has one
		return net.String()
	}
	host, _, _ := strings.Cut(peer, ":")
	return host
}
