package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"serverherd/places"
	"serverherd/protocol"
)

// The functions of this file return what is wrong with a value, or "".

// checkName: the name of a herd or a server is a field of the protocol.
func checkName(value *string) func() string {
	return func() string {
		if protocol.ValidName(*value) {
			return ""
		}
		return fmt.Sprintf("invalid name %q: expected a letter and up to 31 letters, digits, _ or -", *value)
	}
}

func oneOf(value *string, words ...string) func() string {
	return func() string {
		if slices.Contains(words, *value) {
			return ""
		}
		return fmt.Sprintf("unknown value %q, expected one of: %s", *value, strings.Join(words, ", "))
	}
}

// MostClients is the maximum of limits.max_clients: herd/feed has numbers for no more.
const MostClients = 67_000_000

func intRange(value *int, least, most int) func() string {
	return func() string { return checkRange(*value, least, most) }
}

func durationRange(value *time.Duration, least, most time.Duration) func() string {
	return func() string { return checkRange(*value, least, most) }
}

func checkRange[T int | time.Duration](value, least, most T) string {
	if value >= least && value <= most {
		return ""
	}
	return fmt.Sprintf("%v is not between %v and %v", value, least, most)
}

// checkUnfinished: below the lower bound, a pause of the network would end a line; above the upper one, a
// person waits too long.
func (h *Herd) checkUnfinished() string {
	switch {
	case h.UnfinishedLine == 0:
		return ""
	case h.Dialect != "cs131":
		return `requires dialect = "cs131"`
	}
	return checkRange(h.UnfinishedLine, 50*time.Millisecond, 10*time.Second)
}

// checkTokens: a neighbor without a handshake proves nothing, so whoever is at its address would need no token.
func (c *Config) checkTokens() string {
	if c.Clients.Required() && c.Peers.Handshake == "optional" {
		return `requires peers.handshake = "required", because a neighbor without a handshake shows no token; or clients.open = true`
	}
	return ""
}

// checkTLS: a neighbor without a handshake has no TLS either.
func (c *Config) checkTLS(mode *string) func() string {
	return func() string {
		if wrong := oneOf(mode, TLSModes...)(); wrong != "" {
			return wrong
		}
		if *mode == "required" && c.Peers.Handshake == "optional" && !c.Clients.Open {
			return `"required" requires peers.handshake = "required", because a neighbor without a handshake has no TLS; or clients.open = true`
		}
		return ""
	}
}

func (c *Config) checkTLSFile(path *string) func() string {
	return func() string {
		if *path == "" && c.UsesTLS() {
			return "must not be empty with TLS"
		}
		return ""
	}
}

// checkProxies: networks, each with a length.
func (c *Clients) checkProxies() string {
	for _, text := range c.ProxyProtocol {
		if _, err := netip.ParsePrefix(text); err != nil {
			return fmt.Sprintf("%q is not a network, as in 10.0.0.0/8 or 10.0.0.1/32", text)
		}
	}
	return ""
}

// checkHosts: names as in a Host header, without a port.
func (c *Console) checkHosts() string {
	for _, host := range c.Hosts {
		if err := CheckAddress(host + ":1"); err != nil {
			return fmt.Sprintf("%q is not a host name without a port, as in herd.example.org: %v", host, err)
		}
	}
	return ""
}

func (p *Peers) checkLegacy() string {
	if wrong := oneOf(&p.Legacy, "keep-open", "close-after-write")(); wrong != "" {
		return wrong
	}
	if p.Legacy != "keep-open" && p.Handshake != "optional" {
		return `requires handshake = "optional"`
	}
	return ""
}

// checkMaxLine: a line must have room for the longest client id and the other fields of an IAMAT.
func (m *Limits) checkMaxLine() string { return checkRange(m.MaxLine, m.MaxClientID+256, 1<<20) }

func (m *Limits) checkOutputSoft() string { return checkRange(m.OutputSoft, 16<<10, m.OutputHard) }

func (g *Log) checkDir() string {
	if g.Dir == "" {
		return "must not be empty"
	}
	return ""
}

