package herd

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/access"
	"serverherd/protocol"
)

// This file is about the tokens of clients. A client shows its token by a line TOKEN. If herd.toml requires one, only
// help and quit work before that. A token that was shown is obeyed also where none is required. A neighbor's
// connection, whose first line is HELLO, has no token.

// tokenTimeout is the time from the accept within which a client has to show a token, if one is required.
const tokenTimeout = 10 * time.Second

// SetTokens replaces the tokens. Connections whose token is not among the new ones are closed; the others have its new
// rights from the next line on. Loop only.
func (srv *Server) SetTokens(tokens *access.Tokens) {
	srv.tokens = tokens
	srv.quotas.setTokens(tokens)
	for _, s := range slices.Backward(srv.sessions) { // closing one may remove it
		if s.token == nil || s.closing {
			continue
		}
		if current := tokens.Current(s.token); current != nil {
			s.token = current
		} else {
			srv.counters.TokensRevoked++
			s.endToken(protocol.TokenRevoked, errTokenRevoked)
		}
	}
}

// needsToken reports whether the client has to show a token before it may do anything.
func (s *session) needsToken() bool { return s.server.tokensRequired && s.token == nil }

// withoutToken reports whether a command works without a token where one is required.
func withoutToken(v protocol.Verb) bool {
	return v == protocol.VerbTOKEN || v == protocol.VerbHelp || v == protocol.VerbQuit
}

// showToken answers a TOKEN.
func (s *session) showToken(line []byte, c protocol.Command) {
	srv := s.server
	if srv.tokens == nil && !srv.tokensRequired {
		s.refuse(line, protocol.TokenUnused)
		return
	}
	if s.token != nil {
		s.refuse(line, protocol.TokenTwice)
		return
	}
	t := srv.tokens.Find(c.Token)
	switch {
	case t == nil:
		s.refuseToken(line, "unknown", zap.Skip())
	case t.Expired(s.now):
		s.refuseToken(line, "expired", zap.String("token", t.Name))
	case !s.enterToken(t):
		reason := protocol.Limit("token", srv.cfg.Limits.ConnectionsPerToken, "connections")
		srv.counters.LimitConnections++
		s.logLimit(t.Name, reason)
		s.refuse(line, reason)
		s.close(errTokenCrowded)
	default:
		srv.log.Info("token accepted", zap.String("token", t.Name), zap.Uint64("conn", s.id), zap.String("peer", s.peer))
		if text := srv.dialect.AppendWelcome(srv.scratch[:0], t.Name); len(text) > 0 {
			s.reply(text)
		}
	}
}

// enterToken makes t the session's token, unless it has as many connections as it may have.
func (s *session) enterToken(t *access.Token) bool {
	srv := s.server
	u := srv.quotas.ofToken(t)
	if most := srv.cfg.Limits.ConnectionsPerToken; most > 0 && u.connections >= most {
		return false
	}
	u.connections++
	s.token, s.tokenQuota = t, u
	return true
}

// refuseToken answers a TOKEN that is not valid, and closes the connection. The reply does not say why.
func (s *session) refuseToken(line []byte, why string, token zap.Field) {
	srv := s.server
	srv.counters.TokensRefused++
	if srv.logLimits.tokens.allow(logKey{why, s.address}, srv.reactor.Now()) {
		srv.log.Warn("token refused", zap.String("reason", why), token, zap.Uint64("conn", s.id), zap.String("peer", s.peer))
	}
	s.refuse(line, protocol.TokenRefused)
	s.close(errTokenRefused)
}

// refuseWithoutToken answers a line that requires a token.
func (s *session) refuseWithoutToken(line []byte) {
	s.server.counters.TokensMissing++
	s.logRefused("no token")
	s.refuse(line, protocol.TokenRequired)
}

// refuseByRights replies if the token does not allow a command, and reports whether it did.
func (s *session) refuseByRights(line []byte, c protocol.Command) bool {
	t := s.token
	var reason error
	switch {
	case c.Verb == protocol.VerbWHATSAT && !t.May(access.Read):
		reason = protocol.NotAllowed("WHATSAT", access.Read.String())
	case c.Verb == protocol.VerbIAMAT && !t.May(access.Write):
		reason = protocol.NotAllowed("IAMAT", access.Write.String())
	case c.Verb == protocol.VerbIAMAT && !t.MayWrite(c.Client):
		reason = protocol.OutsidePrefix(t.Prefix)
	default:
		return false
	}
	s.server.counters.RightsRefused++
	s.logRefused(reason.Error())
	s.refuse(line, reason)
	return true
}

// logRefused logs that a line was refused because the token does not allow it, or there is none, if the limiter allows.
func (s *session) logRefused(reason string) {
	srv, name := s.server, s.tokenName()
	if srv.logLimits.rights.allow(logKey{name + ": " + reason, s.address}, srv.reactor.Now()) {
		srv.log.Warn("line refused", zap.String("reason", reason), zap.String("token", name), zap.Uint64("conn", s.id),
			zap.String("peer", s.peer))
	}
}

// checkToken ends a connection whose token has expired, or that has not shown one in time.
func (s *session) checkToken(now time.Time) {
	switch {
	case s.closing:
	case s.token != nil && s.token.Expired(now):
		s.server.counters.TokensRevoked++
		s.endToken(protocol.TokenExpired, errTokenExpired)
	case s.needsToken() && now.Sub(s.accepted) >= tokenTimeout && !s.server.sweepLate: // what came meanwhile is read first
		s.server.counters.TokensLate++
		s.endToken(protocol.TokenLate, errTokenLate)
	}
}

// endToken closes the connection because it has no valid token. Lines that were executed are still answered.
func (s *session) endToken(final, reason error) {
	s.logTokenEnd(reason)
	s.replyFinal(final)
	s.close(reason)
}

// refuseExpired is endToken at a line, if the token has expired since it was shown.
func (s *session) refuseExpired(line []byte) {
	s.server.counters.TokensRevoked++
	s.logTokenEnd(errTokenExpired)
	s.refuse(line, protocol.TokenExpired)
	s.close(errTokenExpired)
}

func (s *session) logTokenEnd(reason error) {
	srv, name := s.server, s.tokenName()
	if srv.logLimits.tokens.allow(logKey{name + ": " + reason.Error(), s.address}, srv.reactor.Now()) {
		srv.log.Warn("connection closed, no valid token", zap.String("reason", reason.Error()),
			zap.String("token", name), zap.Uint64("conn", s.id), zap.String("peer", s.peer))
	}
}

// tokenName is the name of the token that the client has shown; "" if there is none.
func (s *session) tokenName() string {
	if s.token == nil {
		return ""
	}
	return s.token.Name
}

// Reasons for which this side closes a session because of a token. Each has its counter.
var (
	errTokenRefused = errors.New("token refused")
	errTokenCrowded = errors.New("too many connections of the token")
	errTokenLate    = errors.New("no token in time")
	errTokenRevoked = errors.New("token revoked")
	errTokenExpired = errors.New("token expired")
)

// tokensStatus is nil if there are no tokens.
func (srv *Server) tokensStatus() *TokensStatus {
	if srv.tokens == nil && !srv.tokensRequired {
		return nil
	}
	st := &TokensStatus{Count: len(srv.tokens.All())}
	now := srv.reactor.Now()
	for _, t := range srv.tokens.All() {
		if t.Expired(now) {
			st.Expired++
		}
	}
	for _, s := range srv.sessions {
		if s.token != nil {
			st.Connections++
		}
	}
	return st
}
