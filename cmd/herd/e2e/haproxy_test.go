package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// A server at 192.0.2.1 takes PROXY headers from 192.0.2.4; its clients are at 192.0.2.3 and 192.0.2.5.
func newProxied(t *testing.T) *guarded {
	t.Helper()
	s := config.Server{Name: "Alford", Address: "192.0.2.1:11500", Listen: "192.0.2.1:11500", Console: "192.0.2.1:11600"}
	h := processtest.New(t, "[herd]\nsecret_file = \"secret\"\n[clients]\nopen = true\ntls = \"optional\"\nproxy_protocol = [\"192.0.2.4/32\"]\n"+
		"[console]\nopen = true\n[limits]\nconnections_per_address = 3\npartial_line_timeout = \"2s\"\n", s)
	g := &guarded{Herd: h, begun: time.Now(), addr: s.Listen, console: s.Console}
	g.file("secret", doorSecret+"\n")
	makeCerts(h)
	h.Start("Alford")
	processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
	return g
}

// sends sends parts, one after another, from an address to another, and returns what is answered until LF LF or the end.
func (g *guarded) sends(from, to string, over *tls.Config, parts ...string) (reply string, c net.Conn) {
	g.T.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		g.T.Fatal(err)
	}
	g.T.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(processtest.Patience))
	for i, part := range parts {
		if over != nil && i == len(parts)-1 { // behind a header
			c = tls.Client(c, over)
		}
		if _, err := io.WriteString(c, part); err != nil {
			return "", c // it was closed already
		}
	}
	in := bufio.NewReader(c)
	for !strings.HasSuffix(reply, "\n\n") {
		line, err := in.ReadString('\n')
		if reply += line; err != nil {
			return reply, c
		}
	}
	return reply, c
}

// proxyV2 is a header of version 2 for a client at 192.0.2.3, with TLVs of a length.
func proxyV2(tlvs int) string {
	text := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11")
	text = binary.BigEndian.AppendUint16(text, uint16(12+tlvs))
	text = append(text, 192, 0, 2, 3, 192, 0, 2, 4, 0x30, 0x39, 0, 80)
	return string(text) + strings.Repeat("\x04", tlvs)
}

