package herd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"serverherd/protocol"
)

// SecretVariable is the environment variable that may hold the herd's secrets instead of a file.
const SecretVariable = "HERD_SECRET"

// ConfigError is one mistake in a configuration file: where it is and what would be right.
type ConfigError struct {
	File string
	Line int    // from 1; 0 if it is in no line
	Key  string // with its table, as in limits.max_line
	Text string
}

// Error implements error.
func (e *ConfigError) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Key != "" {
		where += ": " + e.Key
	}
	return where + ": " + e.Text
}

// LoadConfig reads a configuration file, strictly: its error is a *ConfigError that names file,
// line and key of the first mistake, and what would be right. The environment's secret counts as
// the file's. descriptors is how many the process may have open; max_connections follows from it.
func LoadConfig(file string, descriptors int) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &ConfigError{File: file,
				Text: "there is no such file; name one with --config or $HERD_CONFIG"}
		}
		return nil, &ConfigError{File: file, Text: err.Error()}
	}
	return ParseConfig(file, text, os.Getenv(SecretVariable), descriptors)
}

// ParseConfig is LoadConfig for a text that has been read. Relative paths in it are relative to
// the folder of file.
func ParseConfig(file string, text []byte, secret string, descriptors int) (*Config, error) {
	l := &loader{file: file, text: strings.Split(string(text), "\n")}
	var raw rawConfig
	raw.defaults(descriptors)
	meta, err := toml.Decode(string(text), &raw)
	if err != nil {
		return nil, l.syntax(err)
	}
	for _, key := range meta.Undecoded() {
		return nil, l.unknown(key)
	}
	l.config = raw.config()
	steps := []func() error{
		func() error { return l.herd(secret) }, l.choices, l.limits, l.servers, l.edges, l.reach,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.config, nil
}

// loader checks a configuration and knows where in its file each thing is.
type loader struct {
	file   string
	text   []string
	config *Config
}

// at makes the error about a key: in the n-th [[server]], if table is "server".
func (l *loader) at(table string, n int, key, format string, args ...any) error {
	full := key
	if table != "" {
		full = table + "." + key
	}
	return &ConfigError{File: l.file, Line: l.line(table, n, key), Key: full,
		Text: fmt.Sprintf(format, args...)}
}

// line finds the line of a key; of its table, if the key is not written out; else 0.
func (l *loader) line(table string, n int, key string) int {
	inside, header, seen := table == "", 0, -1
	for i, text := range l.text {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && !strings.Contains(text, "=") {
			name := strings.TrimSpace(strings.Trim(strings.SplitN(text, "#", 2)[0], "[] \t"))
			if inside = name == table; inside {
				if seen++; table == "server" && seen != n {
					inside = false
					continue
				}
				header = i + 1
			}
			continue
		}
		name, _, ok := strings.Cut(text, "=")
		if inside && ok && strings.Trim(strings.TrimSpace(name), `"'`) == key {
			return i + 1
		}
	}
	return header
}

// syntax is for what TOML itself, or the type of a key, does not allow.
func (l *loader) syntax(err error) error {
	var p toml.ParseError
	if errors.As(err, &p) && p.Message != "" {
		return &ConfigError{File: l.file, Line: p.Position.Line, Key: p.LastKey, Text: p.Message}
	}
	// Other errors of the library say where they are in their text only.
	if m := positioned.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return &ConfigError{File: l.file, Line: line, Key: m[2], Text: m[3]}
	}
	return &ConfigError{File: l.file, Text: strings.TrimPrefix(err.Error(), "toml: ")}
}

var positioned = regexp.MustCompile(`(?s)^toml: line (\d+)(?: \(last key "([^"]*)"\))?: (.*)$`)

// unknown is for a key that means nothing, with those that would mean something there.
func (l *loader) unknown(key toml.Key) error {
	table := key[:len(key)-1].String()
	if known, ok := tables[table]; ok && len(key) > 1 {
		n := l.serverOf(key[len(key)-1])
		return l.at(table, n, key[len(key)-1], "unknown key; here are %s", strings.Join(known, ", "))
	}
	return &ConfigError{File: l.file, Line: l.line(key.String(), 0, ""), Key: key.String(),
		Text: "unknown; there are [herd], [peers], [places], [log], [limits] and [[server]]"}
}

