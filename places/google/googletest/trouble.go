package googletest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Nowhere is the address of a service whose name has no address: no part of a name may be so long,
// and so nobody is asked for it.
const Nowhere = "https://a-part-of-a-name-that-is-longer-than-the-63-signs-that-it-may-have.example"

// Trouble is what may happen to a connection before there is any HTTP.
type Trouble struct {
	Name  string
	Serve func(net.Conn) // until the connection is closed
	Want  string         // what a client is told, or the beginning of it
}

// Troubles are those of a server behind TLS that can be reached.
var Troubles = []Trouble{
	{"a reset", reset, "the connection to the server failed"},
	{"an end of file", func(net.Conn) {}, "the connection to the server failed"},
	{"no word in reply to a hello", hold, "no answer within "},
	{"no TLS", plain, "the connection to the server failed"},
	{"a TLS of the past", outdated, "the connection to the server failed"},
	{"a certificate that nobody knows", foreign,
		"invalid TLS certificate of the server"},
}

// reset waits for the hello: before it the client would take the server for one that is not there.
func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 1))
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func plain(c net.Conn) {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
}

func outdated(c net.Conn) {
	shake(c, &tls.Config{
		Certificates: []tls.Certificate{known()},
		MinVersion:   tls.VersionTLS10, MaxVersion: tls.VersionTLS10,
	})
}

func foreign(c net.Conn) { shake(c, &tls.Config{Certificates: []tls.Certificate{unknown()}}) }

func shake(c net.Conn, config *tls.Config) {
	t := tls.Server(c, config)
	_ = t.Handshake()
	hold(t)
}

// known is the certificate that httptest's servers have.
var known = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
})

// unknown is a certificate that nobody has a reason to trust.
var unknown = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	text := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
	}
	signed, err := x509.CreateCertificate(rand.Reader, text, text, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
})

// Certificate writes the certificate of StartTLS's servers into a file. A process that starts with
// its path in $SSL_CERT_FILE trusts them.
func Certificate(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "certificate")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: known().Certificate[0]})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// troubled is a listener whose connections may come to grief before anybody else gets them.
type troubled struct {
	net.Listener
	mu    sync.Mutex
	serve func(net.Conn) // nil for no trouble
}

// Accept implements net.Listener.
func (l *troubled) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		serve := l.serve
		l.mu.Unlock()
		if serve == nil {
			return c, nil
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}
