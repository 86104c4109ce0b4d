package herd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"serverherd/protocol"
	"serverherd/reactor"
)

// This file is about what may stand before the lines of a connection: the header of a proxy, and TLS. What comes is
// decided by protocol.Open, what is allowed by herd.toml. Over TLS a neighbor's certificate must have its name.

// TLS is what connections over TLS need, for Options.
type TLS struct {
	// Port is for accepted connections that begin without TLS, see reactor.Transport.StartTLS.
	Port reactor.TLSConfig
	// Link makes a ClientFactory whose dials to a neighbor are over TLS.
	Link func(neighbor string, f reactor.ClientFactory) reactor.ClientFactory
}

// version13 is TLS 1.3, which links require.
const version13 = 0x0304

// Modes of TLS, see config.TLSModes.
const (
	tlsOff      = "off"
	tlsOptional = "optional"
	tlsRequired = "required"
)

var (
	errPlain        = errors.New("client without TLS")
	errProxyMissing = errors.New("no PROXY header")
)

// startTLS goes on over TLS with the first bytes of a handshake. It reports false if the connection may not: TLS does not
// begin behind a byte order mark or telnet commands, which may have been answered.
func (s *session) startTLS(hello []byte) bool {
	t := s.server.options.TLS
	if t == nil || s.skipped || s.secure || s.t.Security().TLS {
		return false
	}
	s.secure, s.head = true, nil
	s.t.StartTLS(hello, t.Port)
	return true
}

// HandshakeFailed counts and logs a failed TLS handshake of an accepted connection. Loop only.
func (srv *Server) HandshakeFailed(peer string, reason error) {
	srv.counters.TLSFailed++
	text := fmt.Sprintf("%.300s", reason) // the names in a certificate may be long
	if srv.logLimits.tls.allow(logKey{handshakeKind(text), clientAddress(peer)}, srv.reactor.Now()) {
		srv.log.Warn("TLS handshake failed", zap.String("peer", peer), zap.String("reason", text))
	}
}

// handshakeKind is the part of a reason that all failures of its kind have in common: what is before a number, such as an
// address, a time or a version, or before what the peer has sent, which is quoted.
func handshakeKind(reason string) string {
	word := false // within one: x509 is no number
	for i := range len(reason) {
		c := reason[i]
		digit := '0' <= c && c <= '9'
		if c == '"' || c == '[' || digit && !word {
			return reason[:i]
		}
		word = digit || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	return reason
}

// linkFault returns why a neighbor may not say HELLO on this connection; "" if it may. It is for this side's log.
func (s *session) linkFault(from []byte) string {
	sec := s.t.Security()
	switch {
	case !sec.TLS && s.server.cfg.TLS.Links == tlsRequired:
		return "tls: required"
	case !sec.TLS:
		return ""
	case sec.Version < version13:
		return "tls: older than 1.3"
	case sec.Names == nil:
		return "tls: no certificate"
	case !slices.Contains(sec.Names, string(from)):
		return fmt.Sprintf("tls: the certificate is for %.200q", sec.Names)
	}
	return ""
}

// refuseClient ends a connection whose first line is a client's, if it may not be that of a client with or without TLS, or
// without a PROXY header. Where only links have TLS, it is another protocol for clients. It reports true then. Nothing that came is executed.
func (s *session) refuseClient() bool {
	srv := s.server
	switch {
	case !s.proxied && srv.isProxy(s.t.Peer()):
		srv.counters.ProxyRefused++
		s.logRefusedClient(errProxyMissing)
		s.close(errProxyMissing)
	case srv.cfg.Clients.TLS == tlsRequired && !s.t.Security().TLS:
		srv.counters.TLSMissing++
		s.logRefusedClient(errPlain)
		s.replyFinal(protocol.TLSRequired)
		s.close(errPlain)
	case srv.cfg.Clients.TLS == tlsOff && s.t.Security().TLS:
		s.otherProtocol(protocol.OtherTLS)
	default:
		return false
	}
	return true
}

func (s *session) logRefusedClient(reason error) {
	srv := s.server
	if srv.logLimits.tls.allow(logKey{reason.Error(), s.address}, srv.reactor.Now()) {
		srv.log.Warn("client refused", zap.String("reason", reason.Error()), zap.String("peer", s.peer), zap.Uint64("conn", s.id))
	}
}

// isProxy reports whether connections from a peer begin with a PROXY header.
func (srv *Server) isProxy(peer string) bool {
	addr, err := netip.ParseAddrPort(peer)
	return err == nil && slices.ContainsFunc(srv.proxies, func(net netip.Prefix) bool { return net.Contains(addr.Addr().Unmap()) })
}

// mayProxy reports whether a PROXY header is allowed now.
func (s *session) mayProxy() bool {
	return !s.proxied && !s.skipped && !s.secure && s.server.isProxy(s.t.Peer())
}

// proxyHeader takes the header of a proxy: limits and logs are about the client that it names. It reports false if that
// client's address has too many connections.
func (s *session) proxyHeader(source netip.AddrPort) bool {
	s.proxied = true
	if !source.IsValid() {
		return true // the proxy itself
	}
	srv := s.server
	srv.dismiss(s)
	srv.quotas.release(s.quota)
	s.peer = netip.AddrPortFrom(source.Addr().Unmap(), source.Port()).String()
	s.address = clientAddress(s.peer)
	s.quota = srv.quotas.ofAddress(s.address)
	crowded := s.admission == asClient && srv.quotas.crowded(s.quota)
	srv.admit(s, s.admission)
	if crowded {
		srv.counters.LimitConnections++
		reason := srv.quotas.crowdedReason(s.quota)
		s.logLimit(s.tokenName(), reason)
		s.replyFinal(reason)
		s.close(errAddressCrowded)
	}
	return !crowded
}
