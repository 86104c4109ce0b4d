package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// CheckAddress returns why text is not HOST:PORT, or nil. HOST is an IPv4 address, an IPv6 address in
// brackets, or a host name that resolvers accept: labels of letters, digits, - and _, with an optional
// trailing dot. The port is a number from 1 to 65535.
func CheckAddress(text string) error {
	switch {
	case text == "":
		return errors.New("empty address")
	case strings.Contains(text, "://"):
		return errors.New("a URL instead of an address")
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 || strings.HasSuffix(text, "]") {
		return errors.New("missing port")
	}
	host, port := text[:colon], text[colon+1:]
	inner, bracketed := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	switch ip, err := netip.ParseAddr(inner); {
	case bracketed != closed:
		return errors.New("missing bracket")
	case bracketed && (err != nil || ip.Is4()):
		return fmt.Errorf("%q is not an IPv6 address", inner)
	case !bracketed && strings.Contains(host, ":"):
		return errors.New("an IPv6 address must be in brackets, as in [::1]:11500")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if bracketed {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return checkHostName(host)
}

// Limits of a host name (RFC 1035, section 2.3.4), which resolvers enforce.
const (
	maxHostName = 253 // bytes, without a trailing dot
	maxLabel    = 63  // bytes
)

func checkHostName(host string) error {
	name := strings.TrimSuffix(host, ".")
	switch {
	case name == "":
		return errors.New("missing host")
	case len(name) > maxHostName:
		return fmt.Errorf("host name is longer than %d bytes", maxHostName)
	}
	allNumeric := true
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("empty label in host name")
		case len(label) > maxLabel:
			return fmt.Errorf("host name label is longer than %d bytes", maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("host name label %q begins or ends with a hyphen", label)
		}
		for _, r := range label {
			switch {
			case r >= 0x80:
				return errors.New("host name is not ASCII: use its DNS form (xn--...)")
			case r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z'):
				return fmt.Errorf("invalid character %q in host name", r)
			}
		}
		// inet_aton(3) accepts hexadecimal numbers, such as 0x7f.
		hex, isHex := strings.CutPrefix(strings.ToLower(label), "0x")
		allNumeric = allNumeric && (strings.Trim(label, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == "")
	}
	if allNumeric {
		return errors.New("invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros")
	}
	return nil
}

// Machine returns the normalized host of a valid address. All loopback addresses are one machine, "loopback".
func Machine(a string) string {
	if IsLoopback(a) {
		return "loopback"
	}
	host, _ := splitHost(a)
	return host
}

// splitHost splits a valid address into its normalized host and port.
func splitHost(a string) (host, port string) {
	colon := strings.LastIndexByte(a, ':')
	host, port = strings.ToLower(strings.Trim(a[:colon], "[]")), a[colon+1:]
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	if n, err := strconv.Atoi(port); err == nil {
		port = strconv.Itoa(n)
	}
	return host, port
}

// isUnspecified reports whether an address, host:port, is a wildcard such as 0.0.0.0.
func isUnspecified(a string) bool {
	addr, err := netip.ParseAddrPort(a)
	return err == nil && addr.Addr().Unmap().IsUnspecified()
}

// IsLoopback reports whether an address, host:port, can be reached from this machine only.
func IsLoopback(a string) bool {
	if addr, err := netip.ParseAddrPort(a); err == nil {
		return addr.Addr().Unmap().IsLoopback()
	}
	host, _, _ := strings.Cut(a, ":")
	return isLocalhost(host)
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || isLocalhost(host)
}

// isLocalhost ignores case and a trailing dot, as DNS does.
func isLocalhost(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
