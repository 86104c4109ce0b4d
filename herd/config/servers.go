package config

import (
	"fmt"
	"slices"
	"strings"
)

// endpoint is an address of a server, with what is needed to find collisions.
type endpoint struct {
	server  int
	key     string // address, listen or console
	text    string
	machine string // from the server's address: two machines may both use 127.0.0.1:11600
	host    string
	port    string
}

// endpoints returns the addresses of all servers in the order of the file.
func (c *Config) endpoints() (all []endpoint) {
	for i, s := range c.Servers {
		on := Machine(s.Address)
		for _, a := range []struct{ key, text string }{
			{"address", s.Address}, {"listen", s.Listen}, {"console", s.Console},
		} {
			if a.text == "" || a.key == "listen" && a.text == s.Address {
				continue
			}
			host, port := splitHost(a.text)
			all = append(all, endpoint{i, a.key, a.text, on, host, port})
		}
	}
	return all
}

// collides reports whether two endpoints cannot be bound, or reached, at the same time.
func (e endpoint) collides(o endpoint) bool {
	if e.port != o.port || e.machine != o.machine {
		return false
	}
	if e.server == o.server && e.key != "console" && o.key != "console" {
		return false // address and listen of one server may overlap
	}
	return e.host == o.host || isUnspecified(e.text) || isUnspecified(o.text)
}

func (l *loader) checkNames() {
	var names []string
	for i, s := range l.config.Servers {
		if k := slices.Index(names, s.Name); k >= 0 {
			l.fail("server", i, "name", "duplicate name %s, already used by server %d", s.Name, k+1)
		}
		names = append(names, s.Name)
		if links := l.config.TLS.Links; strings.EqualFold(s.Name, "localhost") && (links == "optional" || links == "required") {
			l.fail("server", i, "name", "%s cannot be a server's name with tls.links: every server's certificate may have it", s.Name)
		}
	}
}

func (l *loader) checkPorts() {
	all := l.config.endpoints()
	for i, e := range all {
		if k := slices.IndexFunc(all[:i], e.collides); k >= 0 {
			l.fail("server", e.server, e.key, "%s is already used as %s's %s", e.text,
				l.config.Servers[all[k].server].Name, all[k].key)
		}
	}
}

// checkNeighbors: both ends of an edge must list each other.
func (l *loader) checkNeighbors() {
	servers := l.config.Servers
	var names []string
	for _, s := range servers {
		names = append(names, s.Name)
	}
	for i, s := range servers {
		for k, name := range s.Neighbors {
			at := slices.Index(names, name)
			switch {
			case at < 0:
				l.fail("server", i, "neighbors", "unknown server %q; known servers: %s", name,
					strings.Join(names, ", "))
			case name == s.Name:
				l.fail("server", i, "neighbors", "%s lists itself as a neighbor", name)
			case slices.Index(s.Neighbors, name) != k:
				l.fail("server", i, "neighbors", "duplicate neighbor %s", name)
			case !slices.Contains(servers[at].Neighbors, s.Name):
				l.fail("server", i, "neighbors", "%s does not list %s as a neighbor", name, s.Name)
			}
		}
	}
}

// checkBridges: without a bridge nothing would be published, and without a bucket there is nothing to bridge to.
func (l *loader) checkBridges() {
	bridges := 0
	for i, s := range l.config.Servers {
		if s.Bridge {
			bridges++
			if !l.config.JetStream.Enabled() {
				l.fail("server", i, "bridge", "requires jetstream.url")
			}
		}
	}
	if bridges == 0 && l.config.JetStream.Enabled() {
		l.fail("jetstream", 0, "url", "requires bridge = true at one [[server]] or two")
	}
}

// BridgeRank returns how many bridges are before a server in the file.
func (c *Config) BridgeRank(name string) (n int) {
	for _, s := range c.Servers {
		if s.Name == name {
			break
		}
		if s.Bridge {
			n++
		}
	}
	return n
}

func (l *loader) checkSecretRequired() {
	if l.client {
		return
	}
	for _, e := range l.config.endpoints() {
		if err := l.config.CheckSecret(e.text); err != nil && e.key != "console" {
			l.fail("server", e.server, e.key, "%v", err)
		}
	}
}

// CheckSecret returns an error if address is not a loopback address and there is no secret: then anybody could
// connect as a neighbor.
func (c *Config) CheckSecret(address string) error {
	if len(c.Herd.Secrets) > 0 || IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address and requires a shared secret: set "+
		"herd.secret_file or $%s; (umask 077; openssl rand -hex 16 > secret) makes one", address, SecretVariable)
}

// The exact lines that open a door, for who has to choose.
const (
	tokensLines = `

    [clients]
    tokens = "tokens.toml"   # herd token NAME --read --write '' --console --add

`
	clientsOpenLines = `    [clients]
    open = true              # everyone who reaches the port may update and find every client`
	consoleOpenLines = `    [console]
    open = true              # everyone who reaches the console may read where every client is`
)

// Advice is an error whose text has lines to write into herd.toml: it is shown with its LFs.
type Advice struct{ text string }

// Error implements error.
func (a *Advice) Error() string { return a.text }

func advise(format string, args ...any) error { return &Advice{fmt.Sprintf(format, args...)} }

// CheckClients returns an error, with the lines to write, if a listener for clients at an address would be open beyond
// loopback and herd.toml does not say that it shall be.
func (c *Config) CheckClients(address string) error {
	if c.Clients.Tokens != "" || c.Clients.Open || IsLoopback(address) {
		return nil
	}
	return advise("clients at %s are beyond loopback and need tokens. Write into herd.toml either%sor\n\n%s\n",
		address, tokensLines, clientsOpenLines)
}

// CheckConsole is CheckClients for a console.
func (c *Config) CheckConsole(address string) error {
	if c.Clients.Tokens != "" || c.Console.Open || IsLoopback(address) {
		return nil
	}
	return advise("the console at %s is beyond loopback and needs tokens. Write into herd.toml either%sor\n\n%s\n",
		address, tokensLines, consoleOpenLines)
}

// CheckServer is CheckClients and CheckConsole for what a server listens on.
func (c *Config) CheckServer(s Server) error {
	if err := c.CheckClients(s.Listen); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	if s.Console != "" {
		if err := c.CheckConsole(s.Console); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// OpenBeyondLoopback names what everyone may use who reaches it, from other machines, too: "clients", "console". The
// addresses are those of the listeners; "" for none.
func (c *Config) OpenBeyondLoopback(clients, console string) (open []string) {
	if !c.Clients.Required() && clients != "" && !IsLoopback(clients) {
		open = append(open, "clients")
	}
	if c.Console.Open && console != "" && !IsLoopback(console) {
		open = append(open, "console")
	}
	return open
}
