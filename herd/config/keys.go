package config

import (
	"fmt"
	"time"

	"serverherd/protocol"
)

// key is one key of herd.toml: its name, a pointer to its field of Config, and the check of its value, which
// runs when all keys have been read.
type key struct {
	table, name string
	value       any           // *string, *int, *bool, *time.Duration, *[]string or *map[string]string
	check       func() string // returns an error text or ""; nil if every value is valid
}

// keys returns the keys of all tables but [[server]], in the order in which they are printed.
func (c *Config) keys() []key {
	h, p, g, j, m := &c.Herd, &c.Places, &c.Log, &c.JetStream, &c.Limits
	const year = 365 * 24 * time.Hour
	return []key{
		{"herd", "name", &h.Name, checkName(&h.Name)},
		{"herd", "dialect", &h.Dialect, oneOf(&h.Dialect, "paper", "cs131")},
		{"herd", "unfinished_line", &h.UnfinishedLine, h.checkUnfinished},
		{"herd", "secret_file", &h.SecretFile, nil},

		{"peers", "handshake", &c.Peers.Handshake, oneOf(&c.Peers.Handshake, "required", "optional")},
		{"peers", "legacy", &c.Peers.Legacy, c.Peers.checkLegacy},

		{"clients", "tokens", &c.Clients.Tokens, c.checkTokens},
		{"clients", "open", &c.Clients.Open, nil},
		{"clients", "tls", &c.Clients.TLS, c.checkTLS(&c.Clients.TLS)},
		{"clients", "proxy_protocol", &c.Clients.ProxyProtocol, c.Clients.checkProxies},

		{"console", "open", &c.Console.Open, nil},
		{"console", "tls", &c.Console.TLS, oneOf(&c.Console.TLS, TLSModes...)},
		{"console", "hosts", &c.Console.Hosts, c.Console.checkHosts},

		{"tls", "links", &c.TLS.Links, c.checkTLS(&c.TLS.Links)},
		{"tls", "ca", &c.TLS.CA, c.checkTLSFile(&c.TLS.CA)},
		{"tls", "cert", &c.TLS.Cert, c.checkTLSFile(&c.TLS.Cert)},
		{"tls", "key", &c.TLS.Key, c.checkTLSFile(&c.TLS.Key)},

		{"places", "provider", &p.Provider, oneOf(&p.Provider, Providers...)},
		{"places", "base_url", &p.BaseURL, p.checkBase},
		{"places", "key_file", &p.KeyFile, nil},
		{"places", "path", &p.Path, p.checkPath},
		{"places", "columns", &p.Columns, p.checkColumns},
		{"places", "lenient", &p.Lenient, p.checkLenient},
		{"places", "fields", &p.Fields, p.checkFields},
		{"places", "rank", &p.Rank, oneOf(&p.Rank, "class", "distance")},
		{"places", "timeout", &p.Timeout, durationRange(&p.Timeout, time.Millisecond, maxPlacesTimeout)},
		{"places", "rate", &p.Rate, intRange(&p.Rate, 1, 10_000)},
		{"places", "daily_budget", &p.DailyBudget, intRange(&p.DailyBudget, 1, 10_000_000)},
		{"places", "budget_share", &p.BudgetShare, intRange(&p.BudgetShare, 1, 100)},
		{"places", "places_state", &p.PlacesState, p.checkState},
		{"places", "fallback", &p.Fallback, p.checkFallback},

		{"log", "dir", &g.Dir, g.checkDir},
		{"log", "lines", &g.Lines, nil},
		{"log", "level", &g.Level, oneOf(&g.Level, LogLevels...)},
		{"log", "format", &g.Format, oneOf(&g.Format, "json", "text")},
		{"log", "max_size", &g.MaxSize, g.checkMaxSize},
		{"log", "max_files", &g.MaxFiles, intRange(&g.MaxFiles, 1, 1000)},
		{"log", "compress", &g.Compress, nil},
		{"log", "group_readable", &g.GroupReadable, nil},

		{"storage", "dir", &c.Storage.Dir, nil},

		{"jetstream", "url", &j.URL, j.checkURL},
		{"jetstream", "bucket", &j.Bucket, j.checkBucket},
		{"jetstream", "partitions", &j.Partitions, intRange(&j.Partitions, 1, 64)},
		{"jetstream", "replicas", &j.Replicas, intRange(&j.Replicas, 1, 5)},
		{"jetstream", "mode", &j.Mode, oneOf(&j.Mode, BucketModes...)},
		{"jetstream", "ask_after", &j.AskAfter, durationRange(&j.AskAfter, 0, year)},
		{"jetstream", "creds", &j.Creds, nil},
		{"jetstream", "tls_ca", &j.TLSCA, nil},
		{"jetstream", "tls_cert", &j.TLSCert, j.checkPair},
		{"jetstream", "tls_key", &j.TLSKey, nil},

		{"limits", "max_line", &m.MaxLine, m.checkMaxLine},
		{"limits", "max_client_id", &m.MaxClientID, intRange(&m.MaxClientID, 1, protocol.MaxClientID)},
		{"limits", "max_connections", &m.MaxConnections, intRange(&m.MaxConnections, 1, 1_000_000)},
		{"limits", "max_clients", &m.MaxClients, intRange(&m.MaxClients, 1, MostClients)},
		{"limits", "max_future", &m.MaxFuture, durationRange(&m.MaxFuture, 0, 100*year)},
		{"limits", "idle_timeout", &m.IdleTimeout, durationRange(&m.IdleTimeout, 0, year)},
		{"limits", "partial_line_timeout", &m.PartialLineTimeout, durationRange(&m.PartialLineTimeout, 0, year)},
		{"limits", "output_hard", &m.OutputHard, intRange(&m.OutputHard, 1<<20, 1<<30)},
		{"limits", "output_soft", &m.OutputSoft, m.checkOutputSoft},
		{"limits", "max_buffered", &m.MaxBuffered, intRange(&m.MaxBuffered, minBuffered, 1<<40)},
		{"limits", "places_in_flight", &m.PlacesInFlight, intRange(&m.PlacesInFlight, 1, 1024)},
		{"limits", "drain", &m.Drain, durationRange(&m.Drain, 10*time.Millisecond, time.Hour)},
		{"limits", "connections_per_address", &m.ConnectionsPerAddress, intRange(&m.ConnectionsPerAddress, 0, 1_000_000)},
		{"limits", "connections_per_token", &m.ConnectionsPerToken, intRange(&m.ConnectionsPerToken, 0, 1_000_000)},
		{"limits", "lines_per_address", &m.LinesPerAddress, intRange(&m.LinesPerAddress, 0, 10_000_000)},
		{"limits", "lines_per_token", &m.LinesPerToken, intRange(&m.LinesPerToken, 0, 10_000_000)},
		{"limits", "updates_per_client", &m.UpdatesPerClient, intRange(&m.UpdatesPerClient, 0, 1_000_000)},
		{"limits", "whatsats_per_address", &m.WhatsatsPerAddress, intRange(&m.WhatsatsPerAddress, 0, 1_000_000_000)},
		{"limits", "whatsats_per_token", &m.WhatsatsPerToken, intRange(&m.WhatsatsPerToken, 0, 1_000_000_000)},
	}
}

