package config

import (
	"fmt"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// Resources are the limits of the process.
type Resources struct {
	Descriptors int // open file limit
	Memory      int // bytes; 0: no limit
}

const (
	// defaultBuffered is max_buffered without a memory limit. With one, it is a quarter of the limit:
	// garbage may take as much again, and records need room.
	defaultBuffered = 256 << 20
	minBuffered     = 1 << 20
)

// maxBuffered returns the default of max_buffered.
func (r Resources) maxBuffered() int {
	if r.Memory == 0 {
		return defaultBuffered
	}
	return max(minBuffered, r.Memory/4)
}

// reservedDescriptors is the number of descriptors for files, neighbors, the console and lookups.
const reservedDescriptors = 700

// maxPlacesTimeout is the maximum of places.timeout: a client whose lines wait for its lookups gets a reply
// before HeldInputTimeout closes its connection.
const maxPlacesTimeout = reactor.HeldInputTimeout - 10*time.Second

// minDescriptors is enough for 16 clients, the neighbors, the console and files.
const minDescriptors = 256

// CheckDescriptors returns an error if an open file limit of descriptors is too low for max_connections.
// Only servers check it; client commands need fewer.
func (c *Config) CheckDescriptors(descriptors int) error {
	if descriptors < minDescriptors {
		return fmt.Errorf("open file limit is %d, a server needs at least %d: raise "+
			"ulimit -n", descriptors, minDescriptors)
	}
	if most := max(16, descriptors-reservedDescriptors); c.Limits.MaxConnections > most {
		return fmt.Errorf("limits.max_connections: %d is more than %d, the maximum with an open file limit of %d; "+
			"raise ulimit -n or lower it", c.Limits.MaxConnections, most, descriptors)
	}
	return nil
}

// RoomForHandshakes reports whether an open file limit of descriptors has room for connections within a TLS handshake
// that are not among max_connections.
func (c *Config) RoomForHandshakes(descriptors int) bool {
	return descriptors >= c.Limits.MaxConnections+reservedDescriptors+reactor.MaxTLSHandshakes
}

// defaults returns the configuration of an empty file, without servers.
func defaults(r Resources) *Config {
	return &Config{
		Herd:    Herd{Name: "ucla", Dialect: "paper"},
		Peers:   Peers{Handshake: "required", Legacy: "keep-open"},
		Clients: Clients{TLS: "off"}, Console: Console{TLS: "off"},
		TLS: TLS{Links: "off", CA: "tls/ca.pem", Cert: "tls/{name}.pem", Key: "tls/{name}-key.pem"},
		Places: Places{
			Provider: "embedded", Rank: "class", Timeout: 5 * time.Second,
			Rate: 50, DailyBudget: 1000, BudgetShare: 50, PlacesState: "places-state",
		},
		Log: Log{
			Dir: "logs", Lines: true, Level: "info", Format: "json", MaxSize: 100 << 20, MaxFiles: 5,
		},
		JetStream: JetStream{Bucket: "herd", Partitions: 1, Replicas: 1, Mode: "publish", AskAfter: time.Minute},
		Limits: Limits{
			MaxLine: 16384, MaxClientID: protocol.MaxClientID, MaxClients: 1_000_000,
			MaxConnections: max(16, min(10_000, r.Descriptors-reservedDescriptors)),
			MaxFuture:      time.Hour, PartialLineTimeout: 30 * time.Second,
			OutputHard: 4 << 20, OutputSoft: 1 << 20, MaxBuffered: r.maxBuffered(),
			PlacesInFlight: 64, Drain: 5 * time.Second,
		},
	}
}
