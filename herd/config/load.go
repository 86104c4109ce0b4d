package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"serverherd/protocol/bom"
)

// SecretVariable is the environment variable that may hold the herd's secrets instead of a file.
const SecretVariable = "HERD_SECRET"

// Error is a mistake in a configuration file.
type Error struct {
	File string
	Line int    // from 1; 0 if no line contains it
	Key  string // with its table, as in limits.max_line
	Text string
}

// Error implements error.
func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Key != "" {
		where += ": " + e.Key
	}
	return where + ": " + e.Text
}

// Load reads and checks a configuration file. Its error is an *Error. Without secret_file, the secrets are
// those of $HERD_SECRET. The defaults of max_connections and max_buffered depend on r.
func Load(file string, r Resources) (*Config, error) { return load(file, loader{}, r) }

func load(file string, l loader, r Resources) (*Config, error) {
	text, err := readFile(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{File: file,
				Text: "file not found: set --config or $HERD_CONFIG"}
		}
		return nil, &Error{File: file, Text: err.Error()}
	}
	return l.parse(file, text, os.Getenv(SecretVariable), r)
}

// LoadForClient is Load for a program that is no server of the herd: it needs no secret. If it may not read secret_file, or
// there is no such file where it runs, there are no secrets, and the reason is in Herd.SecretMissing.
func LoadForClient(file string, r Resources) (*Config, error) {
	return load(file, loader{client: true}, r)
}

// maxFileSize is the maximum size of a configuration or secret file, in bytes.
const maxFileSize = 1 << 20

// readFile refuses a file of more than maxFileSize, such as /dev/zero.
func readFile(file string) ([]byte, error) {
	// #nosec G304 -- the operator names it
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readText(f)
}

func readText(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(text) > maxFileSize {
		err = fmt.Errorf("%s is larger than the maximum of 1 MiB", f.Name())
	}
	return text, err
}

// Parse is Load for text that was read from file and the value of $HERD_SECRET. Relative paths in text are
// relative to the directory of file.
func Parse(file string, text []byte, secret string, r Resources) (*Config, error) {
	return (&loader{}).parse(file, text, secret, r)
}

func (l *loader) parse(file string, text []byte, secret string, r Resources) (*Config, error) {
	text, err := bom.Trim(text)
	if err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	var doc map[string]any
	if _, err := toml.Decode(string(text), &doc); err != nil {
		return nil, syntaxError(file, err)
	}
	l.file, l.text, l.config = file, string(text), defaults(r)
	// A step runs only if the steps before it found no mistake.
	for _, step := range []func(){
		func() { l.read(doc) },
		l.checkValues,
		func() { l.readSecrets(secret) },
		l.checkNames,
		l.checkPorts,
		l.checkNeighbors,
		l.checkSecretRequired,
		l.checkBridges,
	} {
		if step(); len(l.errs) > 0 {
			return nil, slices.MinFunc(l.errs, func(a, b *Error) int {
				return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key))
			})
		}
	}
	return l.config, nil
}

// tableTwice is what the TOML library says of a second [table], such as one whose lines were pasted.
var tableTwice = regexp.MustCompile(`^Key '([a-z]+)' has already been defined\.$`)

// syntaxError converts an error of the TOML library.
func syntaxError(file string, err error) error {
	if p := (toml.ParseError{}); errors.As(err, &p) {
		text := strings.TrimPrefix(p.Message, "toml: ")
		if m := tableTwice.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("[%s] is there twice: write its keys below the first one", m[1])
		}
		return &Error{File: file, Line: p.Position.Line, Key: p.LastKey, Text: text}
	}
	return &Error{File: file, Text: strings.TrimPrefix(err.Error(), "toml: ")}
}

// loader is the state of one Parse.
type loader struct {
	client bool // see LoadForClient
	file   string
	text   string
	lines  map[string]int // see locate; nil before the first mistake
	config *Config
	errs   []*Error
}

// fail records a mistake at a key of a table, or at the table if key is "". If table is "server", it is the
// n-th [[server]], or all of them if n is -1.
func (l *loader) fail(table string, n int, key, format string, args ...any) {
	full, place := table, table
	if table == "server" && n >= 0 {
		place = serverName(n)
	}
	if key != "" {
		full, place = full+"."+key, place+"."+key
	}
	if l.lines == nil {
		l.lines = locate(l.text)
	}
	l.errs = append(l.errs, &Error{File: l.file, Line: lineOf(l.lines, place),
		Key: strings.TrimPrefix(full, "."), Text: fmt.Sprintf(format, args...)})
}

