package natstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// authority is a CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue writes a certificate and its key, signed by the CA, or of a new CA if a has none.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	key := must[*ecdsa.PrivateKey](a.t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der := must[[]byte](a.t)(x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer))
	if a.cert == nil {
		a.cert, a.key = must[*x509.Certificate](a.t)(x509.ParseCertificate(der)), key
	}
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	write(certFile, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", must[[]byte](a.t)(x509.MarshalPKCS8PrivateKey(key)))
	return certFile, keyFile
}

// A server that requires certificates of its clients, signed by a CA that the system does not know.
func TestTLS(t *testing.T) {
	ca := &authority{t: t}
	caFile, _ := ca.issue("ca")
	cert, key := ca.issue("server")
	c := must[*tls.Config](t)(server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: cert, KeyFile: key, CaFile: caFile, Verify: true, Timeout: 10,
	}))
	s := Start(t, &server.Options{TLSConfig: c, TLSVerify: true, TLSTimeout: 10})
	o := settings(s)
	o.Config.URL = strings.Replace(o.Config.URL, "nats://", "tls://", 1)
	o.Config.TLSCA = caFile
	o.Config.TLSCert, o.Config.TLSKey = ca.issue("Alford")
	b := start(t, o)
	b.publish(record("kiwi", 1))
	b.shown("kiwi", value("kiwi", 1))

	other := o
	other.Config.TLSCA, _ = (&authority{t: t}).issue("other")
	expect(t, fails(t, other), "connect: ", "certificate")
	other = o
	other.Config.TLSCert, other.Config.TLSKey = "", ""
	fails(t, other) // as the server says it, or as a reset
	other = o
	other.Config.TLSKey = key
	expect(t, fails(t, other), "connect: ", "Alford.pem and ", "does not match")
	other = o
	other.Config.TLSCA = o.Config.TLSKey
	expect(t, fails(t, other), "Alford.key has no certificate")
	if err := os.Chmod(o.Config.TLSKey, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, fails(t, o), "Alford.key is readable by others")
}
