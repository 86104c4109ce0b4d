package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// Certificates are exchanged while servers run: broken ones are not taken, and this is said; good ones are, also those of
// a new authority, and no connection and no link is dropped.
func TestCertificatesAreExchanged(t *testing.T) {
	scenario(t)
	const modes = "required"
	h, listeners := processtest.NewHerd(t, unlogged+tlsModes(modes, modes, modes), "Alford", "Hamilton")
	makeCerts(h)
	other := processtest.New(t, "", config.Server{Name: "Alford", Address: "127.0.0.1:1", Listen: "127.0.0.1:1", Console: "127.0.0.1:2"})
	makeCerts(other)
	original, next := issuerOf(h), issuerOf(other)
	fresh, err := os.ReadFile(caFile(other))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Herd: h}
	trusted := roots(h)
	c.connect = func(name string) (net.Conn, error) {
		return tls.Dial("tcp", c.Server(name).Listen, &tls.Config{RootCAs: trusted, ServerName: name})
	}
	old, err := os.ReadFile(caFile(h))
	if err != nil {
		t.Fatal(err)
	}
	c.CA = filepath.Join(h.Dir, "both.pem") // the test always trusts both
	if err := os.WriteFile(c.CA, slices.Concat(old, fresh), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Alford", "Hamilton"} {
		c.Start(name, listeners[name]...)
	}
	c.UntilLive()
	since := func() (all [4]time.Time) {
		for i, name := range []string{"Alford", "Hamilton"} {
			all[i] = c.now(name).Links[0].Since
			all[2+i] = c.now(name).TLS.Expires
		}
		return all
	}
	linked := since()
	b := c.bystander("Alford")

	file := func(name string) string { return filepath.Join(h.Dir, "tls", name) }
	read := func(name string) string {
		text, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(name, text string) {
		if err := os.WriteFile(file(name)+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file(name)+".new", file(name)); err != nil {
			t.Fatal(err)
		}
	}
	pair := func(name string, c *tls.Certificate) {
		cert, key := pems(t, c)
		write(name+"-key.pem", key)
		write(name+".pem", cert)
	}
	// serial is that of the certificate that a new connection gets.
	serial := func(name string) string {
		conn, err := c.client(name)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial("Alford")
	cert, key, ca := read("Alford.pem"), read("Alford-key.pem"), read("ca.pem")
	another := newIssuer(t)

	for _, broken := range []struct {
		what, want string
		change     func()
		hangup     bool
	}{
		{"no certificate in it", "failed to find any PEM data", func() { write("Alford.pem", "nonsense") }, true},
		{"half of it", "failed to find any PEM data", func() { write("Alford.pem", cert[:len(cert)/2]) }, true},
		{"another's key", "private key does not match", func() { write("Alford-key.pem", read("Hamilton-key.pem")) }, true},
		{"expired", "has expired on", func() { pair("Alford", original.issue(t, "Alford", expired)) }, true},
		{"not yet valid", "is not valid before", func() { pair("Alford", original.issue(t, "Alford", notYetValid)) }, true},
		{"another authority's", "signed by unknown authority", func() { pair("Alford", another.issue(t, "Alford", nil)) }, true},
		{"another name's", "not for this name", func() { pair("Alford", original.issue(t, "alford", nil)) }, true},
		{"for servers only", "incompatible key usage", func() { pair("Alford", original.issue(t, "Alford", forServersOnly)) }, true},
		{"no authority", "no certificate in PEM", func() { write("ca.pem", "") }, true},
		{"no file", "no such file", func() { os.Remove(file("Alford.pem")) }, false}, // noticed by itself
	} {
		broken.change()
		if broken.hangup {
			c.signal("Alford", syscall.SIGHUP)
		}
		processtest.Eventually(t, broken.what+" is in the status", func() bool {
			return strings.Contains(c.now("Alford").TLS.Error, broken.want)
		})
		processtest.Eventually(t, broken.what+" is logged", func() bool {
			for range linesWith(logOf(h, "Alford"), `"msg":"certificates reload failed, keeping the old ones"`, broken.want) {
				return true
			}
			return false
		})
		if got := serial("Alford"); got != first {
			t.Errorf("%s: a new connection gets another certificate", broken.what)
		}
		write("Alford.pem", cert)
		write("Alford-key.pem", key)
		write("ca.pem", ca)
	}
	processtest.Eventually(t, "the old ones are back", func() bool { return c.now("Alford").TLS.Error == "" })

	// A new certificate of the same authority is taken by itself.
	makeCerts(h, "Alford", "--force")
	processtest.Eventually(t, "the new certificate is taken", func() bool { return serial("Alford") != first })

	// A new authority: first all servers trust both, then they get certificates of the new one, then the old one goes.
	reloaded := func(name string) int { return strings.Count(logOf(h, name), `"msg":"certificates reloaded"`) }
	everywhere := func(what string, change func(name string)) {
		t.Helper()
		before := map[string]int{}
		for _, name := range []string{"Alford", "Hamilton"} {
			before[name] = reloaded(name)
		}
		for _, name := range []string{"Alford", "Hamilton"} {
			change(name)
			c.signal(name, syscall.SIGHUP)
		}
		for _, name := range []string{"Alford", "Hamilton"} {
			processtest.Eventually(t, what+" at "+name, func() bool { return reloaded(name) > before[name] && c.now(name).TLS.Error == "" })
		}
	}
	everywhere("both authorities", func(string) { write("ca.pem", ca+string(fresh)) })
	trusted = roots(h)
	everywhere("certificates of the new authority", func(name string) { pair(name, next.issue(t, name, nil)) })
	everywhere("the new authority only", func(string) { write("ca.pem", string(fresh)) })
	trusted = x509.NewCertPool()
	trusted.AppendCertsFromPEM(fresh)
	if old, err := tls.Dial("tcp", c.Server("Alford").Listen, as(original.issue(t, "Hamilton", nil))); err == nil {
		if got := untilClosed(old); got != "" {
			t.Errorf("a certificate of the old authority gets %q", got)
		}
		old.Close()
	}
	if now := since(); now[0] != linked[0] || now[1] != linked[1] || now[2] == linked[2] || now[3] == linked[3] {
		t.Errorf("links since %v and certificates until %v, before %v", now[:2], now[2:], linked)
	}
	served := b.served()
	processtest.Eventually(t, "the bystander is still served", func() bool { return b.served() > served })
	b.done()
	// New links are made with the new certificates.
	c.Stop("Hamilton")
	c.Start("Hamilton")
	c.UntilLive()
	if !c.now("Alford").Links[0].TLS || !c.now("Hamilton").Links[0].TLS {
		t.Error("a link is not over TLS")
	}
	figure(t, true, "certificates exchanged: broken ones are not taken, new ones are, no connection or link dropped", "10 broken, 2 authorities")
}
