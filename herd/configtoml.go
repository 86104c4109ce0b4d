package herd

import (
	"fmt"
	"io"
	"time"

	"github.com/BurntSushi/toml"

	"serverherd/protocol"
)

// rawConfig is the file as TOML sees it. Its tags are the keys, all of which work.
type rawConfig struct {
	Herd struct {
		Name       string `toml:"name"`
		Dialect    string `toml:"dialect"`
		SecretFile string `toml:"secret_file"`
	} `toml:"herd"`
	Peers struct {
		Handshake string `toml:"handshake"`
	} `toml:"peers"`
	Places struct {
		Provider string   `toml:"provider"`
		BaseURL  string   `toml:"base_url"`
		KeyFile  string   `toml:"key_file"`
		Rank     string   `toml:"rank"`
		Timeout  duration `toml:"timeout"`
	} `toml:"places"`
	Log struct {
		Dir    string `toml:"dir"`
		Lines  bool   `toml:"lines"`
		Level  string `toml:"level"`
		Format string `toml:"format"`
	} `toml:"log"`
	Limits struct {
		MaxLine            int      `toml:"max_line"`
		MaxClientID        int      `toml:"max_client_id"`
		MaxConnections     int      `toml:"max_connections"`
		MaxClients         int      `toml:"max_clients"`
		MaxFuture          duration `toml:"max_future"`
		IdleTimeout        duration `toml:"idle_timeout"`
		PartialLineTimeout duration `toml:"partial_line_timeout"`
		OutputHard         int      `toml:"output_hard"`
		OutputSoft         int      `toml:"output_soft"`
		PlacesInFlight     int      `toml:"places_in_flight"`
		Drain              duration `toml:"drain"`
	} `toml:"limits"`
	Server []rawServer `toml:"server"`
}

type rawServer struct {
	Name      string   `toml:"name"`
	Address   string   `toml:"address"`
	Listen    string   `toml:"listen"`
	Console   string   `toml:"console"`
	Neighbors []string `toml:"neighbors"`
}

// duration is written as a string, "5s"; "0" is none.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration as \"5s\", \"250ms\" or \"1h\"", text)
	}
	*d = duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// reservedDescriptors are for files, neighbors, the console and lookups.
const reservedDescriptors = 700

// defaults fills in what a file need not say.
func (r *rawConfig) defaults(descriptors int) {
	r.Herd.Name, r.Herd.Dialect = "ucla", "paper"
	r.Peers.Handshake = "required"
	r.Places.Provider, r.Places.Rank, r.Places.Timeout = "embedded", "class", duration(5*time.Second)
	r.Log.Dir, r.Log.Lines, r.Log.Level, r.Log.Format = "logs", true, "info", "json"
	l := &r.Limits
	l.MaxLine, l.MaxClientID, l.MaxClients = 16384, protocol.MaxClientID, 1_000_000
	l.MaxConnections = max(16, min(10_000, descriptors-reservedDescriptors))
	l.MaxFuture, l.PartialLineTimeout = duration(time.Hour), duration(30*time.Second)
	l.OutputHard, l.OutputSoft, l.PlacesInFlight = 4<<20, 1<<20, 64
	l.Drain = duration(5 * time.Second)
}

// config is the file's values as the server knows them. Paths and secrets are still the file's.
func (r *rawConfig) config() *Config {
	l := &r.Limits
	c := &Config{
		Herd:  Herd{Name: r.Herd.Name, Dialect: r.Herd.Dialect, SecretFile: r.Herd.SecretFile},
		Peers: Peers{Handshake: r.Peers.Handshake},
		Places: Places{
			Provider: r.Places.Provider, BaseURL: r.Places.BaseURL, KeyFile: r.Places.KeyFile,
			Rank: r.Places.Rank, Timeout: time.Duration(r.Places.Timeout),
		},
		Log: Log{Dir: r.Log.Dir, Lines: r.Log.Lines, Level: r.Log.Level, Format: r.Log.Format},
		Limits: Limits{
			MaxLine: l.MaxLine, MaxClientID: l.MaxClientID, MaxConnections: l.MaxConnections,
			MaxClients: l.MaxClients, MaxFuture: time.Duration(l.MaxFuture),
			IdleTimeout:        time.Duration(l.IdleTimeout),
			PartialLineTimeout: time.Duration(l.PartialLineTimeout),
			OutputHard:         l.OutputHard, OutputSoft: l.OutputSoft,
			PlacesInFlight: l.PlacesInFlight, Drain: time.Duration(l.Drain),
		},
	}
	for _, s := range r.Server {
		listen := s.Listen
		if listen == "" {
			listen = s.Address
		}
		c.Servers = append(c.Servers, ServerConfig{
			Name: s.Name, Address: s.Address, Listen: listen, Console: s.Console, Neighbors: s.Neighbors,
		})
	}
	return c
}

// WriteTOML writes the configuration as a file that says everything. Secrets are not in it.
func (c *Config) WriteTOML(w io.Writer) error {
	var r rawConfig
	r.Herd.Name, r.Herd.Dialect, r.Herd.SecretFile = c.Herd.Name, c.Herd.Dialect, c.Herd.SecretFile
	r.Peers.Handshake = c.Peers.Handshake
	p := &c.Places
	r.Places.Provider, r.Places.BaseURL, r.Places.KeyFile = p.Provider, p.BaseURL, p.KeyFile
	r.Places.Rank, r.Places.Timeout = p.Rank, duration(p.Timeout)
	r.Log.Dir, r.Log.Lines, r.Log.Level, r.Log.Format = c.Log.Dir, c.Log.Lines, c.Log.Level, c.Log.Format
	l, m := &r.Limits, &c.Limits
	l.MaxLine, l.MaxClientID, l.MaxConnections = m.MaxLine, m.MaxClientID, m.MaxConnections
	l.MaxClients, l.MaxFuture, l.IdleTimeout = m.MaxClients, duration(m.MaxFuture), duration(m.IdleTimeout)
	l.PartialLineTimeout, l.Drain = duration(m.PartialLineTimeout), duration(m.Drain)
	l.OutputHard, l.OutputSoft, l.PlacesInFlight = m.OutputHard, m.OutputSoft, m.PlacesInFlight
	for _, s := range c.Servers {
		r.Server = append(r.Server, rawServer(s))
	}
	e := toml.NewEncoder(w)
	e.Indent = ""
	return e.Encode(r)
}
