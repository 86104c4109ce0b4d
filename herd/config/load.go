package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"serverherd/places"
	"serverherd/protocol/bom"
)

// SecretVariable is the environment variable that may hold the herd's secrets instead of a file.
const SecretVariable = "HERD_SECRET"

// Error is one mistake in a configuration file: where it is and what would be right.
type Error struct {
	File string
	Line int    // from 1; 0 if it is in no line
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

// Load reads a configuration file, strictly: its error is an *Error. $HERD_SECRET holds the secrets if the
// file names no file for them. max_connections and max_buffered follow from what the process may use.
func Load(file string, r Resources) (*Config, error) {
	text, err := readFile(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{File: file,
				Text: "there is no such file; name one with --config or $HERD_CONFIG"}
		}
		return nil, &Error{File: file, Text: err.Error()}
	}
	return Parse(file, text, os.Getenv(SecretVariable), r)
}

// maxText bounds a file of text that is read as a whole, in bytes.
const maxText = 1 << 20

// readFile reads a small file of text. It refuses one of more than 1 MiB, such as a device that never ends.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readText(f)
}

func readText(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("%s is larger than 1 MiB; is it the right file?", f.Name())
	}
	return text, err
}

// ReadSecret reads a small file with a secret or a key. It refuses what others can read, and what is not a
// regular file. It never waits for the writer of a pipe.
func ReadSecret(file string) ([]byte, error) {
	f, info, err := places.OpenRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: chmod 600 it", file)
	}
	return readText(f)
}

// Parse is Load for a text that has been read. Relative paths in it are relative to the folder of file.
func Parse(file string, text []byte, secret string, r Resources) (*Config, error) {
	text, err := bom.Trim(text)
	if err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	var doc map[string]any
	if _, err := toml.Decode(string(text), &doc); err != nil {
		return nil, syntaxError(file, err)
	}
	l := &loader{file: file, text: string(text), config: defaults(r)}
	// Each step may rely on what those before it have found to be right.
	for _, step := range []func(){
		func() { l.read(doc) },
		l.values,
		func() { l.secrets(secret) },
		l.names,
		l.ports,
		l.edges,
		l.reach,
	} {
		if step(); len(l.errs) > 0 {
			return nil, slices.MinFunc(l.errs, func(a, b *Error) int {
				return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key))
			})
		}
	}
	return l.config, nil
}

// syntaxError is for what TOML does not allow.
func syntaxError(file string, err error) error {
	if p := (toml.ParseError{}); errors.As(err, &p) {
		return &Error{File: file, Line: p.Position.Line, Key: p.LastKey,
			Text: strings.TrimPrefix(p.Message, "toml: ")}
	}
	return &Error{File: file, Text: strings.TrimPrefix(err.Error(), "toml: ")}
}

// loader reads and checks a configuration.
type loader struct {
	file   string
	text   string
	lines  map[string]int // where each thing is; nil before the first mistake
	config *Config
	errs   []*Error
}

// fail notes a mistake: at a key of a table, at the table if key is "", at one of the n-th
// [[server]] if table is "server".
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

// read takes all values out of the file, and finds those that are unknown or of the wrong type.
func (l *loader) read(doc map[string]any) {
	keys := l.config.keys()
	var tables []string
	for _, k := range keys {
		if !slices.Contains(tables, k.table) {
			tables = append(tables, k.table)
		}
	}
	for name, value := range doc { // order: the error that is told is the first in the file
		table, isTable := value.(map[string]any)
		switch {
		case name == "server":
			l.readServers(value)
		case !slices.Contains(tables, name):
			l.fail(name, 0, "", "unknown; there are [%s] and [[server]]", strings.Join(tables, "], ["))
		case !isTable:
			l.fail(name, 0, "", "a table [%s] is wanted here, not %s", name, kind(value))
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
		l.fail("server", -1, "", "each server is a table [[server]], not %s", kind(value))
		return
	}
	l.config.Servers = make([]Server, len(servers))
	for i, table := range servers {
		l.readTable("server", i, table, l.config.Servers[i].keys())
	}
}

// elsewhere says in which table a key would be known. In herd.toml the headers of tables are commented
// out, and a key whose header still is belongs to the table before.
func elsewhere(name string, keys []key) string {
	for _, k := range keys {
		if k.name == name {
			return "it is a key of [" + k.table + "]; "
		}
	}
	return ""
}

// readTable reads a table of which keys are, among others, the keys.
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
	for key := range table { // order: as in read
		if !slices.Contains(known, key) {
			l.fail(name, n, key, "unknown key; %shere are %s", elsewhere(key, keys), strings.Join(known, ", "))
		}
	}
}

// values checks each value by itself, and fills in what follows from others.
func (l *loader) values() {
	c := l.config
	l.checkAll(0, c.keys())
	for i := range c.Servers {
		l.checkAll(i, c.Servers[i].keys())
		if s := &c.Servers[i]; s.Listen == "" {
			s.Listen = s.Address
		}
	}
	if len(c.Servers) == 0 {
		l.fail("server", -1, "", "at least one [[server]] is needed")
	}
	for _, path := range []*string{
		&c.Herd.SecretFile,
		&c.Places.KeyFile, &c.Places.Path, &c.Places.PlacesState, &c.Log.Dir, &c.Storage.Dir,
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

// minSecret is how many bytes a secret has at least: 16 random ones cannot be guessed.
const minSecret = 16

// secrets reads the secrets, from their file if there is one.
func (l *loader) secrets(secret string) {
	h := &l.config.Herd
	where := "$" + SecretVariable
	if h.SecretFile != "" {
		where = h.SecretFile
		text, err := ReadSecret(where)
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
			l.fail("herd", 0, "secret_file", "%s holds a secret of %d bytes; it takes at least %d, such "+
				"as those of: openssl rand -hex 16", where, len(s), minSecret)
			return
		}
	}
	if n := len(h.Secrets); n == 0 && (h.SecretFile != "" || secret != "") || n > 2 {
		l.fail("herd", 0, "secret_file", "%s holds %d secrets; it takes one, or two of which "+
			"the first signs", where, n)
	}
}
