// Package certs has a server's certificate and the authorities that it trusts, reads them again when their files change,
// and makes what crypto/tls needs to know for links, clients and consoles.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"serverherd/herd/config"
)

// Certs are the files of one server. Any goroutine may use them.
type Certs struct {
	server  string
	others  []string
	files   config.TLS
	current atomic.Pointer[loaded]
	reading sync.Mutex             // one Reload at a time
	failed  atomic.Pointer[string] // why the last attempt to read the files failed; nil if it did not
}

// loaded is what the files had at one time. It is not changed.
type loaded struct {
	stamps [3]stamp
	cert   *tls.Certificate
	roots  *x509.CertPool
	server *tls.Config
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// Load reads a server's files, see config.TLS.Of. With links over TLS its certificate must be one that neighbors accept,
// and have no name of the other servers.
func Load(files config.TLS, server string, others ...string) (*Certs, error) {
	c := &Certs{server: server, others: others, files: files}
	l, err := c.load()
	if err != nil {
		return nil, err
	}
	c.current.Store(l)
	return c, nil
}

// Check returns an error if a server's files cannot be used, for links, too.
func Check(files config.TLS, server string, others ...string) error {
	files.Links = "required"
	_, err := Load(files, server, others...)
	return err
}

// RootsOf reads the authorities of a server, tls.ca of herd.toml.
func RootsOf(files config.TLS) (*x509.CertPool, error) {
	roots, err := Roots(files.CA)
	if err != nil {
		return nil, ofKey("tls.ca", err)
	}
	return roots, nil
}

// Roots reads a file with the certificates of authorities.
func Roots(file string) (*x509.CertPool, error) {
	// #nosec G304 -- herd.toml or a flag names it
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

// ofKey names the key of herd.toml in an error about its file.
func ofKey(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w; herd cert makes the files of [tls]", key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}

func (c *Certs) load() (*loaded, error) {
	l := &loaded{stamps: c.stamps()} // before reading: a change meanwhile is noticed later
	var err error
	if l.roots, err = RootsOf(c.files); err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(c.files.Cert)
	if err != nil {
		return nil, ofKey("tls.cert", err)
	}
	key, err := config.ReadSecret(c.files.Key)
	if err != nil {
		return nil, ofKey("tls.key", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert and tls.key: %s and %s: %w", c.files.Cert, c.files.Key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return nil, fmt.Errorf("tls.cert: %s %s", c.files.Cert, validity(pair.Leaf, now))
	}
	if c.files.Links != "off" {
		if err := c.checkLinks(l.roots, pair.Certificate); err != nil {
			return nil, fmt.Errorf("tls.cert: %s: neighbors would refuse it: %w", c.files.Cert, err)
		}
		for _, name := range pair.Leaf.DNSNames {
			if name != c.server && isOther(name, c.others) {
				return nil, fmt.Errorf("tls.cert: %s: it has %.200q, the name of another server: with its key one could be that server",
					c.files.Cert, name)
			}
		}
	}
	l.cert = &pair
	l.server = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: l.roots, ClientAuth: tls.VerifyClientCertIfGiven,
		MinVersion: tls.VersionTLS12,
		// A resumed session would be that of a certificate that was verified by authorities which may be gone.
		SessionTicketsDisabled: true,
	}
	return l, nil
}

// checkLinks checks a chain as neighbors do that trust the same authorities, whichever side dials.
func (c *Certs) checkLinks(roots *x509.CertPool, chain [][]byte) error {
	var parsed []*x509.Certificate
	for _, der := range chain {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		parsed = append(parsed, one)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := verify(roots, parsed, c.server, use); err != nil {
			return err
		}
	}
	return nil
}

func (c *Certs) stamps() (all [3]stamp) {
	for i, file := range []string{c.files.CA, c.files.Cert, c.files.Key} {
		if info, err := os.Stat(file); err == nil {
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

// Reload reads the files again if they have changed, or always if force is set. After an error the old ones stay in use.
func (c *Certs) Reload(force bool) (changed bool, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if !force && c.current.Load().stamps == c.stamps() && c.failed.Load() == nil { // after a failure, the old files may be back
		return false, nil
	}
	l, err := c.load()
	if err != nil {
		text := err.Error()
		c.failed.Store(&text)
		return false, err
	}
	c.current.Store(l)
	c.failed.Store(nil)
	return true, nil
}

// Error says why the files as they were at the last Reload are not in use; "" if they are.
func (c *Certs) Error() string {
	if text := c.failed.Load(); text != nil {
		return *text
	}
	return ""
}

// CheckPause is how often Watch looks at the files.
const CheckPause = 5 * time.Second

// Watch reads the files again when they change, until ctx ends. It calls done after each attempt; an error is reported
// once.
func (c *Certs) Watch(ctx context.Context, done func(error)) {
	tick := time.NewTicker(CheckPause)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := c.Reload(false)
		switch {
		case changed:
			said = ""
			done(nil)
		case err != nil && err.Error() != said:
			said = err.Error()
			done(err)
		}
	}
}

// Expires returns when the server's certificate expires.
func (c *Certs) Expires() time.Time { return c.current.Load().cert.Leaf.NotAfter }

// Port is for the port of clients and neighbors. A certificate of the peer is optional, and verified if there is one.
// Clients have TLS 1.2 at least; who accepts a link requires 1.3.
func (c *Certs) Port() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load().server, nil },
	}
}

// Console is for the console. It asks for no certificate.
func (c *Certs) Console() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load().cert, nil },
	}
}

// Link is for a link that this server dials. The neighbor's certificate must have exactly the neighbor's name.
func (c *Certs) Link(neighbor string) *tls.Config {
	t := c.Client(neighbor)
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return c.current.Load().cert, nil
	}
	return t
}

// Client is for connections of this server to another one, as a client. The certificate must have that one's name.
func (c *Certs) Client(server string) *tls.Config {
	return named(server, func() *x509.CertPool { return c.current.Load().roots })
}

// Client is for connections to a server of herd.toml, whose certificate must have its name.
func Client(roots *x509.CertPool, server string) *tls.Config {
	return named(server, func() *x509.CertPool { return roots })
}

func named(server string, roots func() *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: server,
		// VerifyConnection does it: crypto/tls would ignore case, and would not see new authorities.
		// #nosec G402 -- VerifyConnection verifies chain and name; TestNamesOfOthers attacks it
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verify(roots(), s.PeerCertificates, server, x509.ExtKeyUsageServerAuth)
		},
	}
}

// ErrName is why a certificate of a trusted authority is not accepted.
var ErrName = errors.New("the certificate is not for this name")

// verify checks a server's chain for a use, and its name, byte by byte.
func verify(roots *x509.CertPool, chain []*x509.Certificate, name string, use x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return err
	}
	if !slices.Contains(chain[0].DNSNames, name) {
		return fmt.Errorf("%w: it has %.200q, not %q", ErrName, chain[0].DNSNames, name)
	}
	return nil
}
