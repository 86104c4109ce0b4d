package protocol

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The PROXY protocol of HAProxy, by which a proxy says who its client is: a line (version 1) or a binary header (version
// 2) before anything else. See https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

	maxProxyV1  = 107 // bytes, CR LF included
	proxyV2Head = 16  // bytes before the addresses
)

// openProxy matches a PROXY header. While it is incomplete, Other is set as soon as it cannot be anything else.
func openProxy(p []byte) Opening {
	found := openPrefix(p, proxyV1, Opening{Kind: ProxyHeader, Other: OtherPROXY})
	parse := openProxyV1
	if found.Kind == noMatch {
		found = openPrefix(p, proxyV2, Opening{Kind: ProxyHeader, Other: OtherPROXY})
		parse = openProxyV2
	}
	if found.Kind != ProxyHeader {
		return found
	}
	n, source, ok := parse(p)
	switch {
	case !ok:
		return Opening{Kind: OtherProtocol, Other: OtherPROXY}
	case n == 0:
		return Opening{Kind: NeedMore, Other: OtherPROXY}
	}
	found.Skip, found.Source = n, source
	return found
}

// openProxyV1 parses a header such as PROXY TCP4 192.0.2.1 198.51.100.1 56324 443. Its length is 0 if it is incomplete.
// The source is invalid if the proxy does not name one.
func openProxyV1(p []byte) (n int, source netip.AddrPort, ok bool) {
	end := bytes.IndexByte(p[:min(len(p), maxProxyV1)], '\n')
	switch {
	case end < 0:
		return 0, source, len(p) < maxProxyV1
	case p[end-1] != '\r':
		return 0, source, false
	}
	f := bytes.Split(p[len(proxyV1):end-1], []byte{' '})
	family := string(f[0])
	if family == "UNKNOWN" { // what follows is to be ignored
		return end + 1, source, true
	}
	if len(f) != 5 || family != "TCP4" && family != "TCP6" {
		return 0, source, false
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		addr, err := netip.ParseAddr(string(f[1+i]))
		port, wrong := strconv.ParseUint(string(f[3+i]), 10, 16)
		if err != nil || wrong != nil || addr.Is4() != (family == "TCP4") || addr.Zone() != "" ||
			strconv.FormatUint(port, 10) != string(f[3+i]) {
			return 0, source, false
		}
		ends[i] = netip.AddrPortFrom(addr, uint16(port))
	}
	return end + 1, ends[0], true
}

// openProxyV2 is openProxyV1 for version 2. What follows the addresses (TLVs) is skipped.
func openProxyV2(p []byte) (n int, source netip.AddrPort, ok bool) {
	if len(p) < proxyV2Head {
		return 0, source, true
	}
	const local, proxied = 0x20, 0x21
	command, family, length := p[12], p[13], int(binary.BigEndian.Uint16(p[14:]))
	if command != local && command != proxied {
		return 0, source, false
	}
	size := 0 // of an address
	switch family {
	case 0x11:
		size = 4
	case 0x21:
		size = 16
	}
	if command == local {
		size = 0
	}
	n = proxyV2Head + length
	switch {
	case length < 2*size+4 && size > 0:
		return 0, source, false
	case len(p) < n:
		return 0, source, true
	case size > 0:
		at := p[proxyV2Head:]
		addr, _ := netip.AddrFromSlice(at[:size])
		source = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(at[2*size:]))
	}
	return n, source, true
}