// read stores all values of the file, and reports unknown keys and wrong types.
func (l *loader) read(doc map[string]any) {
	keys := l.config.keys()
	var tables []string
	for _, k := range keys {
		if !slices.Contains(tables, k.table) {
			tables = append(tables, k.table)
		}
	}
	for name, value := range doc { // order: Parse reports the mistake with the lowest line
		table, isTable := value.(map[string]any)
		switch {
		case name == "server":
			l.readServers(value)
		case !slices.Contains(tables, name):
			l.fail(name, 0, "", "unknown table; known tables: [%s], [[server]]", strings.Join(tables, "], ["))
		case !isTable:
			l.fail(name, 0, "", "expected a table [%s], got %s", name, tomlType(value))
		default:
			l.readTable(name, 0, table, keys)
		}
	}
}

func (l *loader) readServers(value any) {
	servers, ok := value.([]map[string]any)
	if array, isArray := value.([]any); isArray && len(array) == 0 {
		ok = true
	}
	if !ok {
		l.fail("server", -1, "", "expected an array of tables [[server]], got %s", tomlType(value))
		return
	}
	l.config.Servers = make([]Server, len(servers))
	for i, table := range servers {
		l.readTable("server", i, table, l.config.Servers[i].keys())
	}
}

// tableHint names the table that a misplaced key belongs to. In the supplied herd.toml some headers are
// commented out: a key below such a header is in the previous table.
func tableHint(name string, keys []key) string {
	for _, k := range keys {
		if k.name == name {
			return "it belongs to [" + k.table + "]; "
		}
	}
	return ""
}

// readTable stores the values of one table. keys may contain keys of other tables.
func (l *loader) readTable(name string, n int, table map[string]any, keys []key) {
	var known []string
	for _, k := range keys {
		if k.table != name {
			continue
		}
		known = append(known, k.name)
		if value, ok := table[k.name]; ok {
			if wrong := k.set(value); wrong != "" {
				l.fail(name, n, k.name, "%s", wrong)
			}
		}
	}
	for key := range table { // order: see read
		if !slices.Contains(known, key) {
			l.fail(name, n, key, "unknown key; %sknown keys: %s", tableHint(key, keys), strings.Join(known, ", "))
		}
	}
}

// checkValues checks each value by itself, sets defaults that depend on other values, and resolves paths.
func (l *loader) checkValues() {
	c := l.config
	l.checkAll(0, c.keys())
	for i := range c.Servers {
		l.checkAll(i, c.Servers[i].keys())
		if s := &c.Servers[i]; s.Listen == "" {
			s.Listen = s.Address
		}
	}
	if len(c.Servers) == 0 {
		l.fail("server", -1, "", "at least one [[server]] is required")
	}
	for _, path := range []*string{
		&c.Herd.SecretFile, &c.Clients.Tokens, &c.TLS.CA, &c.TLS.Cert, &c.TLS.Key,
		&c.Places.KeyFile, &c.Places.Path, &c.Places.PlacesState, &c.Log.Dir, &c.Storage.Dir,
		&c.JetStream.Creds, &c.JetStream.TLSCA, &c.JetStream.TLSCert, &c.JetStream.TLSKey,
	} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(l.file), *path)
		}
	}
}

func (l *loader) checkAll(n int, keys []key) {
	for _, k := range keys {
		if k.check == nil {
			continue
		}
		if wrong := k.check(); wrong != "" {
			l.fail(k.table, n, k.name, "%s", wrong)
		}
	}
}

// minSecret is the minimum length of a secret, in bytes: 16 random bytes cannot be guessed.
const minSecret = 16

// readSecrets reads the secrets from secret_file, or from secret if that is not set.
func (l *loader) readSecrets(secret string) {
	h := &l.config.Herd
	where := "$" + SecretVariable
	if h.SecretFile != "" {
		where = h.SecretFile
		text, err := ReadSecret(where)
		if l.client && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
			h.SecretMissing = err
			return
		}
		if err != nil {
			l.fail("herd", 0, "secret_file", "%v", err)
			return
		}
		secret = string(text)
	}
	text, err := bom.Trim([]byte(secret))
	if err != nil {
		l.fail("herd", 0, "secret_file", "%s: %v", where, err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			h.Secrets = append(h.Secrets, line)
		}
	}
	for _, s := range h.Secrets {
		if len(s) < minSecret {
			l.fail("herd", 0, "secret_file", "%s: secret of %d bytes is shorter than the minimum of %d; "+
				"generate one with: openssl rand -hex 16", where, len(s), minSecret)
			return
		}
	}
	if n := len(h.Secrets); n == 0 && (h.SecretFile != "" || secret != "") || n > 2 {
		l.fail("herd", 0, "secret_file", "%s: expected one or two secrets, got %d", where, n)
	}
}
