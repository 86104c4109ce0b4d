package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"serverherd/herd/config"
)

// Authority signs the certificates of a herd's servers: a development CA, whose key is a file. A herd that has an
// authority already uses that instead.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// KeyFile is where OpenAuthority has the key of the authority in a file.
func KeyFile(ca string) string { return strings.TrimSuffix(ca, filepath.Ext(ca)) + "-key.pem" }

// OpenAuthority reads the authority that it has made before, or makes one for a herd. created are the files that it has
// written.
func OpenAuthority(ca, herd string, life time.Duration) (a *Authority, created []string, err error) {
	key := KeyFile(ca)
	// #nosec G304 -- herd.toml or a flag names it
	text, err := os.ReadFile(ca)
	if err == nil {
		secret, err := config.ReadSecret(key)
		if err != nil {
			return nil, nil, fmt.Errorf("%s exists, but not its key: %w", ca, err)
		}
		pair, err := tls.X509KeyPair(text, secret)
		if err != nil {
			return nil, nil, fmt.Errorf("%s and %s: %w", ca, key, err)
		}
		signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || !pair.Leaf.IsCA {
			return nil, nil, fmt.Errorf("%s is not an authority of herd cert", ca)
		}
		if time.Now().Add(life).After(pair.Leaf.NotAfter) {
			return nil, nil, fmt.Errorf("%s expires on %s, before a certificate of %d days would: set --days, or move it and %s away",
				ca, pair.Leaf.NotAfter.Format(time.DateOnly), life/(24*time.Hour), filepath.Base(key))
		}
		return &Authority{cert: pair.Leaf, key: signer}, nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if _, err := os.Lstat(key); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s exists, but not %s: move it away, or restore its certificate", key, ca)
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "herd " + herd + ": development CA"}, IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, text, err := sign(template, template, signer, signer, 10*life)
	if err != nil {
		return nil, nil, err
	}
	if err := writePair(ca, key, text, signer); err != nil {
		return nil, nil, err
	}
	return &Authority{cert: cert, key: signer}, []string{ca, key}, nil
}

// Make writes the certificate and the key of a server: for its name, which neighbors check, and for the hosts of its
// addresses and the machine itself, which clients and browsers check. It has no name of the other servers: neighbors would
// take this server for them.
func (a *Authority) Make(files config.TLS, s config.Server, life time.Duration, others ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: s.Name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	template.DNSNames, template.IPAddresses, _ = names(s, others)
	_, text, err := sign(template, a.cert, key, a.key, life)
	if err != nil {
		return err
	}
	return writePair(files.Cert, files.Key, text, key)
}

// Omitted returns the hosts that Make leaves out of a server's certificate, because they are names of other servers.
func Omitted(s config.Server, others []string) []string {
	_, _, omitted := names(s, others)
	return omitted
}

// names are those in a server's certificate. Its own is the first.
func names(s config.Server, others []string) (dns []string, ips []net.IP, omitted []string) {
	dns = []string{s.Name}
	ips = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	add := func(host string) {
		switch {
		case slices.Contains(dns, host) || slices.Contains(omitted, host):
		case isOther(host, others):
			omitted = append(omitted, host)
		default:
			dns = append(dns, host)
		}
	}
	add("localhost")
	for _, address := range []string{s.Address, s.Listen, s.Console} {
		host, _, err := net.SplitHostPort(address)
		ip := net.ParseIP(host)
		switch {
		case err != nil || host == "":
		case ip == nil:
			add(host)
		case !ip.IsUnspecified() && !slices.ContainsFunc(ips, ip.Equal):
			ips = append(ips, ip)
		}
	}
	return dns, ips, omitted
}

// isOther reports whether a host is the name of another server. DNS ignores case and a dot at the end.
func isOther(host string, others []string) bool {
	return slices.ContainsFunc(others, func(name string) bool { return strings.EqualFold(strings.TrimSuffix(host, "."), name) })
}

// backdate is for clocks that are behind.
const backdate = time.Hour

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey, life time.Duration) (*x509.Certificate, []byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-backdate), now.Add(life)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// writePair writes a certificate and its key. The key is for the user only. Both are on the disk before one of them takes
// the place of an old one: a full disk leaves a pair that fits.
func writePair(certFile, keyFile string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	newKey, err := write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(newKey) // nothing if it was renamed
	newCert, err := write(certFile, cert, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(newCert)
	if err := os.Rename(newKey, keyFile); err != nil {
		return err
	}
	return os.Rename(newCert, certFile)
}

// write writes a text to a new file beside another one, and returns its name.
func write(beside string, text []byte, mode fs.FileMode) (name string, err error) {
	if err := os.MkdirAll(filepath.Dir(beside), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(beside), ".cert") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		// #nosec G104 -- the error before this one is returned
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
