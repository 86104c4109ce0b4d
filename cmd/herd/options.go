package main

import (
	"crypto/tls"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/engines"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// defaultConfig is used without --config and $HERD_CONFIG.
const defaultConfig = "herd.toml"

// serverVariable is the environment variable with the server of serve and ready, which a container has. Commands that
// speak to a server do not use it: which one they mean is not a matter of where they run.
const serverVariable = "HERD_SERVER"

// options are the flags that several commands share.
type options struct {
	config  string
	at      string // a server's name or an address
	dialect string // of a server named by its address
	tls     bool   // --tls
	ca      string // --ca
	timeout time.Duration
	token   string // of --token or $HERD_TOKEN; "" for none
}

// engineFlag adds --engine.
func engineFlag(c *cobra.Command, name *string) {
	choiceFlag(c, name, "engine", engines.Names[0], engines.Names,
		"event loop implementation: "+strings.Join(engines.Names, ", ")+"; all but the first are for comparison")
}

// defaultTimeout is --timeout of every command that talks to a server.
const defaultTimeout = 5 * time.Second

// timeoutFlag adds --timeout. Usage says what it bounds.
func (o *options) timeoutFlag(c *cobra.Command, usage string) {
	durationFlag(c.Flags(), &o.timeout, "timeout", defaultTimeout, time.Millisecond, time.Hour, usage)
}

// load reads and checks the configuration for a command that asks servers. The secret of the herd is often not for the user
// of a command, who may not need it.
func (o *options) load() (*config.Config, error) { return config.LoadForClient(o.file(), resources()) }

// loadForServer reads and checks the configuration for servers.
func (o *options) loadForServer() (*config.Config, error) { return config.Load(o.file(), resources()) }

// file returns the path of the configuration.
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
	o.tokenFlag(c)
	o.tlsFlags(c)
}

// checkTarget returns an error if text is neither a server's name nor HOST:PORT. Unlike herd.toml, it
// accepts IPv6 addresses with a zone, which is only meaningful on this machine.
func checkTarget(text string) error {
	if text == "" || strings.Contains(text, ":") {
		return config.CheckAddress(text)
	}
	return nil
}

// completeServers completes the names of servers.
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

// defaultMaxLine is the assumed limits.max_line of a server given as HOST:PORT.
const defaultMaxLine = 16384

// target is a server to connect to.
type target struct {
	label   string // its name, or its address
	addr    string
	dialect protocol.Dialect
	maxLine int         // limits.max_line: bytes of a request without its LF
	tls     *tls.Config // nil without TLS
}

// target returns the server that --at names.
func (o *options) target() (target, error) {
	if strings.Contains(o.at, ":") {
		t := target{label: o.at, addr: o.at, maxLine: defaultMaxLine}
		if o.dialect != "" {
			var err error
			if t.dialect, err = protocol.ParseDialect(o.dialect); err != nil {
				return t, usage("--dialect: %v", err)
			}
		}
		var err error
		t.tls, err = o.addressTLS(o.at)
		return t, err
	}
	if o.dialect != "" {
		return target{}, usage("--dialect requires --at HOST:PORT; the dialect of servers in herd.toml is set there")
	}
	cfg, err := o.load()
	if err != nil {
		return target{}, err
	}
	s := cfg.Servers[0]
	if o.at != "" {
		if s, err = findFor("at", cfg, o.at); err != nil {
			return target{}, err
		}
	}
	return o.targetOf(cfg, s)
}

// targetOf returns a server of a configuration as a target.
func (o *options) targetOf(cfg *config.Config, s config.Server) (target, error) {
	d, err := protocol.ParseDialect(cfg.Herd.Dialect)
	if err != nil {
		return target{}, err
	}
	secure, err := o.clientTLS(cfg, s)
	return target{s.Name, s.Address, d, cfg.Limits.MaxLine, secure}, err
}

// findAll returns the servers called so, each once; without names all servers.
func findAll(cfg *config.Config, names []string) (servers []config.Server, err error) {
	if len(names) == 0 {
		return cfg.Servers, nil
	}
	for i, name := range names {
		s, err := find(cfg, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names[:i], name) {
			servers = append(servers, s)
		}
	}
	return servers, nil
}

// find returns the server called name, or an error that lists the valid names.
func find(cfg *config.Config, name string) (config.Server, error) {
	var all []string
	for _, s := range cfg.Servers {
		if s.Name == name {
			return s, nil
		}
		all = append(all, s.Name)
	}
	return config.Server{}, usage("unknown server %q; servers in herd.toml: %s", name, strings.Join(all, ", "))
}

// findOwn returns the server of the arguments, else that of serverVariable. It is false if neither names one.
func findOwn(cfg *config.Config, args []string) (s config.Server, ok bool, err error) {
	if len(args) > 0 {
		s, err = find(cfg, args[0])
		return s, true, err
	}
	name := os.Getenv(serverVariable)
	if name == "" {
		return s, false, nil
	}
	if s, err = find(cfg, name); err != nil {
		err = usage("$%s: %v", serverVariable, err)
	}
	return s, true, err
}

// findFor is find for the value of a flag.
func findFor(flag string, cfg *config.Config, name string) (config.Server, error) {
	s, err := find(cfg, name)
	if err != nil {
		err = usage("--%s: %v", flag, err)
	}
	return s, err
}