// checkMaxSize: a file must have room for what is written at once.
func (g *Log) checkMaxSize() string {
	if g.MaxSize == 0 {
		return ""
	}
	if wrong := checkRange(g.MaxSize, 1<<20, 1<<30); wrong != "" {
		return wrong + ", and not 0 (no rotation)"
	}
	return ""
}

func (p *Places) checkBase() string {
	if p.BaseURL == "" {
		return ""
	}
	u, err := url.Parse(p.BaseURL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Sprintf("expected a scheme and a host, as in https://maps.googleapis.com, got %q", p.BaseURL)
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return fmt.Sprintf("%q must use https: the API key would be sent unencrypted", p.BaseURL)
	}
	return ""
}

func (p *Places) checkPath() string {
	switch {
	case p.Provider == "file" && p.Path == "":
		return "provider file requires a path that ends in ." + strings.Join(places.FileSuffixes, ", .")
	case p.Path != "":
		return p.requireFile()
	}
	return ""
}

func (p *Places) checkColumns() string {
	if len(p.Columns) == 0 {
		return ""
	}
	if err := places.CheckColumns(p.Columns); err != nil {
		return err.Error()
	}
	return p.requireFile()
}

func (p *Places) checkLenient() string {
	if p.Lenient {
		return p.requireFile()
	}
	return ""
}

// requireFile is for keys that only provider file uses.
func (p *Places) requireFile() string {
	if p.Provider != "file" {
		return `requires provider = "file"`
	}
	return ""
}

func (p *Places) checkFields() string {
	if len(p.Fields) > 0 && p.Provider != "google" {
		return `requires provider = "google"`
	}
	return ""
}

func (p *Places) checkState() string {
	if p.PlacesState == "" {
		return "must not be empty"
	}
	return ""
}

func (p *Places) checkFallback() string {
	switch {
	case p.Fallback == "":
		return ""
	case p.Fallback != "embedded":
		return fmt.Sprintf("unknown value %q, expected one of: embedded, \"\"", p.Fallback)
	case !p.Network():
		return `requires provider = "google" or "google-legacy"`
	}
	return ""
}

// checkURL: a user and a password belong in the file creds, which only its owner can read.
func (j *JetStream) checkURL() string {
	if j.URL == "" {
		return ""
	}
	for text := range strings.SplitSeq(j.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err == nil && u.User != nil {
			return "must not contain a user or a password: write them to a file and set creds"
		}
		if err != nil || !slices.Contains([]string{"nats", "tls"}, u.Scheme) || u.Host == "" ||
			u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Sprintf("expected addresses such as nats://127.0.0.1:4222, separated by commas, got %q", text)
		}
	}
	return ""
}

// checkBucket: a bucket's name is part of a NATS subject.
func (j *JetStream) checkBucket() string {
	valid := func(r rune) bool {
		return r < 128 && (r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	if j.Bucket == "" || len(j.Bucket) > 64 || strings.ContainsFunc(j.Bucket, func(r rune) bool { return !valid(r) }) {
		return fmt.Sprintf("invalid name %q: expected up to 64 letters, digits, _ or -", j.Bucket)
	}
	return ""
}

func (j *JetStream) checkPair() string {
	if (j.TLSCert == "") != (j.TLSKey == "") {
		return "tls_cert and tls_key require each other"
	}
	return ""
}

func (s *Server) checkAddress() string {
	if isUnspecified(s.Address) {
		return s.Address + " is not an address that neighbors can dial; set it as listen instead"
	}
	return checkAddress(s.Address)
}

func optionalAddress(value *string) func() string {
	return func() string {
		if *value == "" {
			return ""
		}
		return checkAddress(*value)
	}
}

// checkAddress also refuses an IPv6 zone, which is valid on one machine only.
func checkAddress(a string) string {
	if err := CheckAddress(a); err != nil {
		return fmt.Sprintf("invalid address %q: %v", a, err)
	}
	if addr, err := netip.ParseAddrPort(a); err == nil && addr.Addr().Zone() != "" {
		return fmt.Sprintf("%q has the zone %q, which is valid on one machine only: use an address without a zone", a,
			addr.Addr().Zone())
	}
	return ""
}
