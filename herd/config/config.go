package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is herd.toml with all defaults filled in. It is not changed after loading, so any goroutine may read it.
type Config struct {
	Herd      Herd
	Peers     Peers
	Clients   Clients
	Console   Console
	TLS       TLS
	Places    Places
	Log       Log
	Storage   Storage
	JetStream JetStream
	Limits    Limits
	Servers   []Server // in the order of the file, at least one
}

// Herd is the table [herd].
type Herd struct {
	Name    string // a name, protocol.ValidName
	Dialect string // "paper" or "cs131"
	// UnfinishedLine applies to dialect cs131: after so long without input, an unterminated line of a
	// client is executed and the connection is closed. 0: never.
	UnfinishedLine time.Duration
	SecretFile     string   // absolute, or relative to the working directory; "" for none
	SecretMissing  error    // why SecretFile could not be read, see LoadForClient
	Secrets        []string // up to two; the first one signs, any of them is accepted
}

// Peers is the table [peers].
type Peers struct {
	Handshake string // "required" or "optional"
	// Legacy is how AT lines are sent to a neighbor without a handshake: "keep-open", all on one
	// connection, or "close-after-write", one on each.
	Legacy string
}

// Clients is the table [clients].
type Clients struct {
	// Tokens is a file with the tokens of clients and of whoever uses a console, see access.Parse: absolute, or
	// relative to the working directory; "" for none. Load does not read it.
	Tokens string
	Open   bool   // clients need no token
	TLS    string // one of TLSModes
	// ProxyProtocol are the networks of proxies, as 10.0.0.0/8: connections from them begin with a PROXY header, which
	// says who the client is, unless they are a neighbor's.
	ProxyProtocol []string
}

// Proxies returns ProxyProtocol, parsed.
func (c *Clients) Proxies() (all []netip.Prefix) {
	for _, text := range c.ProxyProtocol {
		all = append(all, netip.MustParsePrefix(text).Masked()) // checked by Load
	}
	return all
}

// Required reports whether a client needs a token.
func (c *Clients) Required() bool { return c.Tokens != "" && !c.Open }

// Console is the table [console].
type Console struct {
	Open  bool     // everyone may read, from other machines, too
	TLS   string   // one of TLSModes
	Hosts []string // names by which browsers and programs may ask consoles, besides those of the servers
}

// TLS is the table [tls]: the files for all connections over TLS, and what links do.
type TLS struct {
	// CA has the certificates that sign those of the herd's servers. Cert and Key are a server's own. All are PEM files,
	// absolute or relative to the working directory; {name} in a path is replaced by the server's name.
	CA, Cert, Key string
	Links         string // one of TLSModes
}

// TLSModes are the values of TLS.Links, Clients.TLS and Console.TLS: without TLS; with or without; only with.
var TLSModes = []string{"off", "optional", "required"}

// UsesTLS reports whether a server needs a certificate.
func (c *Config) UsesTLS() bool {
	for _, mode := range []string{c.TLS.Links, c.Clients.TLS, c.Console.TLS} {
		if mode == "optional" || mode == "required" {
			return true
		}
	}
	return false
}

// Others returns the names of all servers but one.
func (c *Config) Others(server string) (names []string) {
	for _, s := range c.Servers {
		if s.Name != server {
			names = append(names, s.Name)
		}
	}
	return names
}

// Of returns the files of a server.
func (t TLS) Of(server string) TLS {
	for _, path := range []*string{&t.CA, &t.Cert, &t.Key} {
		*path = strings.ReplaceAll(*path, "{name}", server)
	}
	return t
}

// Places is the table [places].
type Places struct {
	Provider string // one of Providers
	BaseURL  string // replaces scheme and host of a network provider
	KeyFile  string // "": $GOOGLE_PLACES_API_KEY
	Path     string // of the places file of provider file
	// Columns maps name, lat, lng, types and vicinity to the names of that file's columns, see
	// places.FileOptions. It may be nil.
	Columns map[string]string
	Lenient bool // skip places without a name or a position

	Fields      []string      // additional fields to request from google, which charges for them
	Rank        string        // "class" or "distance", of the embedded data
	Timeout     time.Duration // of one lookup, from reading its line to its reply
	Rate        int           // lookups per second and server at a network provider
	DailyBudget int           // lookups per day (UTC) and server
	BudgetShare int           // percent of what others leave of it, for one client address
	PlacesState string        // directory of the budget counter, absolute or relative to the working directory
	Fallback    string        // "embedded", or "" for none: used when a network provider fails
}