// keys returns the keys of one [[server]].
func (s *Server) keys() []key {
	return []key{
		{"server", "name", &s.Name, checkName(&s.Name)},
		{"server", "address", &s.Address, s.checkAddress},
		{"server", "listen", &s.Listen, optionalAddress(&s.Listen)},
		{"server", "console", &s.Console, optionalAddress(&s.Console)},
		{"server", "neighbors", &s.Neighbors, nil},
		{"server", "bridge", &s.Bridge, nil},
	}
}

// set stores a decoded TOML value in k's field, or returns what is wrong with its type.
func (k key) set(value any) string {
	expected := ""
	switch to := k.value.(type) {
	case *string:
		if v, ok := value.(string); ok {
			*to = v
			return ""
		}
		expected = "a string"
	case *bool:
		if v, ok := value.(bool); ok {
			*to = v
			return ""
		}
		expected = "a boolean"
	case *int:
		if v, ok := value.(int64); ok && int64(int(v)) == v {
			*to = int(v)
			return ""
		}
		expected = "an integer"
	case *time.Duration:
		if v, ok := value.(string); ok {
			return parseDuration(to, v)
		}
		expected = `a duration in quotes, such as "5s"`
	case *[]string:
		if v, ok := toStrings(value); ok {
			*to = v
			return ""
		}
		expected = "an array of strings"
	case *map[string]string:
		if v, ok := toMap(value); ok {
			*to = v
			return ""
		}
		expected = `a table of strings, such as { name = "stop_name" }`
	}
	return fmt.Sprintf("expected %s, got %s", expected, tomlType(value))
}

// parseDuration parses a duration such as "5s" that is not negative.
func parseDuration(to *time.Duration, text string) string {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Sprintf("invalid duration %q, expected a value such as \"5s\", \"250ms\" or \"1h\"", text)
	}
	*to = d
	return ""
}

func toStrings(value any) (all []string, ok bool) {
	array, ok := value.([]any)
	for _, element := range array {
		s, isString := element.(string)
		all, ok = append(all, s), ok && isString
	}
	return all, ok
}

// toMap converts a table of strings; an empty one becomes nil.
func toMap(value any) (all map[string]string, ok bool) {
	table, ok := value.(map[string]any)
	for name, element := range table { // order: does not matter
		s, isString := element.(string)
		if ok = ok && isString; !ok {
			return nil, false
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = s
	}
	return all, ok
}

// tomlType names the TOML type of a decoded value.
func tomlType(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	case []any:
		return "an array"
	}
	return "a date or time"
}
