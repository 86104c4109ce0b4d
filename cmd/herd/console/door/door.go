// Package door decides who a request to a console is, and what it may do. A request shows who it is by a token
// (Authorization: Bearer), by the cookie of a login, or by the signature of another console of the herd. Without any of
// these, a request from this machine may read, and everyone may if herd.toml says so. Credentials that are wrong are
// refused, also where none would be needed. A token counts as none where there is no file with tokens, and a signature
// where there is no secret: so whoever asks can be given them before the servers.
package door

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// Right is what a request wants to do.
type Right int

// The rights that an endpoint may need.
const (
	Health  Right = iota // see whether the server is well: everyone may
	Enter                // log in or out: a page of this console may, and a program
	Console              // read everything that a console shows
	Profile              // profiles of the process: like Console on this machine, and like Operate beyond it
	Operate              // change something
)

// Options configure a Door.
type Options struct {
	// Config and Name are the herd.toml and the server's name in it. Config may be nil: there are no secrets then, and
	// no hosts but those of this machine.
	Config *config.Config
	Name   string
	Log    *zap.Logger // nil: nothing is logged
}

// Door is the door of one console. Any goroutine may use it.
type Door struct {
	name    string
	secrets []string
	open    bool            // [console] open
	hosts   map[string]bool // allowed, besides those of this machine
	cookie  string          // the name of the cookie
	started time.Time       // nonces of earlier signatures are not known
	log     *zap.Logger

	denied, loginsRefused, signaturesRefused atomic.Uint64

	mu       sync.Mutex
	tokens   *access.Tokens
	sessions map[key]*session
	visits   map[*visit]struct{}
	nonces   nonces
	noted    map[noted]time.Time // when a refusal was logged
	swept    time.Time           // when noted was last swept
}

// New returns a door without tokens.
func New(o Options) *Door {
	d := &Door{
		name: o.Name, log: o.Log, started: time.Now(), hosts: make(map[string]bool), cookie: "herd." + o.Name,
		sessions: make(map[key]*session), visits: make(map[*visit]struct{}), noted: make(map[noted]time.Time),
	}
	d.nonces.seen = make(map[access.Nonce]struct{})
	if d.log == nil {
		d.log = zap.NewNop()
	}
	if c := o.Config; c != nil {
		d.secrets, d.open = c.Herd.Secrets, c.Console.Open
		d.cookie = "herd." + c.Herd.Name + "." + o.Name // a name has no dot
		d.addHosts(c)
	}
	return d
}

// SetTokens replaces the tokens. Requests in progress and logins end whose token is gone, has expired, or has lost the
// right that they need.
func (d *Door) SetTokens(ts *access.Tokens) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens = ts
	for _, s := range d.sessions {
		if d.valid(s.token, access.Console, now) == nil {
			delete(d.sessions, s.key)
		}
	}
	for v := range d.visits {
		t := d.valid(v.token, v.right, now)
		if t == nil || v.session != nil && d.sessions[v.session.key] != v.session {
			v.cancel()
			continue
		}
		v.endAt(t.Expires)
	}
}

// valid returns the token of the present tokens that has the text of t, if it has a right; nil if there is none. The
// caller has d.mu.
func (d *Door) valid(t *access.Token, right access.Right, now time.Time) *access.Token {
	t = d.tokens.Current(t)
	if t == nil || t.Expired(now) || !t.May(right) {
		return nil
	}
	return t
}

// Status is the counters of the door.
func (d *Door) Status() *herd.ConsoleStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &herd.ConsoleStatus{
		Denied: d.denied.Load(), LoginsRefused: d.loginsRefused.Load(), SignaturesRefused: d.signaturesRefused.Load(),
		Sessions: len(d.sessions),
	}
}

// Caller is who a request is.
type Caller struct {
	Name    string // of its token; "" if it has none
	Token   string // the token
	Session bool   // it has logged in
}

// The keys of a request's Caller and of Connection in its context.
type (
	callerKey     struct{}
	connectionKey struct{}
)

// Of returns who an admitted request is.
func Of(r *http.Request) Caller {
	c, _ := r.Context().Value(callerKey{}).(Caller)
	return c
}

// Connection returns a context for the rest of an admitted request that does not end with its token or its login, but only
// with its connection.
func Connection(r *http.Request) context.Context {
	if ctx, ok := r.Context().Value(connectionKey{}).(context.Context); ok {
		return ctx
	}
	return r.Context()
}

// caller is who a request is. All fields are zero if it shows no credentials.
type caller struct {
	token   *access.Token
	text    string // of the token
	session *session
	signed  bool // by the herd's secret
}

// Knock checks the Host of a request. Every request but one for Health needs that, whatever its path is.
func (d *Door) Knock(r *http.Request) *Refusal {
	refused := d.checkHost(r)
	d.note(r, refused)
	return refused
}

// Admit decides whether a request may do something. If so, it goes on as admitted, whose context ends when its token or
// its login does, and leave must be called when it has been answered.
func (d *Door) Admit(r *http.Request, want Right) (admitted *http.Request, leave func(), refused *Refusal) {
	if want == Health {
		return r, func() {}, nil
	}
	admitted, leave, refused = d.admit(r, want)
	d.note(r, refused)
	return admitted, leave, refused
}

