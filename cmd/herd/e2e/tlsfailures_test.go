package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
	"serverherd/reactor"
)

// issuer signs certificates: good ones, and others.
type issuer struct{ tls.Certificate }

// issuerOf is the authority of a herd.
func issuerOf(h *processtest.Herd) issuer {
	h.T.Helper()
	pair, err := tls.LoadX509KeyPair(caFile(h), filepath.Join(h.Dir, "tls", "ca-key.pem"))
	if err != nil {
		h.T.Fatal(err)
	}
	return issuer{pair}
}

// newIssuer is another authority.
func newIssuer(t *testing.T) issuer {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "another"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return issuer{sign(t, template, nil)}
}

// sign makes a key and a certificate for it, by itself if parent is nil.
func sign(t *testing.T, template *x509.Certificate, parent *issuer) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour) // a soak may last a day
	}
	by, signer := template, any(key)
	if parent != nil {
		by, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// issue makes a certificate for a name, which is a server's if nothing is changed.
func (i issuer) issue(t *testing.T, name string, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	pair := sign(t, template, &i)
	return &pair
}

// pems are the texts of a certificate and its key.
func pems(t *testing.T, c *tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func notYetValid(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
}

func forServersOnly(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// newSecured starts Alford with tokens and TLS. Its neighbor Welsh is not started; the listener is at Welsh's address.
func newSecured(t *testing.T, links, clients, more string) (g *guarded, welsh net.Listener) {
	t.Helper()
	h, listeners := processtest.NewHerd(t, fmt.Sprintf("%s[tls]\nlinks = %q\n[herd]\nsecret_file = \"secret\"\n[clients]\n"+
		"tokens = \"tokens.toml\"\ntls = %q\n%s", placeless, links, clients, more), "Alford", "Welsh")
	h.Flags = []string{"--pprof", "--engine", *engine}
	g = &guarded{Herd: h, begun: time.Now(), addr: h.Server("Alford").Listen, console: h.Server("Alford").Console}
	g.file("secret", doorSecret+"\n")
	g.tokens("")
	makeCerts(h)
	g.secure = &tls.Config{RootCAs: roots(h), ServerName: "Alford"}
	welsh = listeners["Welsh"][0]
	listeners["Welsh"][1].Close()
	t.Cleanup(func() { welsh.Close() })
	h.Start("Alford", listeners["Alford"]...)
	processtest.Eventually(t, "Alford answers", func() bool { return h.Status("Alford") != nil })
	return g, welsh
}

// as is a client's configuration with a certificate; nil: none. Nothing about the server is checked.
func as(c *tls.Certificate) *tls.Config {
	t := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
	if c != nil { // whatever authorities the server asks for
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	}
	return t
}

func upTo(t *tls.Config, version uint16) *tls.Config {
	t.MaxVersion = version
	return t
}

// tcp is a connection to Alford without TLS.
func (g *guarded) tcp() net.Conn {
	g.T.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.T.Fatal(err)
	}
	g.T.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * processtest.Patience))
	return c
}

// over is a connection to Alford over TLS, and the error of its handshake, which with TLS 1.3 may come later.
func (g *guarded) over(t *tls.Config) (*tls.Conn, error) {
	c := tls.Client(g.tcp(), t)
	return c, c.Handshake()
}

// untilClosed reads until the server closes.
func untilClosed(c io.Reader) string {
	text, err := io.ReadAll(c)
	if os.IsTimeout(err) {
		return string(text) + " and stays open"
	}
	return string(text)
}

// cutting is a connection below TLS whose end can come within a record.
type cutting struct {
	*net.TCPConn
	cut int // 0: not; otherwise the next write sends so many bytes, and the end
}

// Write implements net.Conn.
func (c *cutting) Write(p []byte) (int, error) {
	if c.cut == 0 {
		return c.TCPConn.Write(p)
	}
	_, err := c.TCPConn.Write(p[:min(c.cut, len(p)-1)])
	return len(p), errors.Join(err, c.CloseWrite())
}

// Each failure of TLS, by a client or a neighbor: the peer gets an alert or the end, the log says why once, it is counted,
// and nothing that came is executed. As clients must, or may, use TLS.
func TestFailuresOfTLS(t *testing.T) {
	for _, mode := range []string{"required", "optional"} {
		t.Run(mode, func(t *testing.T) {
			scenario(t)
			failuresOfTLS(t, mode)
		})
	}
}

