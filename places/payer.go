package places

import (
	"context"
	"time"
)

// Payer is the client address for which a question is asked. A provider that costs money counts the
// question as that address's.
type Payer struct {
	Address string
	// Spent is set by the provider, before Nearby returns, if the question was not asked because
	// this address has had its share of the day's budget. The same question of another address
	// may be.
	Spent bool
	// Admitted is set by Admit: the first attempt has had its turn of the rate.
	Admitted bool
}

// Paced is a Provider with a limited rate of questions. Its callers take turns among themselves, which
// they cannot do inside of Nearby. So before each Nearby they call Admit.
type Paced interface {
	Provider
	// Admit says after how long to call it again, 0 if Nearby may be called for p now: it is p's turn
	// of the rate, or nothing would be sent. It does not block. A question whose time is over before
	// it is admitted may be given to Nearby with that deadline: nothing is sent for it then.
	Admit(p *Payer) (wait time.Duration)
}

type payerKey struct{}

// WithPayer is ctx for a question that p pays for.
func WithPayer(ctx context.Context, p *Payer) context.Context {
	return context.WithValue(ctx, payerKey{}, p)
}

// PayerOf is who pays for the question of ctx. Of a question without a payer it is one without an
// address, which has no share and may spend all there is.
func PayerOf(ctx context.Context) *Payer {
	if p, ok := ctx.Value(payerKey{}).(*Payer); ok {
		return p
	}
	return &Payer{}
}