// serverOf is which [[server]] holds a key, of which only the name is known.
func (l *loader) serverOf(key string) int {
	for n := range min(strings.Count(strings.Join(l.text, "\n"), "[[server]]"), 256) {
		if i := l.line("server", n, key); i > 0 && strings.Contains(l.text[i-1], "=") {
			return n
		}
	}
	return 0
}

// tables are the keys of each table, as messages list them.
var tables = map[string][]string{
	"herd":   {"name", "dialect", "secret_file"},
	"peers":  {"handshake"},
	"places": {"provider", "base_url", "key_file", "rank", "timeout"},
	"log":    {"dir", "lines", "level", "format"},
	"limits": {"max_line", "max_client_id", "max_connections", "max_clients", "max_future",
		"idle_timeout", "partial_line_timeout", "output_hard", "output_soft", "places_in_flight",
		"drain"},
	"server": {"name", "address", "listen", "console", "neighbors"},
}

// herd checks [herd] and reads the secrets.
func (l *loader) herd(secret string) error {
	h := &l.config.Herd
	if !protocol.ValidName(h.Name) {
		return l.at("herd", 0, "name", "%q is not a letter and up to 31 letters, digits, _ or -", h.Name)
	}
	where := "$" + SecretVariable
	if h.SecretFile != "" {
		h.SecretFile = l.path(h.SecretFile)
		where = h.SecretFile
		info, err := os.Stat(h.SecretFile)
		if err != nil {
			return l.at("herd", 0, "secret_file", "%v", err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			return l.at("herd", 0, "secret_file", "%s can be read by others: chmod 600 it", where)
		}
		text, err := os.ReadFile(h.SecretFile)
		if err != nil {
			return l.at("herd", 0, "secret_file", "%v", err)
		}
		secret = string(text)
	}
	h.Secrets = strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(h.Secrets) == 0 {
		h.Secrets = nil
	}
	if h.SecretFile != "" && h.Secrets == nil || len(h.Secrets) > 2 {
		return l.at("herd", 0, "secret_file", "%s holds %d lines; it takes one secret, or two of "+
			"which the first signs", where, len(h.Secrets))
	}
	return nil
}

// path makes a path of the file relative to the file.
func (l *loader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(l.file), p)
}

// choices checks the keys that take one of a few words.
func (l *loader) choices() error {
	c := l.config
	for _, k := range []struct {
		table, key, value string
		words             []string
	}{
		{"herd", "dialect", c.Herd.Dialect, []string{"paper", "cs131"}},
		{"peers", "handshake", c.Peers.Handshake, []string{"required"}},
		{"places", "provider", c.Places.Provider, []string{"embedded", "google-legacy"}},
		{"places", "rank", c.Places.Rank, []string{"class", "distance"}},
		{"log", "level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log", "format", c.Log.Format, []string{"json", "text"}},
	} {
		if !slices.Contains(k.words, k.value) {
			return l.at(k.table, 0, k.key, "%q is not available; what is: %s", k.value,
				strings.Join(k.words, ", "))
		}
	}
	c.Log.Dir, c.Places.KeyFile = l.path(c.Log.Dir), l.path(c.Places.KeyFile)
	if c.Log.Dir == "" {
		return l.at("log", 0, "dir", "a directory is needed")
	}
	if c.Places.Timeout < time.Millisecond || c.Places.Timeout > time.Minute {
		return l.at("places", 0, "timeout", "%v is not between 1ms and 1m0s", c.Places.Timeout)
	}
	return nil
}