func failuresOfTLS(t *testing.T, mode string) {
	g, welsh := newSecured(t, mode, mode, "[limits]\npartial_line_timeout = \"2s\"\n")
	welsh.Close()
	own, another := issuerOf(g.Herd), newIssuer(t)
	stop := g.bystander(10 * time.Millisecond)
	failed := func() uint64 { return g.status().Counters.TLSFailed }

	const times = 3
	type attack struct {
		what   string
		try    func() string // what the peer has got besides alerts
		reason string        // in the log
	}
	handshake := func(c *tls.Config) func() string {
		return func() string {
			conn, _ := g.over(c)
			return untilClosed(conn)
		}
	}
	raw := func(p []byte, closes bool) func() string {
		return func() string {
			c := g.tcp()
			_, _ = c.Write(p)
			if closes {
				_ = c.(*net.TCPConn).CloseWrite()
			}
			text := untilClosed(c)
			if strings.HasPrefix(text, "\x15\x03") || strings.HasPrefix(text, "\x16\x03") { // an alert, or the server's hello
				return ""
			}
			return text
		}
	}
	hello := tlsHello()
	attacks := []attack{
		{"another authority", handshake(as(another.issue(t, "Welsh", nil))), "certificate signed by unknown authority"},
		{"expired", handshake(as(own.issue(t, "Welsh", expired))), "expired or is not yet valid"},
		{"not yet valid", handshake(as(own.issue(t, "Welsh", notYetValid))), "expired or is not yet valid"},
		{"for servers only", handshake(as(own.issue(t, "Welsh", forServersOnly))), "incompatible key usage"},
		{"TLS 1.1", handshake(upTo(as(nil), tls.VersionTLS11)), "unsupported versions"},
		{"TLS 1.0", handshake(upTo(as(nil), tls.VersionTLS10)), "unsupported versions"},
		{"a client that does not trust the server", handshake(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "Alford"}), "remote error: tls: bad certificate"},
		{"a stall in the hello", raw(hello[:50], false), "not complete within 5s"},
		{"a stall after the hello", raw(hello, false), "not complete within 5s"},
		{"the end in the hello", raw(hello[:50], true), `"unexpected EOF"`},
		{"the end after the hello", raw(hello, true), `"EOF"`},
		{"garbage in a record", raw(append([]byte("\x16\x03\x01\x00\x20"), bytes.Repeat([]byte("x"), 32)...), false), "handshake message of length"},
		{"a record that is too long", raw([]byte("\x16\x03\x01\xff\xff"+strings.Repeat("x", 100)), false), "oversized record"},
	}
	if mode == "required" { // nothing else can come
		attacks = append(attacks, attack{"nothing", raw(nil, false), "not complete within 5s"},
			attack{"lines", raw([]byte("IAMAT plain +1+1 5\n"), false), "first record does not look like a TLS handshake"},
			attack{"half a header", raw([]byte("\x16\x03"), false), "not complete within 5s"})
	}
	before := failed() // nobody listens at Welsh's address, so no dial fails after TCP
	var all sync.WaitGroup
	for _, a := range attacks {
		for range times {
			all.Go(func() {
				if got := a.try(); got != "" {
					t.Errorf("%s: the peer got %q", a.what, got)
				}
			})
		}
	}
	all.Wait()
	want := uint64(len(attacks) * times)
	processtest.Eventually(t, "each is counted", func() bool { return failed()-before >= want })
	if n := failed() - before; n != want {
		t.Errorf("%d counted, want %d", n, want)
	}
	for _, a := range attacks {
		g.loggedOnce("TLS handshake failed", a.reason)
	}

	// HELLO over TLS.
	for _, c := range []struct {
		what, reason string
		config       *tls.Config
	}{
		{"no certificate", "tls: no certificate", as(nil)},
		{"another name", "tls: the certificate is for", as(own.issue(t, "Ball", nil))},
		{"another case", "tls: the certificate is for", as(own.issue(t, "welsh", nil))},
		{"a wildcard", "tls: the certificate is for", as(own.issue(t, "*", nil))},
		{"the name as common name only", "tls: the certificate is for", as(own.issue(t, "x", func(c *x509.Certificate) { c.Subject.CommonName = "Welsh" }))},
		{"its own certificate", "tls: the certificate is for", as(own.issue(t, "Alford", nil))},
		{"TLS 1.2", "tls: older than 1.3", upTo(as(own.issue(t, "Welsh", nil)), tls.VersionTLS12)},
	} {
		before := g.status().Counters.HandshakesFailed
		conn, err := g.over(c.config)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		p := newPeer(conn, doorSecret)
		if got := p.hello("Welsh", "Alford", "00000000000000aa"); got != "REFUSE tls" {
			t.Errorf("%s: HELLO is answered %q", c.what, got)
		}
		if got := p.readLine(); got != "" {
			t.Errorf("%s: then %q", c.what, got)
		}
		if n := g.status().Counters.HandshakesFailed; n != before+1 {
			t.Errorf("%s: %d counted", c.what, n-before)
		}
		processtest.Eventually(t, c.what+" is logged", func() bool { return g.logged("neighbor refused", `"reason":"tls: `) > 0 })
	}
	g.loggedOnce("neighbor refused", `"reason":"tls: `)
	if mode == "required" { // a link without TLS is a failed handshake above
		conn, err := g.over(as(own.issue(t, "Welsh", nil)))
		if err != nil {
			t.Fatal(err)
		}
		half := newPeer(conn, doorSecret)
		if got := half.hello("Welsh", "Alford", "00000000000000aa"); !strings.HasPrefix(got, "CHALLENGE ") {
			t.Errorf("HELLO is answered %q", got)
		}
		if got := half.readLine(); got != "" { // a half-open link is cut
			t.Errorf("then %q", got)
		}
	}

	g.truncated()
	g.renegotiates()
	stop()
	if s := g.status(); s.Records != 1 {
		t.Errorf("%d records: a line was executed", s.Records)
	}
	figure(t, true, "failures of TLS by kind: refused, logged once, counted", "%d kinds, clients: %s", len(attacks)+9, mode)
	g.noSecrets()
}

