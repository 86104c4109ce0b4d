package places

import (
	"context"
	"time"
)

// Payer is the client address on whose behalf a lookup is made. A provider that costs money charges the
// lookup to that address's share of the budget.
type Payer struct {
	Address string
	// Spent is set by the provider before Nearby returns if it rejected the lookup because this address has
	// used its share of the daily budget. The same lookup for another address may be accepted.
	Spent bool
	// Admitted is set by Admit: the first attempt need not wait for the rate limit.
	Admitted bool
}

// Paced is a Provider with a rate limit. Callers that queue lookups fairly call Admit before each Nearby,
// so that lookups wait in the caller's queue and not inside Nearby.
type Paced interface {
	Provider
	// Admit returns 0 if Nearby may be called for p now, because the rate limit allows it or because no
	// request would be sent; else the time after which to call Admit again. It does not block. A lookup
	// that times out before it is admitted may be passed to Nearby with that deadline; no request is sent
	// for it then.
	Admit(p *Payer) (wait time.Duration)
}

type payerKey struct{}

// WithPayer returns ctx for a lookup that is charged to p.
func WithPayer(ctx context.Context, p *Payer) context.Context {
	return context.WithValue(ctx, payerKey{}, p)
}

// PayerOf returns the payer of ctx. Without one it returns a payer without an address, to which no share
// applies.
func PayerOf(ctx context.Context) *Payer {
	if p, ok := ctx.Value(payerKey{}).(*Payer); ok {
		return p
	}
	return &Payer{}
}
