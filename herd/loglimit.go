package herd

import (
	"strings"
	"time"

	"go.uber.org/zap"
)

// logLimiter limits the log entries about one kind of event that others can cause: one entry for each key in
// logPause, for at most maxLogKeys keys. Each kind of event has its own limiter, so that one does not
// suppress the others. The zero value is ready for use.
type logLimiter struct{ logged map[logKey]time.Time }

type logKey struct{ reason, host string }

const (
	logPause   = 30 * time.Second
	maxLogKeys = 1024
)

// allow reports whether an event should be logged.
func (lim *logLimiter) allow(what logKey, now time.Time) bool {
	if _, known := lim.logged[what]; known || len(lim.logged) >= maxLogKeys {
		return false
	}
	if lim.logged == nil {
		lim.logged = make(map[logKey]time.Time)
	}
	lim.logged[what] = now
	return true
}

func (lim *logLimiter) sweep(now time.Time) {
	for what, at := range lim.logged { // order: each entry is checked by itself
		if now.Sub(at) >= logPause {
			delete(lim.logged, what)
		}
	}
}

// logLimits are the limiters by kind of event.
type logLimits struct{ links, handshakes, tls, protocols, cuts, lookups, tokens, rights, limits logLimiter }

func (ll *logLimits) sweep(now time.Time) {
	for _, lim := range []*logLimiter{&ll.links, &ll.handshakes, &ll.tls, &ll.protocols, &ll.cuts, &ll.lookups, &ll.tokens, &ll.rights, &ll.limits} {
		lim.sweep(now)
	}
}

// handshakeRefused counts a handshake that this server refused, and logs it if the limiter allows.
func (srv *Server) handshakeRefused(reason, peer, name string) {
	srv.counters.HandshakesFailed++
	kind, _, _ := strings.Cut(reason, ":")
	host := peer[:strings.LastIndexByte(peer, ':')+1]
	if srv.logLimits.handshakes.allow(logKey{kind, host}, srv.reactor.Now()) {
		srv.log.Warn("neighbor refused", zap.String("reason", reason), zap.String("peer", peer),
			zap.String("neighbor", name))
	}
}
