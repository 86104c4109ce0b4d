package door

import (
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/herd/access"
)

// Refusal says why a request may not go on.
type Refusal struct {
	Status int    // of HTTP: 401 if credentials are missing or wrong, 403 if they are not enough
	Kind   string // for the log
	Text   string // for who asks: what to do
	Cookie *http.Cookie
}

// The kinds of refusals.
const (
	kindHost      = "host"
	kindOrigin    = "origin"
	kindMissing   = "no credentials"
	kindRight     = "right"
	kindToken     = "token"
	kindSession   = "session"
	kindSignature = "signature"
	kindLogin     = "login"
)

func wrong(kind, why string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Kind: kind, Text: why}
}

// missing is the refusal of a request without credentials.
func missing(right access.Right) *Refusal {
	return wrong(kindMissing, "not allowed from there without a token: send the header Authorization: Bearer TOKEN, "+
		"with a token of clients.tokens that has the right "+quote(right)+", or log in on the page")
}

func quote(right access.Right) string { return strconv.Quote(right.String()) }

// Challenge is the WWW-Authenticate header of a refusal with status 401.
func (f *Refusal) Challenge() string {
	if f.Kind == kindMissing {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

// noted is what is logged once in herd.RefusalPause.
type noted struct{ kind, address string }

// note counts a refusal, and logs it if none of that kind and address was logged lately.
func (d *Door) note(r *http.Request, f *Refusal) {
	if f == nil {
		return
	}
	switch f.Kind {
	case kindLogin:
		d.loginsRefused.Add(1)
	case kindSignature:
		d.signaturesRefused.Add(1)
	default:
		d.denied.Add(1)
	}
	one := noted{f.Kind, herd.ClientAddress(r.RemoteAddr)}
	if d.mayLog(one) {
		d.log.Warn("console request refused", zap.String("kind", one.kind), zap.String("from", one.address),
			zap.String("reason", f.Text))
	}
}

func (d *Door) mayLog(one noted) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.noted[one]; ok && now.Sub(last) < herd.RefusalPause {
		return false
	}
	if len(d.noted) >= herd.RefusalsNoted && now.Sub(d.swept) >= time.Second {
		d.swept = now
		for other, last := range d.noted {
			if now.Sub(last) >= herd.RefusalPause {
				delete(d.noted, other)
			}
		}
	}
	if len(d.noted) >= herd.RefusalsNoted {
		return false
	}
	d.noted[one] = now
	return true
}
