package places

import "context"

// Payer is the client address for which a question is asked. A provider that costs money counts the
// question as that address's.
type Payer struct {
	Address string
	// Spent is set by the provider, before Nearby returns, if the question was not asked because
	// this address has had its share of the day's budget. The same question of another address
	// may be.
	Spent bool
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
