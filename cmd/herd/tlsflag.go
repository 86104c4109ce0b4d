package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// tlsFlags adds --tls and --ca, for commands that speak to servers as clients do.
func (o *options) tlsFlags(c *cobra.Command) {
	c.Flags().BoolVar(&o.tls, "tls", false, "connect over TLS; with [clients] tls = \"required\" this is the default")
	textFlag(c.Flags(), &o.ca, "ca", "", "a file",
		"`file` with the CA of a server given as HOST:PORT, in PEM (default: those of the system)")
}

// clientTLS is for connections to a server of herd.toml; nil without TLS.
func (o *options) clientTLS(cfg *config.Config, s config.Server) (*tls.Config, error) {
	if !o.tls && cfg.Clients.TLS != "required" {
		return nil, nil
	}
	file := o.ca
	if file == "" {
		file = cfg.TLS.Of(s.Name).CA
	}
	roots, err := certs.Roots(file)
	if err != nil {
		return nil, err
	}
	return certs.Client(roots, s.Name), nil
}

// addressTLS is for connections to a server that is given as HOST:PORT; nil without TLS.
func (o *options) addressTLS(addr string) (*tls.Config, error) {
	if !o.tls && o.ca == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS13}
	if o.ca != "" {
		t.RootCAs, err = certs.Roots(o.ca)
	}
	return t, err
}

// consoleTLS is for connections to consoles.
func consoleTLS(cfg *config.Config) (t ask.TLS, err error) {
	if t.Mode = cfg.Console.TLS; t.Mode == "off" {
		return t, nil
	}
	pools := map[string]*x509.CertPool{}
	for _, s := range cfg.Servers {
		if pools[s.Name], err = certs.Roots(cfg.TLS.Of(s.Name).CA); err != nil {
			return t, err
		}
	}
	t.Config = func(server string) *tls.Config { return certs.Client(pools[server], server) }
	return t, nil
}
