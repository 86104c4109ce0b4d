package main

import (
	"path/filepath"
	"testing"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// testCerts are certificates in a directory.
type testCerts struct {
	t   *testing.T
	dir string
}

// makeTestCerts makes an authority and certificates in a new directory.
func makeTestCerts(t *testing.T, servers ...string) testCerts {
	t.Helper()
	c := testCerts{t, t.TempDir()}
	for _, s := range servers {
		c.make(s, 24*time.Hour)
	}
	return c
}

func (c testCerts) of(server string) config.TLS {
	return config.TLS{
		CA: filepath.Join(c.dir, "ca.pem"), Cert: filepath.Join(c.dir, server+".pem"), Key: filepath.Join(c.dir, server+"-key.pem"),
	}
}

// make makes the certificate of a server, which is valid for a time.
func (c testCerts) make(server string, life time.Duration) {
	c.t.Helper()
	a, _, err := certs.OpenAuthority(filepath.Join(c.dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := a.Make(c.of(server), config.Server{Name: server}, life); err != nil {
		c.t.Fatal(err)
	}
}

func (c testCerts) load(server string) *certs.Certs {
	c.t.Helper()
	all, err := certs.Load(c.of(server), server)
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