// truncated closes TCP without the end of TLS, within a line and behind one, at many places.
func (g *guarded) truncated() {
	t := g.T
	t.Helper()
	for _, text := range []string{"IAMAT cut +1+1 5", "IAMAT cut +1+1 152002", "IAMA", "WHATSAT bystander 10 1"} {
		for _, reset := range []bool{false, true} {
			c := g.connect("noisy")
			if _, err := io.WriteString(c.conn, text); err != nil {
				t.Fatal(err)
			}
			tcp := c.conn.(*tls.Conn).NetConn().(*cutting)
			if reset {
				_ = tcp.SetLinger(0)
				tcp.Close()
				continue
			}
			_ = tcp.CloseWrite() // the reply could still be read
			if got := untilClosed(c.in); got != "" {
				t.Errorf("%q, without the end of TLS, is answered %q", text, got)
			}
		}
	}
	processtest.Eventually(t, "it is logged", func() bool { return g.logged("connection lost", "without the end of TLS") >= 4 })
	// With the end of TLS, what follows the last LF is a line.
	c := g.connect("noisy")
	if _, err := io.WriteString(c.conn, "help"); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.(*tls.Conn).CloseWrite()
	if got := c.rest(); !strings.HasPrefix(got, "Available commands") {
		t.Errorf("with the end of TLS: %q", got)
	}
	// A record is cut at every byte of its header and at some of its body.
	for _, cut := range []int{1, 2, 3, 4, 5, 6, 20, 40} {
		c := g.connect("noisy")
		c.conn.(*tls.Conn).NetConn().(*cutting).cut = cut
		if _, err := io.WriteString(c.conn, "IAMAT cut +1+1 5\n"); err != nil {
			t.Fatal(err)
		}
		if got := untilClosed(c.in); got != "" {
			t.Errorf("a record cut at %d is answered %q", cut, got)
		}
	}
	if s := g.status(); s.Records != 1 {
		t.Errorf("%d records: a line that was cut was executed", s.Records)
	}
}

// renegotiates tries that with openssl, the only client here that can.
func (g *guarded) renegotiates() {
	t := g.T
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		fmt.Println("NOT RUN: renegotiation: apt-get install openssl")
		return
	}
	c := exec.Command("openssl", "s_client", "-connect", g.addr, "-tls1_2", "-CAfile", caFile(g.Herd), "-servername", "Alford")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewWriter(in)
	say := func(text string) {
		fmt.Fprint(lines, text)
		_ = lines.Flush()
	}
	say("TOKEN " + tokenText("noisy") + "\n")
	processtest.Eventually(t, "openssl is connected with TLS 1.2", func() bool { return strings.Contains(out.String(), "> Welcome noisy") })
	say("R\n") // its command for that
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case <-done:
	case <-time.After(processtest.Patience):
		_ = c.Process.Kill()
		t.Errorf("after renegotiation, the connection stays: %s", &out)
	}
	if !strings.Contains(out.String(), "RENEGOTIATING") || !strings.Contains(out.String(), "alert") && !strings.Contains(out.String(), "error") {
		t.Errorf("openssl says %s", &out)
	}
	g.saw(out.String())
}

