package door

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"serverherd/herd/config"
)

// addHosts allows the hosts of all servers of herd.toml, and those of [console] hosts.
func (d *Door) addHosts(c *config.Config) {
	hosts := append([]string{}, c.Console.Hosts...)
	for _, s := range c.Servers {
		hosts = append(hosts, s.Address, s.Listen, s.Console)
	}
	for _, host := range hosts {
		name := hostname(host)
		if ip, err := netip.ParseAddr(name); err == nil && ip.IsUnspecified() {
			continue // no browser's user means it, and some browsers take it for this machine
		}
		if name != "" {
			d.hosts[name] = true
		}
	}
}

// hostname is a Host without its port, brackets and trailing dot, in the form in which hosts are compared.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return host
}

// checkHost prevents DNS rebinding, by which another site's page could read the console: the name of that site now has
// this console's address.
func (d *Door) checkHost(r *http.Request) *Refusal {
	name := hostname(r.Host)
	switch {
	case r.Host == "" && !r.ProtoAtLeast(1, 1): // programs with HTTP/1.0 name no host, browsers always do
	case isLoopbackHost(name), d.hosts[name], name == localAddress(r):
	default:
		return &Refusal{http.StatusForbidden, kindHost,
			"this console is not known by that Host: use an address or a name of herd.toml, or add it to console.hosts", nil}
	}
	return nil
}

// localAddress is the IP address that a request's connection has on this side; "" if that is unknown.
func localAddress(r *http.Request) string {
	bound, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if bound == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(bound.String())
	if err != nil {
		return ""
	}
	return at.Addr().Unmap().WithZone("").String()
}

func isLoopbackHost(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// isLocal reports whether a request comes from this machine and is meant for it. One that was passed on by a proxy on this
// machine is not: it has another Host, or says so.
func isLocal(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	return config.IsLoopback(r.RemoteAddr) && (r.Host == "" || isLoopbackHost(hostname(r.Host)))
}

// checkOrigin refuses what other sites' pages make a browser do: to send a POST, or to open a WebSocket, which they could
// read.
func checkOrigin(r *http.Request) *Refusal {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && r.Header.Get("Upgrade") == "" || sameOrigin(r) {
		return nil
	}
	return &Refusal{http.StatusForbidden, kindOrigin, "not allowed: only a page of this console may do this", nil}
}

// sameOrigin reports whether a request is from a page of this console, or from a program that is not a browser.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return len(origins) == 1 && err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && sameScheme(r, u.Scheme)
}

// sameScheme reports whether a page of this console may have been loaded by a scheme. A page by http is no page of a console
// with TLS: it may be of whoever is on the network. A proxy with TLS may not say so, but none is needed on this machine.
func sameScheme(r *http.Request, scheme string) bool {
	switch said := schemeOf(r); {
	case said != "":
		return scheme == said
	case scheme == "https":
		return !isLocal(r)
	}
	return scheme == "http"
}

// schemeOf is the scheme by which a request was sent, if that is known: TLS is in use, or a proxy says so.
func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	said, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",") // the first one is what the browser sent
	if said == "" {
		first, _, _ := strings.Cut(r.Header.Get("Forwarded"), ",")
		for field := range strings.SplitSeq(first, ";") {
			if name, value, _ := strings.Cut(field, "="); strings.EqualFold(strings.TrimSpace(name), "proto") {
				said = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	switch strings.ToLower(strings.TrimSpace(said)) {
	case "https", "wss":
		return "https"
	case "http", "ws":
		return "http"
	}
	return ""
}
