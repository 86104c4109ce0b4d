package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"serverherd/places"
	"serverherd/protocol"
)

// name checks the name of a herd or a server, which is a field of the protocol.
func name(value *string) func() string {
	return func() string {
		if protocol.ValidName(*value) {
			return ""
		}
		return fmt.Sprintf("%q is not a letter and up to 31 letters, digits, _ or -", *value)
	}
}

func oneOf(value *string, words ...string) func() string {
	return func() string {
		if slices.Contains(words, *value) {
			return ""
		}
		return fmt.Sprintf("%q is not available; what is: %s", *value, strings.Join(words, ", "))
	}
}

func between(value *int, least, most int) func() string {
	return func() string { return outside(*value, least, most) }
}

func span(value *time.Duration, least, most time.Duration) func() string {
	return func() string { return outside(*value, least, most) }
}

func outside[T int | time.Duration](value, least, most T) string {
	if value >= least && value <= most {
		return ""
	}
	return fmt.Sprintf("%v is not between %v and %v", value, least, most)
}

// checkUnfinished: the bounds keep the pauses of a network and of a person apart from an end, as far as
// that goes.
func (h *Herd) checkUnfinished() string {
	switch {
	case h.UnfinishedLine == 0:
		return ""
	case h.Dialect != "cs131":
		return `it needs dialect = "cs131"; the paper's clients end their lines`
	}
	return outside(h.UnfinishedLine, 50*time.Millisecond, 10*time.Second)
}

func (p *Peers) checkLegacy() string {
	if wrong := oneOf(&p.Legacy, "keep-open", "close-after-write")(); wrong != "" {
		return wrong
	}
	if p.Legacy != "keep-open" && p.Handshake != "optional" {
		return `it is for neighbors without a handshake, which needs handshake = "optional"`
	}
	return ""
}

// checkMaxLine: a line has room for the longest client id and all else that an IAMAT holds.
func (m *Limits) checkMaxLine() string { return outside(m.MaxLine, m.MaxClientID+256, 1<<20) }

func (m *Limits) checkOutputSoft() string { return outside(m.OutputSoft, 16<<10, m.OutputHard) }

func (g *Log) checkDir() string {
	if g.Dir == "" {
		return "a directory is needed"
	}
	return ""
}

// checkMaxSize: a file has room for what is written at once.
func (g *Log) checkMaxSize() string {
	if g.MaxSize == 0 {
		return ""
	}
	if wrong := outside(g.MaxSize, 1<<20, 1<<30); wrong != "" {
		return wrong + ", nor 0, which leaves rotation to others"
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
		return fmt.Sprintf("%q is not a scheme and a host, as https://maps.googleapis.com", p.BaseURL)
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return fmt.Sprintf("%q is not https, and a key would go over the network in the clear", p.BaseURL)
	}
	return ""
}

func (p *Places) checkPath() string {
	switch {
	case p.Provider == "file" && p.Path == "":
		return "a file is needed, whose name ends in ." + strings.Join(places.FileSuffixes, ", .")
	case p.Path != "":
		return p.onlyFile()
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
	return p.onlyFile()
}

func (p *Places) checkLenient() string {
	if p.Lenient {
		return p.onlyFile()
	}
	return ""
}

// onlyFile is what is wrong with a key that only provider file reads.
func (p *Places) onlyFile() string {
	if p.Provider != "file" {
		return "provider " + p.Provider + " reads no file; file does"
	}
	return ""
}

func (p *Places) checkFields() string {
	if len(p.Fields) > 0 && p.Provider != "google" {
		return "provider " + p.Provider + " does not choose its fields; google does"
	}
	return ""
}

func (p *Places) checkState() string {
	if p.PlacesState == "" {
		return "a directory is needed, where the daily budget is counted"
	}
	return ""
}

func (p *Places) checkFallback() string {
	switch {
	case p.Fallback == "":
		return ""
	case p.Fallback != "embedded":
		return fmt.Sprintf("%q is not available; what is: embedded, or nothing", p.Fallback)
	case !p.Network():
		return "provider " + p.Provider + " does not fail; a fallback is for google and google-legacy"
	}
	return ""
}

func (s *Server) checkAddress() string {
	if isUnspecified(s.Address) {
		return s.Address + " cannot be dialled by neighbors; it may be what listen says"
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

// checkAddress refuses an address with a zone, too: it means something on one machine only.
func checkAddress(a string) string {
	if err := CheckAddress(a); err != nil {
		return fmt.Sprintf("%q is not an address and a port, as 127.0.0.1:11500: %v", a, err)
	}
	if addr, err := netip.ParseAddrPort(a); err == nil && addr.Addr().Zone() != "" {
		return fmt.Sprintf("%q has the zone %q, which only one machine knows: use an address without one", a,
			addr.Addr().Zone())
	}
	return ""
}