// falseNeighbor is at the address of a neighbor.
type falseNeighbor struct {
	what   string
	config func(name string) *tls.Config // nil: it says something else
	answer string
	reason string // why this server has no link to it

	heard processtest.Output
}

// serve handles the connections of one. It stalls if there is nothing to say.
func (f *falseNeighbor) serve(t *testing.T, l net.Listener, config *tls.Config) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			switch {
			case config != nil:
				_, _ = io.Copy(&f.heard, tls.Server(c, config))
				c.Close()
			case f.answer != "":
				_, _ = io.WriteString(c, f.answer)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}
		}()
	}
}

// With links = "required", this server says nothing to a neighbor with a wrong certificate, or without TLS.
func TestFailuresOfDialsOverTLS(t *testing.T) {
	scenario(t)
	var own, another issuer // once they are made
	server := func(by *issuer, change func(*x509.Certificate)) func(string) *tls.Config {
		return func(name string) *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{*by.issue(t, name, change)}, ClientAuth: tls.RequireAnyClientCert}
		}
	}
	named := func(n string) func(*x509.Certificate) { return func(c *x509.Certificate) { c.DNSNames = []string{n} } }
	all := []*falseNeighbor{
		{what: "the right one", config: server(&own, nil)},
		{what: "another authority", config: server(&another, nil), reason: "certificate signed by unknown authority"},
		{what: "expired", config: server(&own, expired), reason: "has expired or is not yet valid"},
		{what: "not yet valid", config: server(&own, notYetValid), reason: "has expired or is not yet valid"},
		{what: "another name", config: server(&own, named("Alford")), reason: "the certificate is not for this name"},
		{what: "another case", config: server(&own, func(c *x509.Certificate) { c.DNSNames[0] = strings.ToLower(c.DNSNames[0]) }), reason: "the certificate is not for this name"},
		{what: "a wildcard", config: server(&own, named("*")), reason: "the certificate is not for this name"},
		{what: "TLS 1.2", config: func(name string) *tls.Config { return upTo(server(&own, nil)(name), tls.VersionTLS12) }, reason: "protocol version not supported"},
		{what: "no TLS", answer: "REFUSE tls\n", reason: "first record does not look like a TLS handshake"},
		{what: "an alert", answer: "\x15\x03\x03\x00\x02\x02\x28", reason: "handshake failure"},
		{what: "a stall", reason: "not complete within " + reactor.TLSHandshakeTime.String()},
	}
	h, listeners := processtest.NewHerd(t, secretly+tlsModes("required", "off", "off"), "Alford")
	alford := h.Servers[0]
	at := make([]net.Listener, len(all))
	for i := range all {
		l, err := net.Listen("tcp", processtest.Host()+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		name, addr := fmt.Sprintf("N%d", i), l.Addr().String()
		at[i] = l
		alford.Neighbors = append(alford.Neighbors, name)
		h.Servers = append(h.Servers, config.Server{Name: name, Address: addr, Listen: addr, Console: fmt.Sprintf("127.0.0.1:%d", 1+i), Neighbors: []string{"Alford"}})
	}
	h.Servers[0] = alford
	h.Write(h.Servers...)
	writeSecret(h, doorSecret)
	makeCerts(h)
	own, another = issuerOf(h), newIssuer(t)
	for i, f := range all {
		var c *tls.Config
		if f.config != nil {
			c = f.config(fmt.Sprintf("N%d", i))
		}
		go f.serve(t, at[i], c)
	}
	h.Start("Alford", listeners["Alford"]...)
	for i, f := range all {
		if f.reason == "" {
			processtest.Eventually(t, "the right one hears HELLO", func() bool {
				return strings.HasPrefix(f.heard.String(), "HELLO herd/1 ucla Alford N0 ")
			})
			continue
		}
		processtest.Eventually(t, f.what+" is in the status", func() bool {
			s := h.Status("Alford")
			return s != nil && strings.Contains(s.Links[i].Error, f.reason)
		})
		processtest.Eventually(t, f.what+" is logged", func() bool {
			for range linesWith(logOf(h, "Alford"), `"msg":"link down","neighbor":"N`+fmt.Sprint(i), f.reason) {
				return true
			}
			return false
		})
		if got := f.heard.String(); got != "" {
			t.Errorf("%s: it has heard %q", f.what, got)
		}
	}
	if n := h.Status("Alford").Counters.TLSFailed; n < uint64(len(all)-1) {
		t.Errorf("%d counted", n)
	}
	figure(t, true, "a neighbor with a wrong certificate: it hears nothing", "%d kinds", len(all)-1)
}