func (d *Door) admit(r *http.Request, want Right) (*http.Request, func(), *Refusal) {
	if refused := checkOrigin(r); refused != nil || want == Enter {
		return r, func() {}, refused
	}
	c, refused := d.identify(r)
	if refused != nil {
		return r, nil, refused
	}
	right, refused := d.allow(r, c, want)
	if refused != nil || c.token == nil {
		return r, func() {}, refused
	}
	return d.enter(r, c, right)
}

// MayRead reports whether a request for Health may have details.
func (d *Door) MayRead(r *http.Request) bool {
	if d.checkHost(r) != nil {
		return false
	}
	c, refused := d.identify(r)
	if refused == nil {
		_, refused = d.allow(r, c, Console)
	}
	return refused == nil
}

// Open reports whether a request may read without credentials.
func (d *Door) Open(r *http.Request) bool { return d.open || isLocal(r) }

// bearer is the scheme of a token in the Authorization header.
const bearer = "Bearer "

// identify finds out who a request is.
func (d *Door) identify(r *http.Request) (c caller, refused *Refusal) {
	header := r.Header.Values("Authorization")
	switch {
	case len(header) == 0:
		return d.identifySession(r)
	case len(header) > 1:
		return c, wrong(kindToken, "there is more than one Authorization header")
	case access.IsSignature(header[0]):
		return d.identifySignature(r, header[0])
	case len(header[0]) <= len(bearer) || !strings.EqualFold(header[0][:len(bearer)], bearer):
		return c, wrong(kindToken, "the Authorization header must be: Bearer TOKEN")
	}
	text := strings.TrimSpace(header[0][len(bearer):])
	token, unused := d.find(text)
	switch {
	case unused:
		return c, nil
	case token == nil:
		return c, wrong(kindToken, "the token is unknown or has expired")
	}
	return caller{token: token, text: text}, nil
}

// find returns the token with a text; nil if there is none, or if it has expired. Unused reports that there is no file
// with tokens.
func (d *Door) find(text string) (t *access.Token, unused bool) {
	d.mu.Lock()
	ts := d.tokens
	d.mu.Unlock()
	if t = ts.Find([]byte(text)); t == nil || t.Expired(time.Now()) {
		return nil, ts == nil
	}
	return t, false
}

// identifySignature is identify for a question of another console.
func (d *Door) identifySignature(r *http.Request, header string) (c caller, refused *Refusal) {
	if len(d.secrets) == 0 {
		return c, nil
	}
	now := time.Now()
	nonce, err := access.Verify(d.secrets, access.Question{Server: d.name, Method: r.Method, Target: r.RequestURI}, header, now, now.Add(-now.Sub(d.started)))
	if err != nil {
		return c, wrong(kindSignature, err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if why := d.nonces.add(nonce, now); why != "" {
		return c, wrong(kindSignature, why)
	}
	return caller{signed: true}, nil
}

// allow decides whether who is known may do something. If that is by a right of its token, it is returned.
func (d *Door) allow(r *http.Request, c caller, want Right) (right access.Right, refused *Refusal) {
	ours := r.Header.Get("Origin") != "" // a page of this console, see checkOrigin
	switch want {
	case Console:
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if d.Open(r) || c.signed && reads {
			return 0, nil
		}
		right = access.Console
	case Profile:
		if isLocal(r) {
			return 0, nil
		}
		right = access.Operate
	case Operate:
		if isLocal(r) && ours {
			return 0, nil
		}
		right = access.Operate
	}
	switch {
	case c.token == nil && !c.signed:
		return 0, missing(right)
	case c.token == nil || !c.token.May(right):
		return 0, &Refusal{http.StatusForbidden, kindRight, "not allowed: this needs the right " + quote(right), nil}
	case c.session != nil && right == access.Operate && !ours:
		return 0, &Refusal{http.StatusForbidden, kindOrigin, "not allowed: with a cookie this needs the Origin of a page of this console", nil}
	}
	return right, nil
}

// visit is a request in progress that has a token.
type visit struct {
	caller
	right  access.Right // that it needs of its token
	cancel context.CancelFunc
	timer  *time.Timer // ends it with its token or its login; nil: never
}

// endAt ends the visit when its token expires, which is never if that is zero, or when its login ends.
func (v *visit) endAt(end time.Time) {
	if s := v.session; s != nil && (end.IsZero() || s.ends.Before(end)) {
		end = s.ends
	}
	if v.timer != nil {
		v.timer.Stop()
	}
	if !end.IsZero() {
		v.timer = time.AfterFunc(time.Until(end), v.cancel)
	}
}

// enter begins a visit, unless its token or its login has ended since it was looked up.
func (d *Door) enter(r *http.Request, c caller, right access.Right) (*http.Request, func(), *Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.valid(c.token, right, time.Now())
	if t == nil || c.session != nil && d.sessions[c.session.key] != c.session {
		return r, nil, wrong(kindToken, "the token is unknown or has expired")
	}
	known := Caller{Name: t.Name, Token: c.text, Session: c.session != nil}
	connection := context.WithValue(r.Context(), callerKey{}, known)
	ctx, cancel := context.WithCancel(context.WithValue(connection, connectionKey{}, connection))
	v := &visit{caller: c, right: right, cancel: cancel}
	v.endAt(t.Expires)
	d.visits[v] = struct{}{}
	return r.WithContext(ctx), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.visits, v)
		if v.timer != nil {
			v.timer.Stop()
		}
		cancel()
	}, nil
}
