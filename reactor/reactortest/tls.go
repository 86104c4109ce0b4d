package reactortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// layer is TLS on the connections of a Harness, those that the reactor dials among them.
type layer struct {
	start bool // accepted connections begin without TLS, and go on with it by StartTLS when the first bytes come
	// cut is how many bytes the peers put into one TLS record, and one write; 0: as many as there are.
	cut int
	// trusting: certificates of clients are not verified.
	trusting bool
	// failed is called for handshakes that fail; nil: they are logged.
	failed func(peer string, reason error)
}

// name is the name in the certificate.
const name = "Alford"

// certificate signs itself. It is made once for all tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// config is the same on both sides. The client's side sends its certificate, too.
func (l *layer) config() *tls.Config {
	c := certificate()
	pool := x509.NewCertPool()
	pool.AddCert(c.Leaf)
	conf := &tls.Config{
		Certificates: []tls.Certificate{c}, RootCAs: pool, ClientCAs: pool, ServerName: name,
		ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12,
	}
	if l.trusting {
		conf.ClientAuth = tls.RequestClientCert
	}
	return conf
}

func (l *layer) listener(inner net.Listener) *sockets.TLSListener {
	failed := l.failed
	if failed == nil {
		failed = func(string, error) {}
	}
	return &sockets.TLSListener{Listener: inner, Config: l.config(), Failed: failed}
}

// handshake is that of a Peer.
func (l *layer) handshake(t *testing.T, c net.Conn) halfCloser {
	t.Helper()
	s := tls.Client(&cutting{c, l.cut}, l.config())
	_ = c.SetDeadline(time.Now().Add(timeout))
	if err := s.Handshake(); err != nil && !l.start { // before StartTLS, the reactor may refuse a connection
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Time{})
	return &records{s, l.cut}
}

// cutting writes a few bytes at a time.
type cutting struct {
	net.Conn
	cut int
}

func (c *cutting) Write(p []byte) (n int, err error) { return inPieces(c.Conn.Write, p, c.cut) }

// records writes a few bytes in each record.
type records struct {
	*tls.Conn
	cut int
}

func (c *records) Write(p []byte) (n int, err error) { return inPieces(c.Conn.Write, p, c.cut) }

func inPieces(write func([]byte) (int, error), p []byte, cut int) (n int, err error) {
	if cut == 0 {
		return write(p)
	}
	for err == nil && n < len(p) {
		var m int
		m, err = write(p[n:min(len(p), n+cut)])
		n += m
	}
	return n, err
}

// dialing is a Reactor whose dials are over TLS.
type dialing struct {
	reactor.Reactor
	layer *layer
}

// ConnectTCP implements reactor.Reactor.
func (d dialing) ConnectTCP(addr string, timeout time.Duration, f reactor.ClientFactory) {
	d.Reactor.ConnectTCP(addr, timeout, sockets.TLSFactory{ClientFactory: f, Config: d.layer.config()})
}

// ListenTCP implements reactor.Reactor.
func (d dialing) ListenTCP(l reactor.Listener, f reactor.Factory) (reactor.Port, error) {
	if d.layer.start {
		plain := f
		f = factory(func(peer string) reactor.Protocol {
			p := plain.BuildProtocol(peer)
			if p == nil {
				return nil
			}
			return &starting{Protocol: p, config: d.layer.config()}
		})
	}
	return d.Reactor.ListenTCP(l, f)
}

// starting is a Protocol that is told of its connection when the first bytes have come, and have begun TLS.
type starting struct {
	reactor.Protocol
	config *tls.Config
	t      reactor.Transport
	begun  bool
}

// ConnectionMade implements reactor.Protocol.
func (s *starting) ConnectionMade(t reactor.Transport) { s.t = t }

// DataReceived implements reactor.Protocol.
func (s *starting) DataReceived(p []byte) {
	if s.begun {
		s.Protocol.DataReceived(p)
		return
	}
	s.begun = true
	s.t.StartTLS(p, s.config)
	s.Protocol.ConnectionMade(s.t)
}

// ReadConnectionLost implements reactor.HalfCloser.
func (s *starting) ReadConnectionLost() {
	if h, ok := s.Protocol.(reactor.HalfCloser); ok {
		h.ReadConnectionLost()
	} else {
		s.t.LoseConnection()
	}
}

// ResumeProducing implements reactor.Producer.
func (s *starting) ResumeProducing() {
	if p, ok := s.Protocol.(reactor.Producer); ok {
		p.ResumeProducing()
	}
}

// Stats are those of the Reactor.
func (d dialing) Stats() reactor.Stats { return d.Reactor.(interface{ Stats() reactor.Stats }).Stats() }
