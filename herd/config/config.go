package config

import "time"

// Config is herd.toml with every default filled in. A value; nobody changes it after loading.
type Config struct {
	Herd    Herd
	Peers   Peers
	Places  Places
	Log     Log
	Storage Storage
	Limits  Limits
	Servers []Server // in the order of the file, at least one
}

// Herd is the table [herd].
type Herd struct {
	Name    string // a name, protocol.ValidName
	Dialect string // "paper" or "cs131"
	// UnfinishedLine is after how much silence, in dialect cs131, the beginning of a client's line is
	// executed as a line and the connection is closed; 0: never.
	UnfinishedLine time.Duration
	SecretFile     string   // absolute, or relative to the working directory; "" for none
	Secrets        []string // none, one or two; the first signs
}

// Peers is the table [peers].
type Peers struct {
	Handshake string // "required" or "optional"
	// Legacy is how AT lines are sent to a neighbor without a handshake: "keep-open", all on one
	// connection, or "close-after-write", one on each.
	Legacy string
}

// Places is the table [places].
type Places struct {
	Provider string // one of Providers
	BaseURL  string // replaces scheme and host of a network provider
	KeyFile  string // else $GOOGLE_PLACES_API_KEY
	Path     string // of the places of provider file
	// Columns says what name, lat, lng, types and vicinity are called in that file, as
	// places.FileOptions has it; nil for none.
	Columns map[string]string
	Lenient bool // places without a name or a position are passed over

	Fields      []string      // further ones that google is asked for, each at a price
	Rank        string        // "class" or "distance", of the embedded data
	Timeout     time.Duration // of one lookup, from the reading of its line to its answer
	Rate        int           // lookups a second and server at a network provider
	DailyBudget int           // the same in a day of UTC
	BudgetShare int           // percent of it, less what others spend, for one client address
	PlacesState string        // directory where DailyBudget is counted, absolute or relative likewise
	Fallback    string        // "embedded", or "" for none: who answers when a network provider did not
}

// Providers are the names that provider may have.
var Providers = []string{"embedded", "file", "google", "google-legacy"}

// Network says whether lookups go over the network and cost money.
func (p *Places) Network() bool { return p.Provider == "google" || p.Provider == "google-legacy" }

// Log is the table [log].
type Log struct {
	Dir    string // absolute, or relative to the working directory
	Lines  bool   // every line in and out
	Level  string // debug, info, warn, error
	Format string // "json" or "text"

	MaxSize  int  // bytes of a file before it is rotated; 0: never
	MaxFiles int  // rotated files of a server that are kept
	Compress bool // rotated files, with gzip
}

// EveryLine says whether the log holds every line in and out.
func (g *Log) EveryLine() bool { return g.Lines && (g.Level == "info" || g.Level == "debug") }

// MaxBytes is how many bytes the log files of one server may take; 0: there is no limit.
func (g *Log) MaxBytes() uint64 { return uint64(g.MaxSize) * uint64(g.MaxFiles+1) }

// Storage is the table [storage].
type Storage struct {
	Dir string // of the journals, absolute or relative to the working directory; "" for none
}

// Limits is the table [limits]. Its JSON names are its keys; durations are in nanoseconds there.
type Limits struct {
	MaxLine            int           `json:"max_line"`      // bytes, without terminator
	MaxClientID        int           `json:"max_client_id"` // bytes
	MaxConnections     int           `json:"max_connections"`
	MaxClients         int           `json:"max_clients"`
	MaxFuture          time.Duration `json:"max_future"`           // a stamp ahead of this server's clock
	IdleTimeout        time.Duration `json:"idle_timeout"`         // 0: none
	PartialLineTimeout time.Duration `json:"partial_line_timeout"` // from the first byte of a line
	OutputHard         int           `json:"output_hard"`          // bytes unsent to one client
	OutputSoft         int           `json:"output_soft"`          // the same, for 10 s
	MaxBuffered        int           `json:"max_buffered"`         // bytes kept for all clients together
	PlacesInFlight     int           `json:"places_in_flight"`     // lookups at once, see herd.MostLookups; 1,024 more wait
	Drain              time.Duration `json:"drain"`                // at shutdown
}

// Server is one [[server]].
type Server struct {
	Name      string
	Address   string // what neighbors dial
	Listen    string // what to bind; Address if not given
	Console   string // "" for none
	Neighbors []string
}
