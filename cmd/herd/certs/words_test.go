package certs

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
)

// What a client says of a handshake that failed, in one line, and whether it means that there is no TLS.
func TestHandshakeErrors(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	ball, other := made(t, dir, "Ball"), made(t, elsewhere, "Ball")
	a, _, err := OpenAuthority(filepath.Join(dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	unloaded := func(life time.Duration) *tls.Config { // Load would refuse it
		t.Helper()
		files := filesIn(t.TempDir(), "Ball")
		if err := a.Make(files, config.Server{Name: "Ball"}, life); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	over := func(config *tls.Config) func(net.Conn) {
		return func(c net.Conn) {
			s := tls.Server(c, config)
			if s.Handshake() == nil {
				_, _ = io.Copy(io.Discard, s)
			}
		}
	}
	answers := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
		}
	}
	// mandatory is a server that takes clients of another version only.
	mandatory := ball.Port().Clone()
	mandatory.GetConfigForClient = nil
	mandatory.Certificates, mandatory.MaxVersion = []tls.Certificate{*ball.current.Load().cert}, tls.VersionTLS12
	byHost := &tls.Config{RootCAs: ball.current.Load().roots, ServerName: "ball.example.org"}
	for name, c := range map[string]struct {
		server func(net.Conn)
		client *tls.Config
		want   string // a part of the text
		noTLS  bool
	}{
		"good":                          {over(ball.Console()), ball.Client("Ball"), "", false},
		"another name":                  {over(ball.Console()), ball.Client("Alford"), `TLS: the certificate is not for this name: it has ["Ball" "localhost"], not "Alford"`, false},
		"another name by case":          {over(ball.Console()), ball.Client("ball"), `it has ["Ball" "localhost"], not "ball"`, false},
		"another host":                  {over(ball.Console()), byHost, `TLS: the certificate is for ["Ball" "localhost" "127.0.0.1" "::1"], not for "ball.example.org"`, false},
		"another authority":             {over(other.Console()), ball.Client("Ball"), "TLS: the certificate is not of a trusted authority; set tls.ca or --ca to the file of its CA", false},
		"another authority, the system": {over(ball.Console()), &tls.Config{ServerName: "localhost"}, "TLS: the certificate is not of a trusted authority; set tls.ca or --ca to the file of its CA", false},
		"expired":                       {over(unloaded(-time.Minute)), ball.Client("Ball"), "TLS: the certificate has expired on 20", false},
		"an older version":              {over(mandatory), ball.Client("Ball"), "TLS: the server refused the handshake: ", false},
		"a line":                        {answers("? \x16\x03\x01\n\n"), ball.Client("Ball"), "no TLS there: is [clients] tls off there? Try without --tls", true},
		"HTTP":                          {answers("HTTP/1.1 400 Bad Request\r\n\r\n"), ball.Client("Ball"), "no TLS there: is [clients] tls off there? Try without --tls", true},
		"a close":                       {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, ball.Client("Ball"), "no TLS there: is [clients] tls off there? Try without --tls", true},
		"a reset": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, ball.Client("Ball"),
			"no TLS there: is [clients] tls off there? Try without --tls", true},
		"an alert": {answers("\x15\x03\x03\x00\x02\x02\x28"), ball.Client("Ball"), "TLS: the server refused the handshake: handshake failure", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					c.server(conn)
					conn.Close()
				}
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = tls.Client(conn, c.client).Handshake()
			if err == nil {
				if c.want != "" {
					t.Errorf("no error, want %s", c.want)
				}
				return
			}
			failed := &HandshakeError{Reason: err}
			if text := failed.Error(); c.want == "" || !strings.Contains(text, c.want) || strings.ContainsAny(text, "\n\r") || failed.NoTLS() != c.noTLS {
				t.Errorf("%s (%v), no TLS: %v; want %s", text, err, failed.NoTLS(), c.want)
			}
			if of := (&HandshakeError{Reason: err, Console: true}).Error(); c.noTLS && strings.Contains(of, "--tls") {
				t.Errorf("of a console: %s", of)
			}
		})
	}
}
