package config

import (
	"fmt"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// Resources are what the process may use.
type Resources struct {
	Descriptors int // files that it may have open
	Memory      int // bytes; 0 if nothing limits it
}

const (
	// defaultBuffered is max_buffered where nothing limits the memory. Where something does it is a
	// quarter of that: garbage can take as much again, and records need room, too.
	defaultBuffered = 256 << 20
	minBuffered     = 1 << 20
)

// maxBuffered is the default of max_buffered.
func (r Resources) maxBuffered() int {
	if r.Memory == 0 {
		return defaultBuffered
	}
	return max(minBuffered, r.Memory/4)
}

// reservedDescriptors are for files, neighbors, the console and lookups.
const reservedDescriptors = 700

// maxPlacesTimeout bounds places.timeout, so that a client whose lines wait for its lookups gets a
// reply, which is progress, before HeldInputTimeout.
const maxPlacesTimeout = reactor.HeldInputTimeout - 10*time.Second

// minDescriptors is what a server needs at least: with 16 clients, its neighbors, its console and
// its files.
const minDescriptors = 256

// CheckDescriptors says whether a process that may open so many descriptors can serve
// max_connections. Only a server asks; a client's command may have fewer.
func (c *Config) CheckDescriptors(descriptors int) error {
	if descriptors < minDescriptors {
		return fmt.Errorf("this process may open %d descriptors; a server needs at least %d: raise "+
			"ulimit -n", descriptors, minDescriptors)
	}
	if most := max(16, descriptors-reservedDescriptors); c.Limits.MaxConnections > most {
		return fmt.Errorf("limits.max_connections: %d is more than %d, which is what %d descriptors "+
			"allow; raise ulimit -n or lower it", c.Limits.MaxConnections, most, descriptors)
	}
	return nil
}

// defaults are what a file need not say.
func defaults(r Resources) *Config {
	return &Config{
		Herd:  Herd{Name: "ucla", Dialect: "paper"},
		Peers: Peers{Handshake: "required", Legacy: "keep-open"},
		Places: Places{
			Provider: "embedded", Rank: "class", Timeout: 5 * time.Second,
			Rate: 50, DailyBudget: 1000, BudgetShare: 50, PlacesState: "places-state",
		},
		Log: Log{
			Dir: "logs", Lines: true, Level: "info", Format: "json", MaxSize: 100 << 20, MaxFiles: 5,
		},
		Limits: Limits{
			MaxLine: 16384, MaxClientID: protocol.MaxClientID, MaxClients: 1_000_000,
			MaxConnections: max(16, min(10_000, r.Descriptors-reservedDescriptors)),
			MaxFuture:      time.Hour, PartialLineTimeout: 30 * time.Second,
			OutputHard: 4 << 20, OutputSoft: 1 << 20, MaxBuffered: r.maxBuffered(),
			PlacesInFlight: 64, Drain: 5 * time.Second,
		},
	}
}