// PROXY headers of a proxy and of somebody else, whole and in parts.
func TestProxyHeaders(t *testing.T) {
	const required = "PROXY headers: only from a proxy, one, with an end"
	if !inside(t, required, fiveAddresses) {
		return
	}
	g := newProxied(t)
	const v1 = "PROXY TCP4 192.0.2.3 192.0.2.4 12345 80\r\n"
	const update = "IAMAT kiwi +1+1 5\n"
	counters := func() [3]uint64 {
		c := g.status().Counters
		return [3]uint64{c.OtherProtocols, c.ProxyRefused, c.PartialTimeouts}
	}
	for _, c := range []struct {
		what, from, sent string
		counted          int // of counters
	}{
		{"a client's own header", "192.0.2.3", v1 + update, 0},
		{"a client's own header, version 2", "192.0.2.3", proxyV2(0) + update, 0},
		{"its beginning", "192.0.2.3", "PROXY ", 0},
		{"no header", "192.0.2.4", update, 1},
		{"two headers", "192.0.2.4", v1 + v1 + update, 0},
		{"two headers, version 2", "192.0.2.4", proxyV2(0) + proxyV2(0) + update, 0},
		{"two headers, of both versions", "192.0.2.4", v1 + proxyV2(0) + update, 0},
		{"a header without end", "192.0.2.4", "PROXY TCP4 " + strings.Repeat("1", 200), 0},
		{"a header that stops", "192.0.2.4", "PROXY TCP4 192.0.2.3", 2},
		{"a header that stops, version 2", "192.0.2.4", proxyV2(65523)[:60000], 2},
		{"an unknown command", "192.0.2.4", strings.Replace(proxyV2(0), "\x21\x11", "\x22\x11", 1) + update, 0},
		{"too short for its addresses", "192.0.2.4", strings.Replace(proxyV2(0), "\x11\x00\x0c", "\x11\x00\x0b", 1) + update, 0},
	} {
		before := counters()
		got, conn := g.sends(c.from, g.addr, nil, c.sent)
		conn.Close()
		if got != "" && !strings.HasPrefix(got, "> ") {
			t.Errorf("%s: the answer is %q", c.what, got)
		}
		processtest.Eventually(t, c.what+" is counted", func() bool { return counters()[c.counted] == before[c.counted]+1 })
	}
	if s := g.status(); s.Records > 0 {
		t.Errorf("%d records", s.Records)
	}
	g.loggedOnce("other protocol refused", `"protocol":"PROXY"`, `"peer":"192.0.2.3:`)
	g.loggedOnce("client refused", `"reason":"no PROXY header"`, `"peer":"192.0.2.4:`)
	// TLVs of any length, cut anywhere, with lines or TLS behind them.
	over := &tls.Config{RootCAs: roots(g.Herd), ServerName: "Alford"}
	for _, tlvs := range []int{0, 1, 2, 3, 255, 256, 4000, 8191, 8192, 16384, 65523} {
		header := proxyV2(tlvs)
		for _, at := range []int{0, 1, 12, 13, 15, 16, 17, 27, 28, 29, len(header) - 1, len(header)} {
			if at > len(header) {
				continue
			}
			for _, secure := range []*tls.Config{nil, over} {
				got, conn := g.sends("192.0.2.4", g.addr, secure, header[:at], header[at:], "help\n")
				conn.Close()
				if !strings.HasPrefix(got, "Available commands") {
					t.Fatalf("TLVs of %d bytes, cut at %d, TLS %v: %q", tlvs, at, secure != nil, got)
				}
				processtest.Eventually(t, "it is gone", func() bool { return g.status().Connections == 0 })
			}
		}
	}
	for b := range len(v1) {
		got, conn := g.sends("192.0.2.4", g.addr, nil, v1[:b], v1[b:], "help\n")
		conn.Close()
		if !strings.HasPrefix(got, "Available commands") {
			t.Fatalf("version 1 cut at %d: %q", b, got)
		}
		processtest.Eventually(t, "it is gone", func() bool { return g.status().Connections == 0 })
	}
	figure(t, true, required, "12 wrong ones; TLVs of 11 lengths, cut at up to 12 places")
}

const haproxyConfig = `global
    stats socket %[1]s/haproxy.sock
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout check 5s
listen v1
    bind 192.0.2.4:1001
    server s 192.0.2.1:11500 source 192.0.2.4 send-proxy check inter 200ms
listen v2
    bind 192.0.2.4:1002
    option tcp-check
    tcp-check send help\n
    tcp-check expect string Available
    server s 192.0.2.1:11500 source 192.0.2.4 send-proxy-v2 check inter 200ms
listen terminated
    bind 192.0.2.4:1003 ssl crt %[1]s/haproxy.pem
    server s 192.0.2.1:11500 source 192.0.2.4 send-proxy-v2-ssl check inter 200ms
listen http
    bind 192.0.2.4:1004
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host probe.example
    http-check expect status 200
    server s 192.0.2.1:11500 source 192.0.2.4 send-proxy-v2 check port 11600 inter 200ms
listen encrypted
    bind 192.0.2.4:1005
    server s 192.0.2.1:11500 source 192.0.2.4 send-proxy-v2 ssl verify required ca-file %[1]s/tls/ca.pem sni str(Alford) check inter 200ms
`

