package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// HandshakeError says in words why a TLS handshake with a server failed, and what to do.
type HandshakeError struct {
	Reason  error
	Console bool // it was with a console, not with a client port
}

// Unwrap returns the reason.
func (e *HandshakeError) Unwrap() error { return e.Reason }

// NoTLS reports whether the other side speaks no TLS: it has closed the connection, or has answered something else. What is
// wrong with its certificate, and an alert, are other errors.
func (e *HandshakeError) NoTLS() bool {
	_, other := errors.AsType[tls.RecordHeaderError](e.Reason)
	return other || errors.Is(e.Reason, io.EOF) || errors.Is(e.Reason, syscall.ECONNRESET)
}

// Error implements error.
func (e *HandshakeError) Error() string {
	reason := e.Reason
	_, unknown := errors.AsType[x509.UnknownAuthorityError](reason)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](reason)
	host, isHost := errors.AsType[x509.HostnameError](reason)
	alert, isAlert := errors.AsType[tls.AlertError](reason)
	remote, isRemote := errors.AsType[*net.OpError](reason)
	switch {
	case e.NoTLS() && e.Console:
		return "no TLS there: is [console] tls off there? It is required here"
	case e.NoTLS():
		return "no TLS there: is [clients] tls off there? Try without --tls"
	case unknown:
		return "TLS: the certificate is not of a trusted authority; set tls.ca or --ca to the file of its CA"
	case isInvalid && invalid.Reason == x509.Expired:
		return "TLS: the certificate " + validity(invalid.Cert, time.Now()) + "; herd cert --force replaces it"
	case isHost:
		return fmt.Sprintf("TLS: the certificate is for %.200q, not for %q", namesOf(host.Certificate), host.Host)
	case isAlert:
		return "TLS: the server refused the handshake: " + strings.TrimPrefix(alert.Error(), "tls: ")
	case isRemote && remote.Op == "remote error":
		return "TLS: the server refused the handshake: " + strings.TrimPrefix(remote.Err.Error(), "tls: ")
	}
	return "TLS: " + reason.Error()
}

// validity says why a certificate is not valid at a time.
func validity(c *x509.Certificate, now time.Time) string {
	if now.Before(c.NotBefore) {
		return "is not valid before " + c.NotBefore.Local().Format(time.DateTime)
	}
	return "has expired on " + c.NotAfter.Local().Format(time.DateTime)
}

// namesOf are the names and addresses in a certificate.
func namesOf(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}
