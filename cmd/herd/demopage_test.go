package main

import (
	"crypto/tls"
	"net"
	"testing"

	"serverherd/cmd/herd/ask"
	"serverherd/herd/config"
)

func TestDemoPage(t *testing.T) {
	t.Parallel()
	files := makeTestCerts(t, "Alford", "Ball")
	listener := func(secure *tls.Config) string {
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
				go func() {
					defer c.Close()
					if secure != nil {
						_ = tls.Server(c, secure).Handshake()
					} else if _, err := c.Read(make([]byte, 1)); err == nil { // as net/http answers a handshake
						_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
					}
				}()
			}
		}()
		return l.Addr().String()
	}
	plain, secure, other := listener(nil), listener(files.load("Alford").Console()), listener(files.load("Ball").Console())
	page := func(scheme, console string) string {
		_, port, _ := net.SplitHostPort(console)
		return "open " + scheme + "://localhost:" + port + "/#view=map"
	}
	const gone, none = "127.0.0.1:1", ""
	const unreachable = "the page with the map: no console of herd.toml can be reached"
	for _, test := range []struct {
		mode     string
		consoles []string
		want     string
	}{
		{"off", []string{plain}, page("http", plain)},
		{"off", []string{none, gone, plain, gone}, page("http", plain)},
		{"off", []string{none, gone}, unreachable},
		{"off", []string{none}, "no server of herd.toml has a console, so there is no page with the map"},
		{"optional", []string{gone, secure}, page("https", secure)},
		{"optional", []string{plain, secure}, page("http", plain)},
		{"required", []string{gone, secure}, page("https", secure)},
		{"required", []string{plain, secure}, page("https", secure)},
		{"required", []string{plain}, unreachable},
		{"required", []string{other}, page("https", other)}, // the browser says what is wrong with its certificate
		{"optional", []string{other}, page("https", other)},
	} {
		var servers []config.Server
		for _, console := range test.consoles {
			servers = append(servers, config.Server{Name: "Alford", Console: console})
		}
		secure := ask.TLS{Mode: test.mode, Config: files.load("Ball").Client}
		if got := demoPage(t.Context(), servers, secure); got != test.want {
			t.Errorf("%s, %v: %q, want %q", test.mode, test.consoles, got, test.want)
		}
	}
	for address, want := range map[string]string{
		"0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80", ":80": "localhost:80", "192.0.2.1:80": "192.0.2.1:80",
		"[::1]:80": "[::1]:80", "ball.example.com:80": "ball.example.com:80", "127.0.0.2:80": "127.0.0.2:80",
	} {
		if got := browsable(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