// HAProxy in front of a server: with both versions, TLS passed through, ended at it, and made by it, and its health
// checks. Logs and limits are about its clients.
func TestHAProxy(t *testing.T) {
	const required = "behind HAProxy, logs and limits are about its clients"
	if _, err := exec.LookPath("haproxy"); err != nil {
		notRun(t, required, "apt-get install haproxy")
	}
	if !inside(t, required, fiveAddresses) {
		return
	}
	g := newProxied(t)
	cert, key := pems(t, issuerOf(g.Herd).issue(t, "proxy.example", nil))
	g.file("haproxy.pem", cert+key)
	g.file("haproxy.cfg", fmt.Sprintf(haproxyConfig, g.Dir))
	var said processtest.Output
	proxy := exec.Command("haproxy", "-db", "-f", filepath.Join(g.Dir, "haproxy.cfg"))
	proxy.Stdout, proxy.Stderr = &said, &said
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Kill()
		_ = proxy.Wait()
	})
	want := map[string]string{"v1": "L4OK", "v2": "L7OK", "terminated": "L4OK", "http": "L7OK", "encrypted": "L6OK"}
	processtest.Eventually(t, "HAProxy's checks succeed", func() bool {
		stats := haproxyChecks(g.Dir)
		for name, status := range want {
			if stats[name] != status {
				return false
			}
		}
		return true
	})
	over := func(name string) *tls.Config { return &tls.Config{RootCAs: roots(g.Herd), ServerName: name} }
	for _, c := range []struct {
		what, port string
		over       *tls.Config
		through    bool // TLS passes through HAProxy, or begins there
	}{
		{"version 1", "1001", nil, false}, {"version 1, TLS", "1001", over("Alford"), true},
		{"version 2", "1002", nil, false}, {"version 2, TLS", "1002", over("Alford"), true},
		{"TLS ends at HAProxy", "1003", over("proxy.example"), false},
		{"checked by HTTP", "1004", over("Alford"), true},
		{"HAProxy speaks TLS", "1005", nil, true},
	} {
		var open []net.Conn
		for i := range 4 {
			got, conn := g.sends("192.0.2.3", "192.0.2.4:"+c.port, c.over, "help\n")
			open = append(open, conn)
			want := "Available commands"
			switch {
			case i == 3 && c.through: // it is refused before TLS, which a client does not read
				want = ""
			case i == 3:
				want = "> LIMIT: more than 3 connections of this address"
			}
			if !strings.HasPrefix(got, want) || got != "" && want == "" {
				t.Errorf("%s: connection %d gets %q", c.what, i, got)
			}
			if i == 0 {
				local := conn.LocalAddr().String()
				processtest.Eventually(t, c.what+": the log has the client's address", func() bool {
					return g.logged("connection made", `"peer":"`+local+`"`) > 0
				})
			}
		}
		got, conn := g.sends("192.0.2.5", "192.0.2.4:"+c.port, c.over, "help\n")
		if open = append(open, conn); !strings.HasPrefix(got, "Available commands") {
			t.Errorf("%s: a client of another address gets %q", c.what, got)
		}
		for _, conn := range open {
			conn.Close()
		}
		processtest.Eventually(t, c.what+": no client is left", func() bool {
			got, conn := g.sends("192.0.2.3", "192.0.2.4:1001", nil, "help\n")
			conn.Close()
			return strings.HasPrefix(got, "Available commands")
		})
		processtest.Eventually(t, c.what+": all are gone", func() bool { return g.status().Connections <= 1 }) // but a check
	}
	if got, conn := g.sends("192.0.2.3", g.addr, nil, "PROXY TCP4 192.0.2.5 192.0.2.4 12345 80\r\nhelp\n"); got != "" {
		t.Errorf("a client's own header is answered %q", got)
	} else {
		conn.Close()
	}
	if n := g.logged("connection made", `"peer":"192.0.2.4:`); n == 0 {
		t.Error("the checks, which are lines, are not logged as HAProxy's own")
	}
	if text := logOf(g.Herd, "Alford"); strings.Contains(text, `"level":"error"`) || g.logged("TLS handshake failed") > 1 {
		t.Errorf("the log has errors, or %d failed handshakes", g.logged("TLS handshake failed"))
	}
	for name, status := range haproxyChecks(g.Dir) {
		if want[name] != status {
			t.Errorf("HAProxy's check of %s is %s", name, status)
		}
	}
	figure(t, true, required, "7 ways, 5 kinds of checks")
}

// haproxyChecks returns the status of HAProxy's last checks, by listener.
func haproxyChecks(dir string) map[string]string {
	c, err := net.Dial("unix", filepath.Join(dir, "haproxy.sock"))
	if err != nil {
		return nil
	}
	defer c.Close()
	_, _ = io.WriteString(c, "show stat\n")
	text, _ := io.ReadAll(c)
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	all := map[string]string{}
	for _, row := range rows[1:] {
		if len(row) > column["check_status"] && row[column["svname"]] == "s" {
			all[row[0]] = strings.TrimPrefix(row[column["check_status"]], "* ")
		}
	}
	return all
}
