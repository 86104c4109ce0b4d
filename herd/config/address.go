package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// CheckAddress says why text is not HOST:PORT, where HOST is an IPv4 address, an IPv6 address in
// brackets, or a host name that resolvers take: labels of letters, digits, - and _, with or without a
// dot behind the last one. The port is a number from 1 to 65535.
func CheckAddress(text string) error {
	switch {
	case text == "":
		return errors.New("it is empty")
	case strings.Contains(text, "://"):
		return errors.New("it is a URL")
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 || strings.HasSuffix(text, "]") {
		return errors.New("there is no port")
	}
	host, port := text[:colon], text[colon+1:]
	inner, bracketed := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	switch ip, err := netip.ParseAddr(inner); {
	case bracketed != closed:
		return errors.New("a bracket is missing")
	case bracketed && (err != nil || ip.Is4()):
		return fmt.Errorf("%q is no IPv6 address", inner)
	case !bracketed && strings.Contains(host, ":"):
		return errors.New("an IPv6 address stands in brackets, as [::1]:11500")
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

// Bounds of a host name (RFC 1035, section 2.3.4), which resolvers keep.
const (
	maxHostName = 253 // bytes, without the last dot
	maxLabel    = 63  // bytes
)

func checkHostName(host string) error {
	name := strings.TrimSuffix(host, ".")
	switch {
	case name == "":
		return errors.New("there is no host")
	case len(name) > maxHostName:
		return fmt.Errorf("the host name is longer than %d bytes", maxHostName)
	}
	numbers := true
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("there is nothing between two dots of the host name")
		case len(label) > maxLabel:
			return fmt.Errorf("a part of the host name is longer than %d bytes", maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("%q of the host name begins or ends with -", label)
		}
		for _, r := range label {
			switch {
			case r >= 0x80:
				return errors.New("the host name is not ASCII; write it as DNS has it, with xn--")
			case r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z'):
				return fmt.Errorf("a host name has no %q", r)
			}
		}
		// inet_aton(3) reads 0x7f as a number, too.
		hex, isHex := strings.CutPrefix(strings.ToLower(label), "0x")
		numbers = numbers && (strings.Trim(label, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == "")
	}
	if numbers {
		return errors.New("numbers alone are an IPv4 address, which has four from 0 to 255 without zeros in front")
	}
	return nil
}

// Machine is the host of a valid address, in one spelling; all of loopback is one, whichever of its addresses
// a connection is from.
func Machine(a string) string {
	if IsLoopback(a) {
		return "loopback"
	}
	host, _ := splitHost(a)
	return host
}

// splitHost takes a valid address apart, with one spelling for each host.
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

// isUnspecified says whether an address, host:port, is every address of a machine.
func isUnspecified(a string) bool {
	addr, err := netip.ParseAddrPort(a)
	return err == nil && addr.Addr().Unmap().IsUnspecified()
}

// IsLoopback says whether an address, host:port, can be reached from this machine only.
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

// isLocalhost says whether a host name is localhost, as names are compared: in any case, with or
// without the last dot.
func isLocalhost(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
