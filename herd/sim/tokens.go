package sim

import (
	"serverherd/herd/access"
	"serverherd/protocol"
)

// In every third run clients need a token, which is sometimes removed for a moment.

// tokenFaults are the kinds of faults that only such a run has.
var tokenFaults = []faultKind{{"token", 8, (*world).revoke}}

const secret = "herd_sim"

var (
	showToken    = "TOKEN " + secret + "\n"
	welcomed     = string(protocol.Paper.AppendWelcome(nil, "sim"))
	tokenRevoked = string(protocol.Paper.AppendFinal(nil, protocol.TokenRevoked))
	tokenLate    = string(protocol.Paper.AppendFinal(nil, protocol.TokenLate))
)

// requireTokens is called before the first event.
func (w *world) requireTokens() {
	if w.result.Seed%3 != 0 {
		return
	}
	token := access.Token{Name: "sim", Hash: access.Hash([]byte(secret)), Rights: access.Read | access.Write}
	tokens, err := access.Parse("tokens.toml", []byte(token.Line()))
	if err != nil {
		panic(err)
	}
	w.tokens = tokens
	w.cfg.Clients.Tokens = "tokens.toml"
	w.log("clients need a token")
}

// revoke removes the token from a server, and adds it again at once. Connections that had shown it are closed.
func (w *world) revoke() string {
	h := w.anyHost()
	if h.gone() {
		return ""
	}
	h.revoked = w.net.Elapsed()
	h.server.SetTokens(nil)
	h.server.SetTokens(w.tokens)
	return "at " + h.self.Name
}

// ends reports whether a reply ends the connection, and may come at any time: the token was removed, or came too late by
// a clock that was set, see timedOut. Lines that were not executed have no reply then.
func (u *user) ends(reply string) bool {
	return reply == tokenRevoked && u.host.revoked != 0 || reply == tokenLate && u.host.clockSet != 0
}

// token begins a connection with a token, if clients need one.
func (u *user) token() {
	if u.host.w.tokens != nil {
		u.conn.SendString(showToken)
		u.expect(exactly, welcomed)
	}
}