// limits checks the ranges in [limits].
func (l *loader) limits() error {
	m := &l.config.Limits
	for _, k := range []struct {
		key         string
		value       int
		least, most int
	}{
		{"max_client_id", m.MaxClientID, 1, protocol.MaxClientID},
		{"max_line", m.MaxLine, m.MaxClientID + 256, 1 << 20},
		{"max_connections", m.MaxConnections, 1, 1_000_000},
		{"max_clients", m.MaxClients, 1, 100_000_000},
		{"output_hard", m.OutputHard, 64 << 10, 1 << 30},
		{"output_soft", m.OutputSoft, 16 << 10, m.OutputHard},
		{"places_in_flight", m.PlacesInFlight, 1, 1024},
	} {
		if k.value < k.least || k.value > k.most {
			return l.at("limits", 0, k.key, "%d is not between %d and %d", k.value, k.least, k.most)
		}
	}
	for _, k := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"max_future", m.MaxFuture, 0, 100 * 365 * 24 * time.Hour},
		{"drain", m.Drain, 10 * time.Millisecond, time.Hour},
	} {
		if k.value < k.least || k.value > k.most {
			return l.at("limits", 0, k.key, "%v is not between %v and %v", k.value, k.least, k.most)
		}
	}
	return nil
}

// servers checks each [[server]] by itself and for what no two may share.
func (l *loader) servers() error {
	if len(l.config.Servers) == 0 {
		return &ConfigError{File: l.file, Key: "server", Text: "at least one [[server]] is needed"}
	}
	names, bound := map[string]int{}, map[string]string{}
	for i, s := range l.config.Servers {
		if !protocol.ValidName(s.Name) {
			return l.at("server", i, "name", "%q is not a letter and up to 31 letters, digits, _ or -", s.Name)
		}
		if k, twice := names[s.Name]; twice {
			return l.at("server", i, "name", "%s is the name of server %d too", s.Name, k+1)
		}
		names[s.Name] = i
		for _, a := range []struct{ key, value string }{
			{"address", s.Address}, {"listen", s.Listen}, {"console", s.Console},
		} {
			if a.key == "console" && a.value == "" || a.key == "listen" && a.value == s.Address {
				continue
			}
			if !validAddress(a.value) {
				return l.at("server", i, a.key, "%q is not an address and a port, as 127.0.0.1:11500", a.value)
			}
			if other, twice := bound[a.value]; twice {
				return l.at("server", i, a.key, "%s is used by %s too", a.value, other)
			}
			bound[a.value] = s.Name + "'s " + a.key
		}
	}
	return nil
}

// edges checks that neighbors know each other.
func (l *loader) edges() error {
	servers := map[string]ServerConfig{}
	var all []string
	for _, s := range l.config.Servers {
		servers[s.Name] = s
		all = append(all, s.Name)
	}
	for i, s := range l.config.Servers {
		for k, name := range s.Neighbors {
			other, known := servers[name]
			switch {
			case !known:
				return l.at("server", i, "neighbors", "%q is no server; there are %s", name,
					strings.Join(all, ", "))
			case name == s.Name:
				return l.at("server", i, "neighbors", "%s is its own neighbor", name)
			case slices.Index(s.Neighbors, name) != k:
				return l.at("server", i, "neighbors", "%s is named twice", name)
			case !slices.Contains(other.Neighbors, s.Name):
				return l.at("server", i, "neighbors", "%s is named, but does not name %s", name, s.Name)
			}
		}
	}
	return nil
}

// reach refuses a herd that others could reach and that has no secret.
func (l *loader) reach() error {
	if len(l.config.Herd.Secrets) > 0 {
		return nil
	}
	for i, s := range l.config.Servers {
		for _, a := range []struct{ key, value string }{{"address", s.Address}, {"listen", s.Listen}} {
			if !IsLoopback(a.value) {
				return l.at("server", i, a.key, "%s is not loopback, so neighbors must prove "+
					"themselves: set herd.secret_file or $%s", a.value, SecretVariable)
			}
		}
	}
	return nil
}

// validAddress: an IP address or a host name, a colon, and a port.
func validAddress(a string) bool {
	if addr, err := netip.ParseAddrPort(a); err == nil {
		return addr.Port() != 0
	}
	host, port, ok := strings.Cut(a, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && n != 0 && hostName.MatchString(host)
}

var hostName = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// IsLoopback says whether an address, host:port, can be reached from this machine only.
func IsLoopback(a string) bool {
	addr, err := netip.ParseAddrPort(a)
	return err == nil && addr.Addr().Unmap().IsLoopback() || strings.HasPrefix(a, "localhost:")
}
