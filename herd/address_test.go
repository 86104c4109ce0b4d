package herd

import "testing"

func TestClientAddress(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:1234":                "192.0.2.7",
		"192.0.2.7:1235":                "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":       "192.0.2.7",
		"[2001:db8:1:2::9]:1234":        "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:1":       "2001:db8:1:2::/64",
		"[2001:db8:1:3::9]:1234":        "2001:db8:1:3::/64",
		"[fe80::1%eth0]:1234":           "fe80::/64",
		"127.0.0.1:1234":                "loopback",
		"127.9.9.9:1234":                "loopback",
		"[::1]:1234":                    "loopback",
		"[::ffff:127.0.0.1]:1234":       "loopback",
		"localhost:1234":                "loopback",
		"a.name.of.a.simulated.host:17": "a.name.of.a.simulated.host",
		"client":                        "client",
	} {
		if got := clientAddress(peer); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}
