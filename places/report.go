package places

import "time"

// Report is the status of a provider. Its JSON names are stable.
type Report struct {
	Provider string         `json:"provider"` // as herd.toml names it
	Network  *NetworkReport `json:"network,omitempty"`
	File     *FileReport    `json:"file,omitempty"`
}

// FileReport is the status of a places file.
type FileReport struct {
	Path    string    `json:"path"`
	Places  int       `json:"places"`
	Skipped int       `json:"skipped"` // places without a name or a position, see FileOptions.Lenient
	Read    time.Time `json:"read"`
	// Refused is when a reload failed since Read, and Error is why.
	Refused *time.Time `json:"refused,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// States of the circuit breakers, see NetworkReport.Breaker.
const (
	BreakerClosed   = "closed"
	BreakerOpen     = "open"
	BreakerRefused  = "refused"
	BreakerHalfOpen = "half-open"
)

// BreakerStates are all of them.
var BreakerStates = []string{BreakerClosed, BreakerOpen, BreakerRefused, BreakerHalfOpen}

// NetworkReport has the counters of a network provider since the process started.
type NetworkReport struct {
	// Breaker is the state of the circuit breakers: closed, open (the provider keeps failing), refused (it
	// rejects the API key), or half-open (one attempt tests whether it has recovered).
	Breaker  string `json:"breaker"`
	Attempts uint64 `json:"attempts"` // requests sent; each may cost money
	Retries  uint64 `json:"retries"`  // attempts that repeat a failed one

	Transient uint64 `json:"transient"`  // attempts that failed, by FailureKind
	OverLimit uint64 `json:"over_limit"` // likewise
	Denied    uint64 `json:"denied"`     // likewise
	Invalid   uint64 `json:"invalid"`    // likewise
	Strange   uint64 `json:"strange"`    // likewise

	RateWaits      uint64 `json:"rate_waits"`      // attempts that waited for the rate limit
	RateRefused    uint64 `json:"rate_refused"`    // lookups rejected because the wait would have exceeded their deadline
	BudgetRefused  uint64 `json:"budget_refused"`  // lookups rejected by the daily budget
	ShareRefused   uint64 `json:"share_refused"`   // lookups rejected by a client address's share of it
	BreakerOpened  uint64 `json:"breaker_opened"`  // times that a breaker opened
	BreakerRefused uint64 `json:"breaker_refused"` // lookups rejected by an open breaker
	Fallbacks      uint64 `json:"fallbacks"`       // lookups answered by the fallback

	Budget BudgetReport `json:"budget"`
}

// BudgetReport is the state of the daily budget.
type BudgetReport struct {
	Day   string `json:"day"`   // in UTC, such as 2026-11-23
	Spent int    `json:"spent"` // attempts of all processes that use the same file
	Limit int    `json:"limit"`
	// Error is why attempts cannot be counted, and therefore are not made.
	Error string `json:"error,omitempty"`
	// Restored is how many times the file was removed, replaced or truncated, and was restored.
	Restored uint64 `json:"restored"`
}
