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

// Nowhere is the URL of a service whose name cannot be resolved: a label of it is too long, so no DNS query
// is sent.
const Nowhere = "https://a-part-of-a-name-that-is-longer-than-the-63-signs-that-it-may-have.example"

// Trouble is a failure of a connection before HTTP.
type Trouble struct {
	Name  string
	Serve func(net.Conn) // until the connection is closed
	Want  string         // the error text, or the beginning of it
}

// Troubles are failures of a TLS server that accepts connections.
var Troubles = []Trouble{
	{"a reset", reset, "the connection to the server failed"},
	{"an end of file", func(net.Conn) {}, "the connection to the server failed"},
	{"no word in reply to a hello", hold, "no answer within "},
	{"no TLS", plain, "the connection to the server failed"},
	{"a TLS of the past", outdated, "the connection to the server failed"},
	{"a certificate that nobody knows", foreign,
		"invalid TLS certificate of the server"},
}

// reset waits for the ClientHello: a reset before it looks to the client like a failed dial.
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
	// #nosec G402 -- a client must refuse this server
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

// unknown is an untrusted certificate.
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

// Certificate writes the certificate of StartTLS's servers to a file. A process with its path in
// $SSL_CERT_FILE trusts them.
func Certificate(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "certificate")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: known().Certificate[0]})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// troubled is a listener whose connections may be handled by a Trouble instead of the server.
type troubled struct {
	net.Listener
	mu    sync.Mutex
	serve func(net.Conn) // nil for none
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
