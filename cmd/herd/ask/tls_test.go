package ask

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// certsOf makes certificates of one authority.
func certsOf(t *testing.T, names ...string) map[string]*certs.Certs {
	t.Helper()
	dir, all := t.TempDir(), map[string]*certs.Certs{}
	for _, name := range names {
		files := config.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem")}
		a, _, err := certs.OpenAuthority(files.CA, "ucla", 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Make(files, config.Server{Name: name}, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if all[name], err = certs.Load(files, name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var errNoCA = errors.New("no CA")

// An optional asker does without TLS only if the other side has none. Whatever is wrong with a certificate, a handshake
// that is refused, and one that hangs are errors: nothing is sent then, neither the token nor a signature.
func TestAskOverTLS(t *testing.T) {
	t.Parallel()
	const token = "herd_0123456789abcdef"
	ours, others := certsOf(t, "Alford", "Ball"), certsOf(t, "Alford")
	handler := func(asked *atomic.Int32) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+token {
				asked.Add(1)
			}
			how := "plain"
			if r.TLS != nil {
				how = "TLS"
			}
			_ = json.NewEncoder(w).Encode(named{"Alford", how})
		}
	}
	// serve serves HTTP, over TLS if there is a configuration, or calls raw for each connection.
	serve := func(t *testing.T, secure *tls.Config, raw func(net.Conn)) (address string, asked, connections *atomic.Int32) {
		asked, connections = &atomic.Int32{}, &atomic.Int32{}
		if raw == nil {
			s := httptest.NewUnstartedServer(handler(asked))
			s.Config.ErrorLog = nil
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			if s.TLS = secure; secure != nil {
				s.Listener = tls.NewListener(s.Listener, secure)
			}
			s.Start()
			t.Cleanup(s.Close)
			return s.Listener.Addr().String(), asked, connections
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				connections.Add(1)
				go func() {
					defer c.Close()
					var first [5]byte
					_, _ = io.ReadFull(c, first[:])
					if first[0] != 0x16 { // a request without TLS
						asked.Add(1)
					}
					raw(c)
				}()
			}
		}()
		return l.Addr().String(), asked, connections
	}
	old := ours["Alford"].Console()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	const bad = "console at ADDRESS: TLS: "
	for name, c := range map[string]struct {
		secure             *tls.Config
		raw                func(net.Conn)
		optional, required string // the answer, or the beginning of the error
	}{
		"no TLS":             {nil, nil, "plain", "console at ADDRESS: no TLS there: is [console] tls off there? It is required here"},
		"TLS":                {ours["Alford"].Console(), nil, "TLS", "TLS"},
		"another server":     {ours["Ball"].Console(), nil, bad + "the certificate is not for this name", bad + "the certificate is not for this name"},
		"another authority":  {others["Alford"].Console(), nil, bad + "the certificate is not of a trusted authority", bad + "the certificate is not of a trusted authority"},
		"an older version":   {old, nil, bad + "the server refused the handshake", bad + "the server refused the handshake"},
		"an alert":           {nil, func(c net.Conn) { _, _ = io.WriteString(c, "\x15\x03\x03\x00\x02\x02\x28") }, bad + "the server refused", bad + "the server refused"},
		"a wrong answer":     {nil, func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x03\x00\x04\x02\x00\x00\x00") }, bad, bad},
		"a close":            {nil, func(net.Conn) {}, "no answer at ADDRESS", "console at ADDRESS: no TLS there: "},
		"a hanging one":      {nil, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "no answer at ADDRESS within ", "no answer at ADDRESS within "},
		"no trusted CA here": {ours["Alford"].Console(), nil, bad + "no CA", bad + "no CA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[string]string{"optional": c.optional, "required": c.required} {
				address, asked, connections := serve(t, c.secure, c.raw)
				o := Options{Timeout: long, Token: token, TLS: TLS{Mode: mode, Config: ours["Alford"].Client}}
				if name == "a hanging one" {
					o.Timeout = 50 * time.Millisecond
				}
				if name == "no trusted CA here" {
					o.TLS.Config = func(string) *tls.Config {
						return &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return errNoCA }}
					}
				}
				got := One[named](t.Context(), New(o), config.Server{Name: "Alford", Console: address}, "/x")
				text := strings.ReplaceAll(got.Error, address, "ADDRESS")
				if got.Value != nil {
					text = got.Value.Text
				}
				if !strings.HasPrefix(text, want) || strings.Contains(text, "\n") {
					t.Errorf("%s: %q, want %q", mode, text, want)
				}
				answered := got.Value != nil || name == "a close" && mode == "optional"
				if (asked.Load() > 0) != answered {
					t.Errorf("%s: asked %d times on %d connections", mode, asked.Load(), connections.Load())
				}
			}
		})
	}
}
