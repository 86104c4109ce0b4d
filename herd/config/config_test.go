package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

const twoServers = `
[[server]]
name = "Alford"
address = "127.0.0.1:11500"
neighbors = ["Ball"]

[[server]]
name = "Ball"
address = "127.0.0.1:11501"
neighbors = ["Alford"]
`

const bridged = "[jetstream]\nurl = \"nats://127.0.0.1:4222\"\n" + twoServers + "bridge = true\n"

func parse(text string) (*Config, error) {
	return Parse("herd.toml", []byte(text), "", Resources{Descriptors: 20000})
}

func TestConfigDefaults(t *testing.T) {
	c, err := parse(twoServers)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Herd: Herd{Name: "ucla", Dialect: "paper"}, Peers: Peers{Handshake: "required", Legacy: "keep-open"},
		Clients: Clients{TLS: "off"}, Console: Console{TLS: "off"},
		TLS: TLS{Links: "off", CA: "tls/ca.pem", Cert: "tls/{name}.pem", Key: "tls/{name}-key.pem"},
		Places: Places{
			Provider: "embedded", Rank: "class", Timeout: 5 * time.Second, Rate: 50, DailyBudget: 1000, BudgetShare: 50,
			PlacesState: "places-state",
		},
		Log: Log{
			Dir: "logs", Lines: true, Level: "info", Format: "json", MaxSize: 104857600, MaxFiles: 5,
		},
		JetStream: JetStream{Bucket: "herd", Partitions: 1, Replicas: 1, Mode: "publish", AskAfter: time.Minute},
		Limits: Limits{
			MaxLine: 16384, MaxClientID: 1024, MaxConnections: 10000, MaxClients: 1000000,
			MaxFuture: time.Hour, PartialLineTimeout: 30 * time.Second, OutputHard: 4194304,
			OutputSoft: 1048576, MaxBuffered: 268435456, PlacesInFlight: 64, Drain: 5 * time.Second,
		},
		Servers: []Server{
			{Name: "Alford", Address: "127.0.0.1:11500", Listen: "127.0.0.1:11500", Neighbors: []string{"Ball"}},
			{Name: "Ball", Address: "127.0.0.1:11501", Listen: "127.0.0.1:11501", Neighbors: []string{"Alford"}},
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestMaxConnectionsFollowsTheDescriptors(t *testing.T) {
	for descriptors, want := range map[int]int{1024: 324, 100: 16, 1 << 20: 10000} {
		c, err := Parse("herd.toml", []byte(twoServers), "", Resources{Descriptors: descriptors})
		if err != nil || c.Limits.MaxConnections != want {
			t.Errorf("%d descriptors: %v connections, want %d (%v)", descriptors, c.Limits.MaxConnections, want, err)
		}
	}
}

// The status report names the limits as herd.toml does.
func TestLimitsHaveTheirNamesInJSON(t *testing.T) {
	c := defaults(Resources{})
	limits, i := reflect.ValueOf(&c.Limits).Elem(), 0
	for _, k := range c.keys() {
		if k.table != "limits" {
			continue
		}
		if tag := limits.Type().Field(i).Tag.Get("json"); tag != k.name || limits.Field(i).Addr().Interface() != k.value {
			t.Errorf("field %d is %s, want %s", i, tag, k.name)
		}
		i++
	}
	if i != limits.NumField() {
		t.Errorf("%d keys for %d fields", i, limits.NumField())
	}
}

// configMistakes has an example of each mistake with its exact message, line and key.
func configMistakes() []struct{ name, text, want string } {
	return []struct{ name, text, want string }{
		{"no TOML", "[herd\n" + twoServers, `herd.toml:2: expected '.' or ']' to end table name, but got '\n' instead`},
		{"wrong type", "[limits]\nmax_line = \"x\"\n" + twoServers, `herd.toml:2: limits.max_line: expected an integer, got a string`},
		{"wrong type in one of several servers", strings.Replace(twoServers, `"127.0.0.1:11500"`, "11500", 1), "herd.toml:4: server.address: expected a string, got an integer"},
		{"float", "[limits]\nmax_line = 1.5\n" + twoServers, "herd.toml:2: limits.max_line: expected an integer, got a float"},
		{"too large for TOML", "[limits]\nmax_line = 99999999999999999999\n" + twoServers, "herd.toml:2: limits.max_line: 99999999999999999999 is out of range for int64"},
		{"duration without quotes", "[limits]\ndrain = 5\n" + twoServers, `herd.toml:2: limits.drain: expected a duration in quotes, such as "5s", got an integer`},
		{"boolean in quotes", "[log]\nlines = \"yes\"\n" + twoServers, "herd.toml:2: log.lines: expected a boolean, got a string"},
		{"one neighbor", strings.Replace(twoServers, `["Ball"]`, `"Ball"`, 1), "herd.toml:5: server.neighbors: expected an array of strings, got a string"},
		{"neighbor that is no string", strings.Replace(twoServers, `["Ball"]`, `["Ball", 1]`, 1), "herd.toml:5: server.neighbors: expected an array of strings, got an array"},
		{"no table", "herd = 1979-05-27\n" + twoServers, "herd.toml:1: herd: expected a table [herd], got a date or time"},
		{"tables instead of one", "[[limits]]\n" + twoServers, "herd.toml:1: limits: expected a table [limits], got an array of tables"},
		{"one server in single brackets", "[server]\nname = \"Alford\"\n", "herd.toml:1: server: expected an array of tables [[server]], got a table"},
		{"table twice", "[clients]\nopen = true\n" + twoServers + "[clients]\ntls = \"off\"\n", "herd.toml:13: [clients] is there twice: write its keys below the first one"},
		{"key twice", strings.Replace(twoServers, "[[server]]", "[[server]]\nname = \"A\"", 1), "herd.toml:4: server.name: Key 'server.name' has already been defined."},
		{"key outside of tables", "name = \"x\"\n" + twoServers, "herd.toml:1: name: unknown table; known tables: [herd], [peers], [clients], [console], [tls], [places], [log], [storage], [jetstream], [limits], [[server]]"},
		{"table in a table", "[herd.x]\ny = 1\n" + twoServers, "herd.toml:1: herd.x: unknown key; known keys: name, dialect, unfinished_line, secret_file"},
		{"dotted key", "# limits\nlimits.drain = \"2h\"\n" + twoServers, "herd.toml:2: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"inline table", "\nlimits = {drain = \"2h\"}\n" + twoServers, "herd.toml:2: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"behind what looks like a key", "[log]\ndir = \"\"\"\n[limits]\ndrain = 1\"\"\"\n[limits] # [log]\ndrain = \"2h\"\n" + twoServers, "herd.toml:6: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"behind values of several lines", "[places]\nprovider = \"google\"\nfields = [ # ]\n  \"rating\", ']'\n]\n[log]\ndir = '''\n[limits]\n\n'''\n[limits]\ndrain = \"2h\"\n" + twoServers, "herd.toml:12: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"ends of lines with CR", "\r\n[limits]\r\n\"drain\" = \"2h\"\r\n" + twoServers, "herd.toml:3: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"the first of several", "[limits]\nmax_line = 1\ndrain = \"2h\"\n" + twoServers, "herd.toml:2: limits.max_line: 1 is not between 1280 and 1048576"},
		{"a key for later", "[places]\ncache = 50\n" + twoServers, "herd.toml:2: places.cache: unknown key; known keys: provider, base_url, key_file, path, columns, lenient, fields, rank, timeout, rate, daily_budget, budget_share, places_state, fallback"},
		{"no path", "[places]\nprovider = \"file\"\n" + twoServers, "herd.toml:1: places.path: provider file requires a path that ends in .csv, .tsv, .txt, .json, .ndjson, .jsonl"},
		{"a path for nothing", "[places]\npath = \"a.csv\"\n" + twoServers, "herd.toml:2: places.path: requires provider = \"file\""},
		{"columns of no file", "[places]\ncolumns = { name = \"ort\" }\n" + twoServers, "herd.toml:2: places.columns: requires provider = \"file\""},
		{"lenient to no file", "[places]\nlenient = true\n" + twoServers, "herd.toml:2: places.lenient: requires provider = \"file\""},
		{"unknown columns", "[places]\ncolumns = { nme = \"ort\", mme = \"ort\" }\n" + twoServers, `herd.toml:2: places.columns: unknown column "mme"; columns are name, lat, lng, types, vicinity`},
		{"empty column", "[places]\n[places.columns]\nlat = \"\"\n" + twoServers, "herd.toml:2: places.columns: lat is empty; expected the file's name for column lat"},
		{"column of a number", "[places]\ncolumns = { name = \"ort\", lat = 2 }\n" + twoServers, `herd.toml:2: places.columns: expected a table of strings, such as { name = "stop_name" }, got a table`},
		{"columns as a string", "[places]\ncolumns = \"name=ort\"\n" + twoServers, `herd.toml:2: places.columns: expected a table of strings, such as { name = "stop_name" }, got a string`},
		{"fields", "[places]\nfields = [\"rating\"]\n" + twoServers, "herd.toml:2: places.fields: requires provider = \"google\""},
		{"no rate", "[places]\nrate = 0\n" + twoServers, "herd.toml:2: places.rate: 0 is not between 1 and 10000"},
		{"no share", "[places]\nbudget_share = 0\n" + twoServers, "herd.toml:2: places.budget_share: 0 is not between 1 and 100"},
		{"no budget", "[places]\ndaily_budget = 0\n" + twoServers, "herd.toml:2: places.daily_budget: 0 is not between 1 and 10000000"},
		{"no state", "[places]\nplaces_state = \"\"\n" + twoServers, "herd.toml:2: places.places_state: must not be empty"},
		{"fallback", "[places]\nprovider = \"google\"\nfallback = \"bing\"\n" + twoServers, `herd.toml:3: places.fallback: unknown value "bing", expected one of: embedded, ""`},
		{"fallback of nothing", "[places]\nfallback = \"embedded\"\n" + twoServers, `herd.toml:2: places.fallback: requires provider = "google" or "google-legacy"`},
		{"base_url", "[places]\nbase_url = \"localhost:80\"\n" + twoServers, `herd.toml:2: places.base_url: expected a scheme and a host, as in https://maps.googleapis.com, got "localhost:80"`},
		{"idle_timeout", "[limits]\nidle_timeout = \"9000h\"\n" + twoServers, "herd.toml:2: limits.idle_timeout: 9000h0m0s is not between 0s and 8760h0m0s"},
		{"unknown key", "[herd]\nnme = \"x\"\n" + twoServers, "herd.toml:2: herd.nme: unknown key; known keys: name, dialect, unfinished_line, secret_file"},
		{"key of another table", "[log]\nmax_line = 1\n" + twoServers, "herd.toml:2: log.max_line: unknown key; it belongs to [limits]; known keys: dir, lines, level, format, max_size, max_files, compress, group_readable"},
		{"unknown key of a server", strings.Replace(twoServers, "neighbors = [\"Alford\"]", "neighbours = []", 1), "herd.toml:10: server.neighbours: unknown key; known keys: name, address, listen, console, neighbors, bridge"},
		{"unknown table", "[metrics]\ndir = \"x\"\n" + twoServers, "herd.toml:1: metrics: unknown table; known tables: [herd], [peers], [clients], [console], [tls], [places], [log], [storage], [jetstream], [limits], [[server]]"},
		{"no server", "[herd]\n", "herd.toml: server: at least one [[server]] is required"},
		{"herd's name", "[herd]\nname = \"a b\"\n" + twoServers, `herd.toml:2: herd.name: invalid name "a b": expected a letter and up to 31 letters, digits, _ or -`},
		{"dialect", "[herd]\ndialect = \"c\"\n" + twoServers, `herd.toml:2: herd.dialect: unknown value "c", expected one of: paper, cs131`},
		{"legacy", "[peers]\nhandshake = \"optional\"\nlegacy = \"never\"\n" + twoServers, `herd.toml:3: peers.legacy: unknown value "never", expected one of: keep-open, close-after-write`},
		{"legacy of none", "[peers]\nlegacy = \"close-after-write\"\n" + twoServers, `herd.toml:2: peers.legacy: requires handshake = "optional"`},
		{"unfinished_line of the paper", "[herd]\nunfinished_line = \"300ms\"\n" + twoServers, `herd.toml:2: herd.unfinished_line: requires dialect = "cs131"`},
		{"unfinished_line too short", "[herd]\ndialect = \"cs131\"\nunfinished_line = \"49ms\"\n" + twoServers, "herd.toml:3: herd.unfinished_line: 49ms is not between 50ms and 10s"},
		{"unfinished_line too long", "[herd]\ndialect = \"cs131\"\nunfinished_line = \"11s\"\n" + twoServers, "herd.toml:3: herd.unfinished_line: 11s is not between 50ms and 10s"},
		{"handshake", "[peers]\nhandshake = \"never\"\n" + twoServers, `herd.toml:2: peers.handshake: unknown value "never", expected one of: required, optional`},
		{"provider", "[places]\nprovider = \"bing\"\n" + twoServers, `herd.toml:2: places.provider: unknown value "bing", expected one of: embedded, file, google, google-legacy`},
		{"rank", "[places]\nrank = \"size\"\n" + twoServers, `herd.toml:2: places.rank: unknown value "size", expected one of: class, distance`},
		{"timeout", "[places]\ntimeout = \"0s\"\n" + twoServers, "herd.toml:2: places.timeout: 0s is not between 1ms and 20s"},
		{"duration", "[limits]\ndrain = \"soon\"\n" + twoServers, `herd.toml:2: limits.drain: invalid duration "soon", expected a value such as "5s", "250ms" or "1h"`},
		{"negative duration", "[limits]\ndrain = \"-5s\"\n" + twoServers, `herd.toml:2: limits.drain: invalid duration "-5s", expected a value such as "5s", "250ms" or "1h"`},
		{"level", "[log]\nlevel = \"loud\"\n" + twoServers, `herd.toml:2: log.level: unknown value "loud", expected one of: debug, info, warn, error`},
		{"format", "[log]\nformat = \"xml\"\n" + twoServers, `herd.toml:2: log.format: unknown value "xml", expected one of: json, text`},
		{"log directory", "[log]\ndir = \"\"\n" + twoServers, "herd.toml:2: log.dir: must not be empty"},
		{"size of a log file", "[log]\nmax_size = 100\n" + twoServers, "herd.toml:2: log.max_size: 100 is not between 1048576 and 1073741824, and not 0 (no rotation)"},
		{"number of log files", "[log]\nmax_files = 0\n" + twoServers, "herd.toml:2: log.max_files: 0 is not between 1 and 1000"},
		{"max_line", "[limits]\nmax_line = 100\n" + twoServers, "herd.toml:2: limits.max_line: 100 is not between 1280 and 1048576"},
		{"max_client_id", "[limits]\nmax_client_id = 2000\n" + twoServers, "herd.toml:2: limits.max_client_id: 2000 is not between 1 and 1024"},
		{"max_connections", "[limits]\nmax_connections = 0\n" + twoServers, "herd.toml:2: limits.max_connections: 0 is not between 1 and 1000000"},
		{"max_clients", "[limits]\nmax_clients = 0\n" + twoServers, "herd.toml:2: limits.max_clients: 0 is not between 1 and 67000000"},
		{"base_url in the clear", "[places]\nbase_url = \"http://example.com\"\n" + twoServers, `herd.toml:2: places.base_url: "http://example.com" must use https: the API key would be sent unencrypted`},
		{"output_hard", "[limits]\noutput_hard = 65536\noutput_soft = 65536\n" + twoServers, "herd.toml:2: limits.output_hard: 65536 is not between 1048576 and 1073741824"},
		{"output", "[limits]\noutput_soft = 9000000\n" + twoServers, "herd.toml:2: limits.output_soft: 9000000 is not between 16384 and 4194304"},
		{"places_in_flight", "[limits]\nplaces_in_flight = 0\n" + twoServers, "herd.toml:2: limits.places_in_flight: 0 is not between 1 and 1024"},
		{"drain", "[limits]\ndrain = \"2h\"\n" + twoServers, "herd.toml:2: limits.drain: 2h0m0s is not between 10ms and 1h0m0s"},
		{"server's name", strings.Replace(twoServers, `"Ball"`+"\naddress", `"9"`+"\naddress", 1), `herd.toml:8: server.name: invalid name "9": expected a letter and up to 31 letters, digits, _ or -`},
		{"localhost with links over TLS", "[tls]\nlinks = \"optional\"\n" + strings.ReplaceAll(twoServers, `"Ball"`, `"LocalHost"`),
			"herd.toml:10: server.name: LocalHost cannot be a server's name with tls.links: every server's certificate may have it"},
		{"same name", strings.Replace(twoServers, `name = "Ball"`, `name = "Alford"`, 1), "herd.toml:8: server.name: duplicate name Alford, already used by server 1"},
		{"address", strings.Replace(twoServers, "127.0.0.1:11501", "127.0.0.1", 1), `herd.toml:9: server.address: invalid address "127.0.0.1": missing port`},
		{"no address", strings.Replace(twoServers, "address = \"127.0.0.1:11501\"\n", "", 1), `herd.toml:7: server.address: invalid address "": empty address`},
		{"port 0", strings.Replace(twoServers, ":11501", ":0", 1), `herd.toml:9: server.address: invalid address "127.0.0.1:0": port "0" is not a number from 1 to 65535`},
		{"address with a zone", strings.Replace(twoServers, "127.0.0.1:11501", "[fe80::1%lo]:11501", 1), `herd.toml:9: server.address: "[fe80::1%lo]:11501" has the zone "lo", which is valid on one machine only: use an address without a zone`},
		{"address that is everywhere", strings.Replace(twoServers, "127.0.0.1:11501", "0.0.0.0:11501", 1), "herd.toml:9: server.address: 0.0.0.0:11501 is not an address that neighbors can dial; set it as listen instead"},
		{"host name", strings.Replace(twoServers, "127.0.0.1:11501", "-ball:11501", 1), `herd.toml:9: server.address: invalid address "-ball:11501": host name label "-ball" begins or ends with a hyphen`},
		{"console without a port", twoServers + "console = \"ball_1\"\n", `herd.toml:11: server.console: invalid address "ball_1": missing port`},
		{"same port with a dot and in capitals", strings.Replace(strings.Replace(twoServers, "127.0.0.1:11501", "LOCALHOST.:11500", 1), "127.0.0.1:11500", "localhost:11500", 1), "herd.toml:9: server.address: LOCALHOST.:11500 is already used as Alford's address"},
		{"same port by another name", strings.Replace(twoServers, "127.0.0.1:11501", "localhost:11500", 1), "herd.toml:9: server.address: localhost:11500 is already used as Alford's address"},
		{"console within listen", twoServers + "listen = \"0.0.0.0:11501\"\nconsole = \"127.0.0.1:11501\"\n", "herd.toml:12: server.console: 127.0.0.1:11501 is already used as Ball's address"},
		{"same port", strings.Replace(twoServers, "11501", "11500", 1), "herd.toml:9: server.address: 127.0.0.1:11500 is already used as Alford's address"},
		{"console on the same port", twoServers + "console = \"127.0.0.1:11500\"\n", "herd.toml:11: server.console: 127.0.0.1:11500 is already used as Alford's address"},
		{"unknown neighbor", strings.Replace(twoServers, `["Ball"]`, `["Bell"]`, 1), `herd.toml:5: server.neighbors: unknown server "Bell"; known servers: Alford, Ball`},
		{"own neighbor", strings.Replace(twoServers, `["Ball"]`, `["Alford"]`, 1), "herd.toml:5: server.neighbors: Alford lists itself as a neighbor"},
		{"neighbor twice", strings.Replace(twoServers, `["Ball"]`, `["Ball", "Ball"]`, 1), "herd.toml:5: server.neighbors: duplicate neighbor Ball"},
		{"one-sided neighbor", strings.Replace(twoServers, `["Alford"]`, `[]`, 1), "herd.toml:5: server.neighbors: Ball does not list Alford as a neighbor"},
		{"no secret", strings.ReplaceAll(twoServers, "127.0.0.1", "10.0.0.1"), "herd.toml:4: server.address: 10.0.0.1:11500 is not a loopback address and requires a shared secret: set herd.secret_file or $HERD_SECRET; (umask 077; openssl rand -hex 16 > secret) makes one"},
		{"no secret, listening everywhere", twoServers + "listen = \"0.0.0.0:11501\"\n", "herd.toml:11: server.listen: 0.0.0.0:11501 is not a loopback address and requires a shared secret: set herd.secret_file or $HERD_SECRET; (umask 077; openssl rand -hex 16 > secret) makes one"},
		{"tokens and legacy neighbors", "[clients]\ntokens = \"x\"\n[peers]\nhandshake = \"optional\"\n" + twoServers, "herd.toml:2: clients.tokens: requires peers.handshake = \"required\", because a neighbor without a handshake shows no token; or clients.open = true"},
		{"an unknown mode", "[tls]\nlinks = \"on\"\n" + twoServers, "herd.toml:2: tls.links: unknown value \"on\", expected one of: off, optional, required"},
		{"TLS and legacy neighbors", "[tls]\nlinks = \"required\"\n[peers]\nhandshake = \"optional\"\n" + twoServers, "herd.toml:2: tls.links: \"required\" requires peers.handshake = \"required\", because a neighbor without a handshake has no TLS; or clients.open = true"},
		{"no certificate", "[tls]\nlinks = \"optional\"\ncert = \"\"\n" + twoServers, "herd.toml:3: tls.cert: must not be empty with TLS"},
		{"a proxy that is no network", "[clients]\nproxy_protocol = [\"10.0.0.1\"]\n" + twoServers, "herd.toml:2: clients.proxy_protocol: \"10.0.0.1\" is not a network, as in 10.0.0.0/8 or 10.0.0.1/32"},
		{"a host with a port", "[console]\nhosts = [\"herd.example.org:80\"]\n" + twoServers, "herd.toml:2: console.hosts: \"herd.example.org:80\" is not a host name without a port, as in herd.example.org: an IPv6 address must be in brackets, as in [::1]:11500"},
		{"a negative limit", "[limits]\nlines_per_address = -1\n" + twoServers, "herd.toml:2: limits.lines_per_address: -1 is not between 0 and 10000000"},
		{"no secret, a host's name", strings.ReplaceAll(twoServers, "127.0.0.1", "ball.ucla.edu"), "herd.toml:4: server.address: ball.ucla.edu:11500 is not a loopback address and requires a shared secret: set herd.secret_file or $HERD_SECRET; (umask 077; openssl rand -hex 16 > secret) makes one"},
		{"a user in the URL", "[jetstream]\nurl = \"nats://herd:x@127.0.0.1:4222\"\n" + twoServers, "herd.toml:2: jetstream.url: must not contain a user or a password: write them to a file and set creds"},
		{"no URL", "[jetstream]\nurl = \"nats://a:4222, b:4222\"\n" + twoServers, `herd.toml:2: jetstream.url: expected addresses such as nats://127.0.0.1:4222, separated by commas, got " b:4222"`},
		{"no bridge", "[jetstream]\nurl = \"nats://127.0.0.1:4222\"\n" + twoServers, "herd.toml:2: jetstream.url: requires bridge = true at one [[server]] or two"},
		{"a bridge to nothing", twoServers + "bridge = true\n", "herd.toml:11: server.bridge: requires jetstream.url"},
		{"bucket", strings.Replace(bridged, "[jetstream]", "[jetstream]\nbucket = \"a.b\"", 1), `herd.toml:2: jetstream.bucket: invalid name "a.b": expected up to 64 letters, digits, _ or -`},
		{"partitions", strings.Replace(bridged, "[jetstream]", "[jetstream]\npartitions = 65", 1), "herd.toml:2: jetstream.partitions: 65 is not between 1 and 64"},
		{"replicas", strings.Replace(bridged, "[jetstream]", "[jetstream]\nreplicas = 0", 1), "herd.toml:2: jetstream.replicas: 0 is not between 1 and 5"},
		{"mode", strings.Replace(bridged, "[jetstream]", "[jetstream]\nmode = \"mirror\"", 1), `herd.toml:2: jetstream.mode: unknown value "mirror", expected one of: publish, share, ask`},
		{"ask_after", strings.Replace(bridged, "[jetstream]", "[jetstream]\nask_after = \"9000h\"", 1), "herd.toml:2: jetstream.ask_after: 9000h0m0s is not between 0s and 8760h0m0s"},
		{"a certificate without a key", strings.Replace(bridged, "[jetstream]", "[jetstream]\ntls_cert = \"x\"", 1), "herd.toml:2: jetstream.tls_cert: tls_cert and tls_key require each other"},
		{"secret file missing", "[herd]\nsecret_file = \"nowhere\"\n" + twoServers, "herd.toml:2: herd.secret_file: open nowhere: no such file or directory"},
	}
}

func TestMaxConnectionsBeyondTheDescriptors(t *testing.T) {
	c, err := parse("[limits]\nmax_connections = 5000\n" + twoServers)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckDescriptors(5700); err != nil {
		t.Errorf("just enough descriptors: %v", err)
	}
	want := "limits.max_connections: 5000 is more than 324, the maximum with an open file limit of 1024; raise ulimit -n or lower it"
	if err := c.CheckDescriptors(1024); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A server does not start with too low an open file limit.
func TestConfigOfFewDescriptors(t *testing.T) {
	for descriptors, want := range map[int]string{
		16:  "open file limit is 16, a server needs at least 256: raise ulimit -n",
		255: "open file limit is 255, a server needs at least 256: raise ulimit -n",
		256: "<nil>",
	} {
		c, err := Parse("herd.toml", []byte(twoServers), "", Resources{Descriptors: descriptors})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckDescriptors(descriptors); fmt.Sprint(err) != want {
			t.Errorf("%d descriptors: got %v, want %s", descriptors, err, want)
		}
	}
}

// Opening a pipe would block, so a secret must be a regular file.
func TestASecretOnAPipe(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "herd.toml"), filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("[herd]\nsecret_file = \"fifo\"\n"+twoServers), 0o600); err != nil {
		t.Fatal(err)
	}
	want := file + ":2: herd.secret_file: " + fifo + " is not a regular file"
	if _, err := Load(file, Resources{Descriptors: 20000}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	want = dir + " is not a regular file"
	if _, err := ReadSecret(dir); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A file without end is refused.
func TestConfigEndlessFile(t *testing.T) {
	want := "/dev/zero: /dev/zero is larger than the maximum of 1 MiB"
	if _, err := Load("/dev/zero", Resources{Descriptors: 20000}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	file := filepath.Join(t.TempDir(), "herd.toml")
	if err := os.WriteFile(file, []byte("[herd]\nsecret_file = \"/dev/zero\"\n"+twoServers), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, Resources{Descriptors: 20000}); err == nil {
		t.Error("an endless secret file was accepted")
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, test := range configMistakes() {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(test.text)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// Secrets of the minimum length.
const first, second = "the first secret", "the other secret"

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	text := []byte("[herd]\nsecret_file = \"secret\"\n" + strings.ReplaceAll(twoServers, "127.0.0.1", "10.0.0.1"))
	load := func(secret string, mode os.FileMode) (*Config, error) {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return Parse(filepath.Join(dir, "herd.toml"), text, "", Resources{Descriptors: 20000})
	}
	c, err := load(first+"\n"+second+"\n", 0o600)
	if err != nil || !reflect.DeepEqual(c.Herd.Secrets, []string{first, second}) {
		t.Errorf("secrets %q, %v", c.Herd.Secrets, err)
	}
	if _, err := load(first+"\n", 0o644); err == nil || !strings.HasSuffix(err.Error(), "is readable by others: change its mode to 600, or to 640 if root owns it") {
		t.Errorf("a file that others can read: %v", err)
	}
	for _, wrong := range []string{"", first + "\n" + second + "\n" + first + "\n"} {
		if _, err := load(wrong, 0o600); err == nil || !strings.Contains(err.Error(), "expected one or two secrets, got") {
			t.Errorf("secrets %q: %v", wrong, err)
		}
	}
	const short = "is shorter than the minimum of 16; generate one with: openssl rand -hex 16"
	for _, wrong := range []string{"a", second[1:], first + "\n" + second[1:]} {
		if _, err := load(wrong, 0o600); err == nil || !strings.HasSuffix(err.Error(), short) {
			t.Errorf("secrets %q: %v", wrong, err)
		}
		if _, err := Parse("herd.toml", []byte(twoServers), wrong, Resources{Descriptors: 20000}); err == nil || !strings.HasSuffix(err.Error(), short) {
			t.Errorf("secrets %q of the environment: %v", wrong, err)
		}
	}
	// An empty variable counts as not set; one of spaces is a mistake.
	const blank = "$HERD_SECRET: expected one or two secrets, got 0"
	for _, wrong := range []string{strings.Repeat(" ", 15), strings.Repeat(" ", 32), "\n", "\r\n\t"} {
		if _, err := Parse("herd.toml", []byte(twoServers), wrong, Resources{Descriptors: 20000}); err == nil || !strings.HasSuffix(err.Error(), blank) {
			t.Errorf("secrets %q of the environment: %v", wrong, err)
		}
	}
	c, err = Parse("herd.toml", []byte(twoServers), first, Resources{Descriptors: 20000})
	if err != nil || len(c.Herd.Secrets) != 1 {
		t.Errorf("secret of the environment: %q, %v", c.Herd.Secrets, err)
	}
}

// Editors on Windows write byte order marks: UTF-8 is accepted, UTF-16 is an error that says so.
func TestByteOrderMarks(t *testing.T) {
	const utf16 = "\xff\xfe[\x00h\x00"
	if _, err := parse("\ufeff" + twoServers); err != nil {
		t.Error(err)
	}
	want := "herd.toml:2: herd.nme: unknown key; known keys: name, dialect, unfinished_line, secret_file"
	if _, err := parse("\ufeff[herd]\nnme = \"x\"\n" + twoServers); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	want = "herd.toml: text is UTF-16: save it as UTF-8"
	if _, err := parse(utf16); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	file := filepath.Join(t.TempDir(), "secret")
	text := []byte("[herd]\nsecret_file = \"" + file + "\"\n" + twoServers)
	for secret, want := range map[string]string{
		"\ufeff" + first + "\r\n" + second + "\r\n": "",
		utf16: "herd.toml:2: herd.secret_file: " + file + ": text is UTF-16: save it as UTF-8",
	} {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Parse("herd.toml", text, "", Resources{Descriptors: 20000})
		switch {
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("got  %v\nwant %s", err, want)
		case want == "" && (err != nil || !reflect.DeepEqual(c.Herd.Secrets, []string{first, second})):
			t.Errorf("secrets %v, %v", c, err)
		}
	}
}

// Two machines may use the same wildcard address and the same loopback console.
func TestTwoMachinesMayUseTheSamePorts(t *testing.T) {
	text := `
[[server]]
name = "Alford"
address = "10.0.0.1:11500"
listen = "0.0.0.0:11500"
console = "127.0.0.1:11600"
[[server]]
name = "Ball"
address = "ball.ucla.edu:11500"
listen = "0.0.0.0:11500"
console = "127.0.0.1:11600"
`
	if _, err := Parse("herd.toml", []byte(text), first, Resources{Descriptors: 20000}); err != nil {
		t.Error(err)
	}
	text = strings.Replace(text, "ball.ucla.edu:11500", "10.0.0.1:11501", 1) // one machine
	want := "herd.toml:10: server.listen: 0.0.0.0:11500 is already used as Alford's address"
	if _, err := Parse("herd.toml", []byte(text), first, Resources{Descriptors: 20000}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What herd config prints parses to the same configuration.
func TestWriteTOMLRoundTrip(t *testing.T) {
	text, err := os.ReadFile("../../herd.toml")
	if err != nil {
		t.Fatal(err)
	}
	first, err := Parse("herd.toml", text, "", Resources{Descriptors: 20000})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := first.WriteTOML(&out); err != nil {
		t.Fatal(err)
	}
	second, err := Parse("herd.toml", out.Bytes(), "", Resources{Descriptors: 20000})
	if err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("before\n%+v\nafter\n%+v", first, second)
	}
}

// A table of strings is written as an inline table; both forms are read.
func TestPlacesColumns(t *testing.T) {
	const names = "name = \"stop_name\"\nlat = 'la\"t'\nlng = \"län\\tge\"\n"
	want := map[string]string{"name": "stop_name", "lat": `la"t`, "lng": "län\tge"}
	const file = "[places]\nprovider = \"file\"\npath = \"stops.txt\"\nlenient = true\n"
	inline := "columns = { " + strings.ReplaceAll(strings.TrimSpace(names), "\n", ", ") + " }\n"
	for _, text := range []string{
		file + inline + twoServers, file + "[places.columns]\n" + names + twoServers,
	} {
		first, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first.Places.Columns, want) || !first.Places.Lenient {
			t.Errorf("%+v", first.Places)
		}
		var out bytes.Buffer
		if err := first.WriteTOML(&out); err != nil {
			t.Fatal(err)
		}
		const line = `columns = { lat = "la\"t", lng = "län\tge", name = "stop_name" }`
		if !strings.Contains(out.String(), "\n"+line+"\n") {
			t.Errorf("%s is not in\n%s", line, &out)
		}
		second, err := parse(out.String())
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%v: before\n%+v\nafter\n%+v", err, first, second)
		}
	}
}

// Large files whose lines take long to find: the mistake is reported, with the line of its key if it is one of
// the first, and without a line rather than after minutes.
func TestLinesOfLargeFiles(t *testing.T) {
	const size = 100 << 10
	fill := func(line string) string { return strings.Repeat(line, size/len(line)) }
	inline := "{ name = \"A\", address = \"127.0.0.1:1\", neighbors = [\"B\", \"C\"] },\n"
	for _, test := range []struct{ name, text, want string }{
		{"blank lines", fill("\n") + "nme = 1\n", "herd.toml:102401: nme: "},
		{"comments", fill("# a comment\n") + "nme = 1\n", "nme: "},
		{"inline tables", "nme = 1\nserver = [\n" + fill(inline) + "]\n", "herd.toml:1: nme: "},
		{"a key that holds them", "[places]\n\nfieldz = [\n" + fill("\"name\", # [x]\n") + "]\n", "herd.toml:3: places.fieldz: "},
		{"a string of brackets", "nme = \"\"\"\n" + fill("]\n") + "\"\"\"\n", "herd.toml:1: nme: "},
		{"a string of quotes", "nme = '''\n" + fill("\"\"\"\n") + "'''\n", "herd.toml:1: nme: "},
		{"arrays", "nme = [\n" + fill("[],\n") + "]\n", "herd.toml:1: nme: "},
	} {
		_, err := Parse("herd.toml", []byte(test.text), "", Resources{Descriptors: 20000})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.300v, want %q", test.name, err, test.want)
		}
	}
}

// For any input, Parse returns a valid configuration or an *Error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(twoServers))
	for _, mistake := range configMistakes() {
		f.Add([]byte(mistake.text))
	}
	f.Add([]byte("[herd]\nname = \"x\"\n[[server]]\n"))
	f.Add([]byte("[limits]\nmax_line = 1\n"))
	f.Add([]byte("server = 1"))
	f.Add([]byte("limits.max_line = 1\nherd = {name = 'a\\'}\n[log]\ndir = \"\"\"\\\\\n\"\"\"\"\n"))
	f.Add([]byte("[[server]]\nname.x = 1\n\"a=b\" = [[]]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("herd.toml", text, "", Resources{Descriptors: 20000})
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Line < 0 || e.Line > bytes.Count(text, []byte("\n"))+1 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for i := range c.Servers { // the line of each address is found
			if lineOf(locate(string(text)), serverName(i)+".address") == 0 {
				t.Fatalf("server %d is in no line", i)
			}
		}
		var out bytes.Buffer
		if err := c.WriteTOML(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("herd.toml", out.Bytes(), "", Resources{Descriptors: 20000}); err != nil {
			t.Fatalf("%v in what was written:\n%s", err, &out)
		}
	})
}
