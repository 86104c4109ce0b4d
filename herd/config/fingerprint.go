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
		return !slices.Contains([]string{"secret_file", "listen", "max_connections", "max_buffered"}, k.name) &&
			!strings.Contains(k.name, "_per_")
	case "jetstream":
		return slices.Contains([]string{"bucket", "partitions", "mode", "ask_after"}, k.name)
	}
	return false // clients, console, tls, places, log, storage
}

// Fingerprint is 16 hex digits that are equal on all servers whose herd.toml says the same about what the herd must
// agree on: the tables [herd], [peers] and [limits] with their defaults, but for what depends on the machine, the
// names, addresses, consoles and neighbors of all servers, in any order, and what [jetstream] says about the bucket and
// its bridges, if it is used. It says nothing about secrets.
func (c *Config) Fingerprint() string {
	tables := []string{c.text(c.keys())}
	for _, s := range c.Servers {
		s.Neighbors = slices.Sorted(slices.Values(s.Neighbors))
		tables = append(tables, c.text(s.keys()))
	}
	slices.Sort(tables[1:])
	sum := sha256.Sum256([]byte(strings.Join(tables, "\n")))
	return hex.EncodeToString(sum[:8])
}

// text is the shared ones of some keys with their values.
func (c *Config) text(keys []key) string {
	var b strings.Builder
	for _, k := range keys {
		unused := !c.JetStream.Enabled() && (k.table == "jetstream" || k.name == "bridge")
		if k.shared() && !unused {
			b.WriteString(k.table + ".")
			_ = k.write(&b) // a Builder takes everything
		}
	}
	return b.String()
}
