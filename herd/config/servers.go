package config

import (
	"fmt"
	"slices"
	"strings"
)

// endpoint is an address of a server as far as it can collide with another's.
type endpoint struct {
	server  int
	key     string // address, listen or console
	text    string
	machine string // by the server's address: two machines may both have a 127.0.0.1:11600
	host    string
	port    string
}

// endpoints are the addresses of all servers in the order of the file.
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

// collides says whether only one of two sockets can be bound, or reached.
func (e endpoint) collides(o endpoint) bool {
	if e.port != o.port || e.machine != o.machine {
		return false
	}
	if e.server == o.server && e.key != "console" && o.key != "console" {
		return false // what is dialled and what is listened on, of one server
	}
	return e.host == o.host || isUnspecified(e.text) || isUnspecified(o.text)
}

// names checks that no two servers have the same.
func (l *loader) names() {
	var names []string
	for i, s := range l.config.Servers {
		if k := slices.Index(names, s.Name); k >= 0 {
			l.fail("server", i, "name", "%s is the name of server %d too", s.Name, k+1)
		}
		names = append(names, s.Name)
	}
}

// ports checks that no two servers use the same.
func (l *loader) ports() {
	all := l.config.endpoints()
	for i, e := range all {
		if k := slices.IndexFunc(all[:i], e.collides); k >= 0 {
			l.fail("server", e.server, e.key, "%s is used by %s's %s too", e.text,
				l.config.Servers[all[k].server].Name, all[k].key)
		}
	}
}

// edges checks that neighbors know each other.
func (l *loader) edges() {
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
				l.fail("server", i, "neighbors", "%q is no server; there are %s", name,
					strings.Join(names, ", "))
			case name == s.Name:
				l.fail("server", i, "neighbors", "%s is its own neighbor", name)
			case slices.Index(s.Neighbors, name) != k:
				l.fail("server", i, "neighbors", "%s is named twice", name)
			case !slices.Contains(servers[at].Neighbors, s.Name):
				l.fail("server", i, "neighbors", "%s is named, but does not name %s", name, s.Name)
			}
		}
	}
}

// reach refuses a herd that others could reach and that has no secret.
func (l *loader) reach() {
	for _, e := range l.config.endpoints() {
		if err := l.config.NeedsSecret(e.text); err != nil && e.key != "console" {
			l.fail("server", e.server, e.key, "%v", err)
		}
	}
}

// NeedsSecret is the error for listening at an address that others can reach without a secret, by
// which neighbors prove themselves; nil if that is fine.
func (c *Config) NeedsSecret(address string) error {
	if len(c.Herd.Secrets) > 0 || IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s is not loopback, so neighbors must prove themselves: set "+
		"herd.secret_file or $%s", address, SecretVariable)
}