// Providers are the valid values of Places.Provider.
var Providers = []string{"embedded", "file", "google", "google-legacy"}

// Network reports whether lookups go over the network and cost money.
func (p *Places) Network() bool { return p.Provider == "google" || p.Provider == "google-legacy" }

// Log is the table [log].
type Log struct {
	Dir    string // absolute, or relative to the working directory
	Lines  bool   // every line in and out
	Level  string // one of LogLevels
	Format string // "json" or "text"

	MaxSize  int  // bytes of a file before it is rotated; 0: never
	MaxFiles int  // rotated files of a server that are kept
	Compress bool // rotated files, with gzip

	GroupReadable bool // the group may read new files and directories
}

// LogLevels are the valid values of Log.Level.
var LogLevels = []string{"debug", "info", "warn", "error"}

// CheckLogLevel returns an error if a level is none of LogLevels.
func CheckLogLevel(level string) error {
	if slices.Contains(LogLevels, level) {
		return nil
	}
	return fmt.Errorf("the level must be one of %s, got %.64q", strings.Join(LogLevels, ", "), level)
}

// EveryLine reports whether the log contains every line in and out.
func (g *Log) EveryLine() bool { return g.Lines && (g.Level == "info" || g.Level == "debug") }

// MaxBytes returns the maximum size of all log files of one server, in bytes; 0: no limit.
func (g *Log) MaxBytes() uint64 { return uint64(g.MaxSize) * uint64(g.MaxFiles+1) }

// Storage is the table [storage].
type Storage struct {
	Dir string // of the journals, absolute or relative to the working directory; "" for none
}

// JetStream is the table [jetstream]: NATS servers with buckets for the records of several herds.
type JetStream struct {
	URL        string // of NATS servers, separated by commas, without a user or a password; "": not used
	Bucket     string // the key-value bucket, or with partitions the beginning of their names
	Partitions int    // number of buckets
	Replicas   int    // of a bucket that is created
	Mode       string // one of BucketModes
	// AskAfter is for mode ask: a WHATSAT for a client whose record is older asks the bucket.
	AskAfter time.Duration
	// Creds, TLSCA, TLSCert and TLSKey are files, absolute or relative to the working directory; "" for none.
	Creds, TLSCA, TLSCert, TLSKey string
}

// BucketModes are the valid values of JetStream.Mode.
var BucketModes = []string{"publish", "share", "ask"}

// Enabled reports whether a bucket is configured.
func (j *JetStream) Enabled() bool { return j.URL != "" }

// Limits is the table [limits]. The JSON names are the keys of the table; durations in JSON are nanoseconds.
type Limits struct {
	MaxLine            int           `json:"max_line"`      // bytes, without terminator
	MaxClientID        int           `json:"max_client_id"` // bytes
	MaxConnections     int           `json:"max_connections"`
	MaxClients         int           `json:"max_clients"`
	MaxFuture          time.Duration `json:"max_future"`           // a stamp ahead of this server's clock
	IdleTimeout        time.Duration `json:"idle_timeout"`         // 0: none
	PartialLineTimeout time.Duration `json:"partial_line_timeout"` // from the first byte of a line
	OutputHard         int           `json:"output_hard"`          // bytes that one client has not read
	OutputSoft         int           `json:"output_soft"`          // the same, for 10 s
	MaxBuffered        int           `json:"max_buffered"`         // bytes buffered for all clients together
	PlacesInFlight     int           `json:"places_in_flight"`     // concurrent lookups, see herd.MostLookups; up to 1,024 more wait
	Drain              time.Duration `json:"drain"`                // at shutdown

	// The following are 0 for no limit. An address is a host, or an IPv6 network of 64 bits; all of loopback is one.
	// Without ConnectionsPerAddress, an address beyond loopback may have half of MaxConnections.
	ConnectionsPerAddress int `json:"connections_per_address"`
	ConnectionsPerToken   int `json:"connections_per_token"`
	LinesPerAddress       int `json:"lines_per_address"`    // a second
	LinesPerToken         int `json:"lines_per_token"`      // a second
	UpdatesPerClient      int `json:"updates_per_client"`   // IAMATs a second for one client id
	WhatsatsPerAddress    int `json:"whatsats_per_address"` // a day (UTC)
	WhatsatsPerToken      int `json:"whatsats_per_token"`   // likewise
}

// Server is one [[server]].
type Server struct {
	Name      string
	Address   string // what neighbors dial
	Listen    string // what to bind; by default Address
	Console   string // "" for none
	Neighbors []string
	Bridge    bool // it exchanges records with the buckets of [jetstream]
}
