package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// tlsFlags adds --tls and --ca, for commands that speak to servers as clients do.
func (o *options) tlsFlags(c *cobra.Command) {
	c.Flags().BoolVar(&o.tls, "tls", false, "connect over TLS; the default if [clients] tls is \"required\"")
	textFlag(c.Flags(), &o.ca, "ca", "", "a file",
		"`file` with the CA, in PEM (default: tls.ca, or the system's for HOST:PORT); implies --tls")
}

// clientTLS is for connections to a server of herd.toml; nil without TLS.
func (o *options) clientTLS(cfg *config.Config, s config.Server) (*tls.Config, error) {
	if !o.tls && o.ca == "" && cfg.Clients.TLS != "required" {
		return nil, nil
	}
	roots, err := o.roots()
	if roots == nil && err == nil {
		roots, err = certs.RootsOf(cfg.TLS.Of(s.Name))
	}
	if err != nil {
		return nil, err
	}
	return certs.Client(roots, s.Name), nil
}

// roots reads --ca; nil without it.
func (o *options) roots() (*x509.CertPool, error) {
	if o.ca == "" {
		return nil, nil
	}
	roots, err := certs.Roots(o.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	return roots, nil
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
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address
	roots, err := o.roots()
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS13, RootCAs: roots}, err
}

// consoleTLS is for connections to consoles. The authorities are read for each one, as top and watch run for long. If that
// fails, so does the handshake.
func consoleTLS(cfg *config.Config) ask.TLS {
	return ask.TLS{Mode: cfg.Console.TLS, Config: func(server string) *tls.Config {
		roots, err := certs.RootsOf(cfg.TLS.Of(server))
		t := certs.Client(roots, server)
		if err != nil {
			t.VerifyConnection = func(tls.ConnectionState) error { return err }
		}
		return t
	}}
}
