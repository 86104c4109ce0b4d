package main

import (
	"net"
	"testing"

	"serverherd/herd/config"
)

func TestDemoPage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there := l.Addr().String()
	_, port, _ := net.SplitHostPort(there)
	const gone, none = "127.0.0.1:1", ""
	for _, test := range []struct {
		consoles []string
		want     string
	}{
		{[]string{there}, "open http://localhost:" + port + "/#view=map"},
		{[]string{none, gone, there, gone}, "open http://localhost:" + port + "/#view=map"},
		{[]string{none, gone}, "the page with the map: no console of herd.toml can be reached"},
		{[]string{none}, "no server of herd.toml has a console, so there is no page with the map"},
	} {
		var servers []config.Server
		for _, console := range test.consoles {
			servers = append(servers, config.Server{Console: console})
		}
		if got := demoPage(servers); got != test.want {
			t.Errorf("%v: %q, want %q", test.consoles, got, test.want)
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
