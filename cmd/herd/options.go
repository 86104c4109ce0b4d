package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/engines"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// defaultConfig is the configuration of whoever names none.
const defaultConfig = "herd.toml"

// options are the flags that several commands share.
type options struct {
	config  string
	at      string // a server's name or an address
	dialect string // of a server named by its address
	timeout time.Duration
}

// engineFlag adds --engine.
func engineFlag(c *cobra.Command, name *string) {
	choiceFlag(c, name, "engine", engines.Names[0], engines.Names,
		"what runs a server: "+strings.Join(engines.Names, ", ")+"; the first is for use, the others to compare")
}

// defaultTimeout is --timeout of every command that talks to a server.
const defaultTimeout = 5 * time.Second

// timeoutFlag adds --timeout; usage is what it bounds.
func (o *options) timeoutFlag(c *cobra.Command, usage string) {
	durationFlag(c.Flags(), &o.timeout, "timeout", defaultTimeout, time.Millisecond, time.Hour, usage)
}

// load reads the configuration.
func (o *options) load() (*config.Config, error) { return config.Load(o.file(), resources()) }

// file is the configuration's path.
func (o *options) file() string {
	switch env := os.Getenv("HERD_CONFIG"); {
	case o.config != "":
		return o.config
	case env != "":
		return env
	}
	return defaultConfig
}

// serverFlags adds the flags of commands that talk to one server.
func (o *options) serverFlags(c *cobra.Command) {
	reasonedFlag(c.Flags(), &o.at, "at", "a server's name or HOST:PORT",
		"server: a `name` of herd.toml (default its first) or HOST:PORT", checkTarget)
	complete(c, "at", o.completeServers)
	choiceFlag(c, &o.dialect, "dialect", "", []string{protocol.Paper.String(), protocol.CS131.String()},
		"`dialect` of a server given as HOST:PORT: paper (the default) or cs131")
}

// checkTarget says why text is neither a server's name nor HOST:PORT. It takes addresses with a zone,
// which herd.toml does not: only this machine needs to know the zone.
func checkTarget(text string) error {
	if text == "" || strings.Contains(text, ":") {
		return config.CheckAddress(text)
	}
	return nil
}

// completeServers offers a shell the names of the servers.
func (o *options) completeServers(
	_ *cobra.Command, _ []string, _ string,
) (names []string, _ cobra.ShellCompDirective) {
	if cfg, err := o.load(); err == nil {
		for _, s := range cfg.Servers {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// defaultMaxLine is limits.max_line of a server that is known by its address alone.
const defaultMaxLine = 16384

// target is the server to talk to: its address, its dialect, and its limits.max_line.
func (o *options) target() (addr string, d protocol.Dialect, maxLine int, err error) {
	if strings.Contains(o.at, ":") {
		if o.dialect != "" {
			if d, err = protocol.ParseDialect(o.dialect); err != nil {
				return "", 0, 0, usage("--dialect: %v", err)
			}
		}
		return o.at, d, defaultMaxLine, nil
	}
	if o.dialect != "" {
		return "", 0, 0, usage("--dialect goes with --at HOST:PORT; herd.toml knows its servers' dialect")
	}
	cfg, err := o.load()
	if err != nil {
		return "", 0, 0, err
	}
	s := cfg.Servers[0]
	if o.at != "" {
		if s, err = findFor("at", cfg, o.at); err != nil {
			return "", 0, 0, err
		}
	}
	d, err = protocol.ParseDialect(cfg.Herd.Dialect)
	return s.Address, d, cfg.Limits.MaxLine, err
}

// find returns the server called name, or an error that lists those that there are.
func find(cfg *config.Config, name string) (config.Server, error) {
	var all []string
	for _, s := range cfg.Servers {
		if s.Name == name {
			return s, nil
		}
		all = append(all, s.Name)
	}
	return config.Server{}, usage("no server is called %q; there are %s", name, strings.Join(all, ", "))
}

// findFor is find for a name that a flag gave.
func findFor(flag string, cfg *config.Config, name string) (config.Server, error) {
	s, err := find(cfg, name)
	if err != nil {
		err = usage("--%s: %v", flag, err)
	}
	return s, err
}
