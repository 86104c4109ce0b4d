package herd

import (
	"net/netip"
	"strings"

	"serverherd/herd/config"
)

// loopback is the address of all clients on this machine.
const loopback = "loopback"

// clientAddress returns the address that limits per client address count by: the host of peer (host:port), or
// the /64 of an IPv6 address, as a provider gives one customer a /64. All of loopback counts as one address,
// as in config.Machine.
func clientAddress(peer string) string {
	if config.IsLoopback(peer) {
		return loopback
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

// ClientAddress is clientAddress for what limits requests to the console.
func ClientAddress(peer string) string { return clientAddress(peer) }
