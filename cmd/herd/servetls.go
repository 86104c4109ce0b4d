package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/console"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/reactor"
	"serverherd/reactor/sockets"
)

// checkCerts returns an error if a server could not read its certificates.
func checkCerts(cfg *config.Config, s config.Server) error {
	if !cfg.UsesTLS() {
		return nil
	}
	if _, err := certs.Load(cfg.TLS.Of(s.Name), s.Name, cfg.Others(s.Name)...); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// openTLS reads the certificates, if herd.toml has TLS.
func (p *process) openTLS(o *herd.Options) error {
	if !p.cfg.UsesTLS() {
		return nil
	}
	var err error
	if p.certs, err = certs.Load(p.cfg.TLS.Of(p.self.Name), p.self.Name, p.cfg.Others(p.self.Name)...); err != nil {
		return fmt.Errorf("%s: %w", p.self.Name, err)
	}
	p.logCerts("certificates loaded")
	o.TLS = &herd.TLS{
		Port: p.certs.Port(),
		Link: func(neighbor string, f reactor.ClientFactory) reactor.ClientFactory {
			return sockets.TLSFactory{ClientFactory: f, Config: p.certs.Link(neighbor)}
		},
	}
	return nil
}

func (p *process) logCerts(message string) {
	p.log.Info(message, zap.Time("expires", p.certs.Expires()))
}

// securePort is the listener for clients and neighbors. If all of them must have TLS and none comes by a proxy, a
// connection's handshake is done before the loop sees it, and before it counts in max_connections, if there are
// descriptors for that.
func (p *process) securePort(l net.Listener) reactor.Listener {
	c := p.cfg
	if c.TLS.Links != "required" || c.Clients.TLS != "required" || len(c.Clients.ProxyProtocol) > 0 || !c.RoomForHandshakes(descriptors()) {
		return l
	}
	return &sockets.TLSListener{Listener: l, Config: p.certs.Port(), Failed: func(peer string, reason error) {
		p.reactor.CallFromThread(func() { p.server.HandshakeFailed(peer, reason) })
	}}
}

// watchCerts reads certificates again when their files change, until ctx ends.
func (p *process) watchCerts(ctx context.Context) {
	if p.certs != nil {
		go p.certs.Watch(ctx, p.certsRead)
	}
}

// reloadCerts reads the certificates again.
func (p *process) reloadCerts() console.ReloadedPart {
	if p.certs == nil {
		return console.ReloadedPart{What: console.NotConfigured}
	}
	_, err := p.certs.Reload(true)
	p.certsRead(err)
	return console.ReloadedPart{What: console.Reread, Expires: p.certs.Expires().UTC(), Error: textOf(err)}
}

// certsRead logs what came of reading certificates again. Connections go on with those that they began with.
func (p *process) certsRead(err error) {
	if err != nil {
		p.log.Error("certificates reload failed, keeping the old ones", zap.Error(err))
	} else {
		p.logCerts("certificates reloaded")
	}
}

// tlsStatus is nil without TLS.
func (p *process) tlsStatus() *herd.TLSStatus {
	if p.certs == nil {
		return nil
	}
	return &herd.TLSStatus{
		Links: p.cfg.TLS.Links, Clients: p.cfg.Clients.TLS, Console: p.cfg.Console.TLS,
		Expires: p.certs.Expires().UTC().Truncate(time.Second), Error: p.certs.Error(),
	}
}

// consoleTLS is how the console speaks.
func (p *process) consoleTLS() console.TLS {
	t := console.TLS{Mode: p.cfg.Console.TLS}
	if p.certs != nil {
		t.Config = p.certs.Console()
	}
	return t
}

// clientTLS is for the console's connections to other servers and consoles; nil without TLS.
func (p *process) clientTLS() func(server string) *tls.Config {
	if p.certs == nil {
		return nil
	}
	return p.certs.Client
}
