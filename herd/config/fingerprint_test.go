package config

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

func parsed(t *testing.T) *Config {
	t.Helper()
	c, err := parse(twoServers)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A change of a key changes the fingerprint if the servers must agree on it, and only then.
func TestFingerprint(t *testing.T) {
	plain := parsed(t).Fingerprint()
	parsed := func(t *testing.T) *Config {
		t.Helper()
		c, err := parse(bridged)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	same := parsed(t).Fingerprint()
	if same == plain {
		t.Error("a bucket does not change it")
	}
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(same) {
		t.Errorf("%q", same)
	}
	own := regexp.MustCompile(`^(clients|console|tls|places|log|storage)\.|_per_|^jetstream\.(url|replicas|creds|tls_.*)$|\.(secret_file|listen|max_connections|max_buffered)$`)
	change := func(c *Config, keys []key, i int) {
		switch v := keys[i].value.(type) {
		case *string:
			*v += "x"
		case *int:
			*v++
		case *bool:
			*v = !*v
		case *time.Duration:
			*v++
		case *[]string:
			*v = append(slices.Clone(*v), "x")
		case *map[string]string:
			*v = map[string]string{"x": "y"}
		}
		name := keys[i].table + "." + keys[i].name
		if differs := c.Fingerprint() != same; differs == own.MatchString(name) {
			t.Errorf("%s: the fingerprint changes: %v", name, differs)
		}
	}
	for i := range parsed(t).keys() {
		c := parsed(t)
		change(c, c.keys(), i)
	}
	for i := range parsed(t).Servers[1].keys() {
		c := parsed(t)
		change(c, c.Servers[1].keys(), i)
	}
	c := parsed(t)
	slices.Reverse(c.Servers)
	c.Herd.Secrets = []string{"secret"}
	if c.Fingerprint() != same {
		t.Error("the order of the servers or the secret changes it")
	}
	c.Servers = c.Servers[:1]
	if c.Fingerprint() == same {
		t.Error("a server less does not change it")
	}
}

// The order of neighbors does not matter.
func TestFingerprintOfNeighbors(t *testing.T) {
	c := parsed(t)
	c.Servers[0].Neighbors = []string{"Ball", "Carl"}
	one := c.Fingerprint()
	c.Servers[0].Neighbors = []string{"Carl", "Ball"}
	if c.Fingerprint() != one || c.Servers[0].Neighbors[0] != "Carl" {
		t.Error("the order of neighbors matters, or was changed")
	}
}
