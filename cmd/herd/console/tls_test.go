package console

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A console with tls = "optional" takes both, one with "required" only TLS, and one with "off" none. A connection that
// sends nothing delays nobody, and is closed.
func TestConsoleWithAndWithoutTLS(t *testing.T) {
	made := httptest.NewTLSServer(nil) // for its certificate
	defer made.Close()
	for mode, want := range map[string]map[string]bool{
		"off": {"http": true, "https": false}, "optional": {"http": true, "https": true}, "required": {"http": false, "https": true},
	} {
		t.Run(mode, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := New(Options{})
			config := &tls.Config{Certificates: made.TLS.Certificates, MinVersion: tls.VersionTLS13}
			done := make(chan error, 1)
			go func() { done <- ServeTLS(s, l, TLS{mode, config}) }()
			silent, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			for scheme, ok := range want {
				c := made.Client()
				c.Transport.(*http.Transport).DisableKeepAlives = true
				r, err := c.Get(fmt.Sprintf("%s://%s/healthz", scheme, l.Addr()))
				if err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				if got := err == nil && r.StatusCode == http.StatusOK; got != ok {
					t.Errorf("%s: %v, %v", scheme, got, err)
				}
			}
			_ = silent.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, http.ErrHandlerTimeout) {
				t.Errorf("a connection that sends nothing: %v", err)
			}
			Close(s)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
