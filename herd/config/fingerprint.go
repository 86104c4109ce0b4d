package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// shared reports whether all servers of a herd must have the same value of a key. The other keys are about one
// machine.
func (k key) shared() bool {
	switch k.table {
	case "herd", "peers", "limits", "server":
		return !slices.Contains([]string{"secret_file", "listen", "max_connections", "max_buffered"}, k.name)
	}
	return false // places, log, storage
}

// Fingerprint is 16 hex digits that are equal on all servers whose herd.toml says the same about what the herd must
// agree on: the tables [herd], [peers] and [limits] with their defaults, but for what depends on the machine, and the
// names, addresses, consoles and neighbors of all servers, in any order. It says nothing about secrets.
func (c *Config) Fingerprint() string {
	tables := []string{text(c.keys())}
	for _, s := range c.Servers {
		s.Neighbors = slices.Sorted(slices.Values(s.Neighbors))
		tables = append(tables, text(s.keys()))
	}
	slices.Sort(tables[1:])
	sum := sha256.Sum256([]byte(strings.Join(tables, "\n")))
	return hex.EncodeToString(sum[:8])
}

// text is the shared ones of some keys with their values.
func text(keys []key) string {
	var b strings.Builder
	for _, k := range keys {
		if k.shared() {
			b.WriteString(k.table + ".")
			_ = k.write(&b) // a Builder takes everything
		}
	}
	return b.String()
}
