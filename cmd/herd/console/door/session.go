package door

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"serverherd/herd"
	"serverherd/herd/access"
)

// key is the SHA-256 of a cookie's value: a session cannot be taken over by who can read the memory of the console, and
// looking it up takes no time that depends on the value.
type key [sha256.Size]byte

// session is a login.
type session struct {
	key   key
	token *access.Token // with which it began
	text  string        // of the token, for lines that are sent to servers
	ends  time.Time
}

// Login begins a session for who has a token, which must have the right "console". The request's former session ends.
func (d *Door) Login(r *http.Request, text string) (cookie *http.Cookie, t *access.Token, refused *Refusal) {
	defer func() { d.note(r, refused) }()
	text = strings.TrimSpace(text)
	switch t, _ = d.find(text); {
	case t == nil:
		return nil, nil, wrong(kindLogin, "the token is unknown or has expired")
	case !t.May(access.Console):
		return nil, nil, &Refusal{http.StatusForbidden, kindLogin, "not allowed: the token has no right " + quote(access.Console), nil}
	}
	var random [sha256.Size]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	value := base64.RawURLEncoding.EncodeToString(random[:])
	now := time.Now()
	s := &session{sha256.Sum256([]byte(value)), t, text, now.Add(herd.ConsoleLogin)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.valid(t, access.Console, now) == nil {
		return nil, nil, wrong(kindLogin, "the token is unknown or has expired")
	}
	if k, ok := d.cookieKey(r); ok {
		d.end(k)
	}
	d.makeRoom(now)
	d.sessions[s.key] = s
	return d.newCookie(r, value, int(herd.ConsoleLogin/time.Second)), t, nil
}

// Logout ends the session of a request and returns the cookie that replaces its own.
func (d *Door) Logout(r *http.Request) *http.Cookie {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.cookieKey(r); ok {
		d.end(k)
	}
	return d.noCookie(r)
}

// end ends a session and its requests. The caller has d.mu.
func (d *Door) end(k key) {
	s := d.sessions[k]
	if s == nil {
		return
	}
	delete(d.sessions, k)
	for v := range d.visits {
		if v.session == s {
			v.cancel()
		}
	}
}

// makeRoom ends sessions until one more may begin: the oldest of the token that has most of them. The caller has d.mu.
func (d *Door) makeRoom(now time.Time) {
	if len(d.sessions) < herd.ConsoleSessions {
		return
	}
	count := make(map[[sha256.Size]byte]int)
	for k, s := range d.sessions {
		if !now.Before(s.ends) || d.valid(s.token, access.Console, now) == nil {
			d.end(k)
		} else {
			count[s.token.Hash]++
		}
	}
	for len(d.sessions) >= herd.ConsoleSessions {
		var last *session
		for _, s := range d.sessions {
			a := count[s.token.Hash]
			if last == nil || a > count[last.token.Hash] || a == count[last.token.Hash] && s.ends.Before(last.ends) {
				last = s
			}
		}
		count[last.token.Hash]--
		d.end(last.key)
	}
}

// identifySession is identify for who may have logged in.
func (d *Door) identifySession(r *http.Request) (c caller, refused *Refusal) {
	k, ok := d.cookieKey(r)
	if !ok {
		return c, nil
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sessions[k]
	if s == nil || !now.Before(s.ends) {
		d.end(k)
		return c, d.ended(r)
	}
	t := d.valid(s.token, access.Console, now)
	if t == nil {
		d.end(k)
		return c, d.ended(r)
	}
	return caller{token: t, text: s.text, session: s}, nil
}

// ended is the refusal of a request whose login has ended. It takes the cookie away.
func (d *Door) ended(r *http.Request) *Refusal {
	refused := wrong(kindSession, "the login has ended: log in again")
	refused.Cookie = d.noCookie(r)
	return refused
}

// cookieKey is the key of the session that a request names, if it names one.
func (d *Door) cookieKey(r *http.Request) (k key, ok bool) {
	all := r.CookiesNamed(d.cookie)
	if len(all) == 0 {
		return k, false
	}
	return sha256.Sum256([]byte(all[0].Value)), true
}

// newCookie is a cookie of this server. Its name has the server's, as browsers send cookies to all ports of a host. It is
// Secure under TLS, also if that ends at a proxy.
func (d *Door) newCookie(r *http.Request, value string, age int) *http.Cookie {
	// #nosec G124 -- Secure is set under TLS; without TLS browsers refuse a cookie that has it
	return &http.Cookie{
		Name: d.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: schemeOf(r) == "https" || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	}
}

// noCookie makes a browser forget its cookie.
func (d *Door) noCookie(r *http.Request) *http.Cookie { return d.newCookie(r, "", -1) }
