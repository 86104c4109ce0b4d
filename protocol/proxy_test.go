package protocol

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

// v2 is a PROXY header of version 2.
func v2(command, family byte, addresses, tlvs string) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(addresses)+len(tlvs)))
	return proxyV2 + string([]byte{command, family}) + string(length) + addresses + tlvs
}

const (
	four = "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb" // 192.0.2.1:56324 to 198.51.100.1:443
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xdc\x04\x01\xbb"
)

func TestProxyHeaders(t *testing.T) {
	const bad, more = -1, 0
	for _, c := range []struct {
		name, header string
		source       string // "" if it is invalid
		skip         int    // bytes; bad, or more are needed
	}{
		{"version 1", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1:56324", 45},
		{"IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "[2001:db8::1]:56324", 46},
		{"unknown", "PROXY UNKNOWN\r\n", "", 15},
		{"unknown, with what is ignored", "PROXY UNKNOWN ffff::1 what\r\n", "", 28},
		{"incomplete", "PROXY TCP4 192.0.2.1", "", more},
		{"no end", "PROXY UNKNOWN" + strings.Repeat(" ", 200), "", bad},
		{"the longest", "PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n", "", 107},
		{"one byte more", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", "", bad},
		{"LF without CR", "PROXY UNKNOWN\n", "", bad},
		{"another family", "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", bad},
		{"a wrong address", "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n", "", bad},
		{"an address of the other family", "PROXY TCP4 ::1 ::2 56324 443\r\n", "", bad},
		{"a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 56324 443\r\n", "", bad},
		{"a port that is none", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", "", bad},
		{"a port with a zero", "PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n", "", bad},
		{"a port too few", "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", "", bad},
		{"two spaces", "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n", "", bad},
		{"lower case", "proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "", bad - 1},

		{"version 2", v2(0x21, 0x11, four, ""), "192.0.2.1:56324", 28},
		{"IPv6 in version 2", v2(0x21, 0x21, six, ""), "[2001:db8::1]:56324", 52},
		{"TLVs", v2(0x21, 0x11, four, "\x03\x00\x04abcd"), "192.0.2.1:56324", 35},
		{"TLVs that are none", v2(0x21, 0x11, four, strings.Repeat("\xff", 500)), "192.0.2.1:56324", 528},
		{"as many TLVs as there can be", v2(0x21, 0x11, four, strings.Repeat("x", 65535-12)), "192.0.2.1:56324", 65551},
		{"a health check of the proxy", v2(0x20, 0x00, "", ""), "", 16},
		{"the same with an address", v2(0x20, 0x11, four, ""), "", 28},
		{"UDP", v2(0x21, 0x12, four, ""), "", 28},
		{"a Unix socket", v2(0x21, 0x31, strings.Repeat("x", 216), ""), "", 232},
		{"incomplete in version 2", v2(0x21, 0x11, four, "")[:20], "", more},
		{"addresses too short", v2(0x21, 0x11, four[:11], ""), "", bad},
		{"version 3", v2(0x31, 0x11, four, ""), "", bad},
		{"another command", v2(0x22, 0x11, four, ""), "", bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := openProxy([]byte(c.header))
			source := ""
			if o.Source != (netip.AddrPort{}) {
				source = o.Source.String()
			}
			want := map[int]OpeningKind{bad: OtherProtocol, more: NeedMore, bad - 1: noMatch}
			kind, ok := want[c.skip]
			if !ok {
				kind = ProxyHeader
			}
			if o.Kind != kind || o.Kind != noMatch && o.Other != OtherPROXY || source != c.source || o.Skip != max(0, c.skip) {
				t.Errorf("%+v, want kind %d, %q and %d bytes", o, kind, c.source, c.skip)
			}
			if c.skip > 1000 || kind == noMatch {
				return
			}
			allCuts(t, []byte(c.header+"IAMAT\n"))
			for end := range len(c.header) { // as soon as it can be nothing else, it is said
				o := Open([]byte(c.header[:end]), true)
				sure := end >= len(proxyV2) || strings.HasPrefix(c.header[:end], proxyV1)
				if (o.Other == OtherPROXY) != sure || o.Kind == ProxyHeader {
					t.Fatalf("%d bytes: %+v", end, o)
				}
			}
		})
	}
}
