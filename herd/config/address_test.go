package config

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

var goodAddresses = []string{
	"127.0.0.1:1", "10.0.0.1:65535", "[::1]:11500", "[::ffff:10.0.0.1]:1", "[fe80::1%eth0]:11500",
	"localhost:11500", "LocalHost.:1", "4f5e6a7b8c9d:11500", "1.herd.example:11500", "herd.example.:11500",
	"herd_alford_1:11500", "_alford:1", "herd-alford-1:11500", "1a:1", "127.example:1", "0xg:1", "x.1:1", "12-34:1", "1_0:1",
	"xn--mnchen-3ya.example:1", strings.Repeat("a", 63) + ":1", strings.Repeat("a.", 126) + "a.:1",
}

// Names that resolvers accept are accepted; each refused address has its exact reason.
func TestCheckAddress(t *testing.T) {
	for _, text := range goodAddresses {
		if err := CheckAddress(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":                                       "empty address",
		"127.0.0.1":                              "missing port",
		"ball":                                   "missing port",
		"[::1]":                                  "missing port",
		":11500":                                 "missing host",
		".:11500":                                "missing host",
		"ball:":                                  `port "" is not a number from 1 to 65535`,
		"ball:0":                                 `port "0" is not a number from 1 to 65535`,
		"ball:65536":                             `port "65536" is not a number from 1 to 65535`,
		"ball:-1":                                `port "-1" is not a number from 1 to 65535`,
		"ball:http":                              `port "http" is not a number from 1 to 65535`,
		"::1:11500":                              "an IPv6 address must be in brackets, as in [::1]:11500",
		"a:b:1":                                  "an IPv6 address must be in brackets, as in [::1]:11500",
		"[::1:11500":                             "missing bracket",
		"::1]:11500":                             "missing bracket",
		"[ball]:1":                               `"ball" is not an IPv6 address`,
		"[127.0.0.1]:1":                          `"127.0.0.1" is not an IPv6 address`,
		"256.0.0.1:1":                            "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"010.0.0.1:1":                            "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"127.1:1":                                "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"123456789012:1":                         "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"0x7f000001:1":                           "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"0x7f.1:1":                               "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"1.2.3.4.:1":                             "invalid IPv4 address: expected four numbers from 0 to 255 without leading zeros",
		"a..b:1":                                 "empty label in host name",
		"a..:1":                                  "empty label in host name",
		"-a:1":                                   `host name label "-a" begins or ends with a hyphen`,
		"b.a-:1":                                 `host name label "a-" begins or ends with a hyphen`,
		"münchen.example:1":                      "host name is not ASCII: use its DNS form (xn--...)",
		"a b:1":                                  "invalid character ' ' in host name",
		"http://ball:1":                          "a URL instead of an address",
		"u@ball:1":                               "invalid character '@' in host name",
		"ball%eth0:1":                            "invalid character '%' in host name",
		strings.Repeat("a", 64) + ":1":           "host name label is longer than 63 bytes",
		strings.Repeat("a.", 127) + "a:1":        "host name is longer than 253 bytes",
		strings.Repeat("a", 1<<20) + ".a.b.c:80": "host name is longer than 253 bytes",
	} {
		if err := CheckAddress(text); err == nil || err.Error() != want {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
}

// Good addresses are accepted for every key, and split as net.SplitHostPort does.
func TestConfigAddresses(t *testing.T) {
	for _, a := range goodAddresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			t.Errorf("%s: %v", a, err)
		}
		if strings.Contains(a, "%") {
			continue
		}
		for key, other := range map[string]string{
			"address": "", "listen": "address = \"192.0.2.1:2\"\n", "console": "address = \"192.0.2.1:2\"\n",
		} {
			text := fmt.Sprintf("[[server]]\nname = \"Alford\"\n%s%s = %q\n", other, key, a)
			if _, err := Parse("herd.toml", []byte(text), first, Resources{Descriptors: 20000}); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for a, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"localhost:1": true, "LOCALHOST:1": true, "localhost.:1": true,
		"127.example:1": false, "localhost.example:1": false, "10.0.0.1:1": false, "0.0.0.0:1": false, "ball:1": false,
	} {
		if got := IsLoopback(a); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	for a, want := range map[string]string{
		"Ball.Example.:1": "ball.example", "ball.example:1": "ball.example", "localhost.:1": "loopback", "[2001:DB8::0]:1": "2001:db8::",
	} {
		if got := Machine(a); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}
