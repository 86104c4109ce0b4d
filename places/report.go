package places

import "time"

// Report is what a provider says of itself. Its JSON names are stable.
type Report struct {
	Provider string         `json:"provider"` // as herd.toml names it
	Network  *NetworkReport `json:"network,omitempty"`
	File     *FileReport    `json:"file,omitempty"`
}

// FileReport is what a places file held when it was last read in good order.
type FileReport struct {
	Path    string    `json:"path"`
	Places  int       `json:"places"`
	Skipped int       `json:"skipped"` // places without a name or a position, see FileOptions.Lenient
	Read    time.Time `json:"read"`
	// Refused is when it was read since and not taken, and Error why.
	Refused *time.Time `json:"refused,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// NetworkReport is what has become of the questions to a network provider since the process started.
type NetworkReport struct {
	// Breaker is closed, or open (the provider keeps failing), refused (it does not take the key),
	// or half-open, when one attempt shall show whether that is over.
	Breaker  string `json:"breaker"`
	Attempts uint64 `json:"attempts"` // requests sent, each of which may cost money
	Retries  uint64 `json:"retries"`  // attempts that repeat one that failed

	Transient uint64 `json:"transient"`  // attempts that failed, by FailureKind
	OverLimit uint64 `json:"over_limit"` // likewise
	Denied    uint64 `json:"denied"`     // likewise
	Invalid   uint64 `json:"invalid"`    // likewise
	Strange   uint64 `json:"strange"`    // likewise

	RateWaits      uint64 `json:"rate_waits"`      // attempts that waited for their turn
	RateRefused    uint64 `json:"rate_refused"`    // lookups whose turn would have come too late
	BudgetRefused  uint64 `json:"budget_refused"`  // lookups beyond the day's budget
	ShareRefused   uint64 `json:"share_refused"`   // lookups beyond the share of a client address in it
	BreakerOpened  uint64 `json:"breaker_opened"`  // times
	BreakerRefused uint64 `json:"breaker_refused"` // lookups
	Fallbacks      uint64 `json:"fallbacks"`       // lookups answered from other data

	Budget BudgetReport `json:"budget"`
}

// BudgetReport is how much of a day's attempts are spent.
type BudgetReport struct {
	Day   string `json:"day"`   // UTC, as 2026-11-23
	Spent int    `json:"spent"` // by all processes that count in the same file
	Limit int    `json:"limit"`
	// Error is why attempts cannot be counted at the moment, and so are not made.
	Error string `json:"error,omitempty"`
	// Restored is how many times the file was found removed, replaced or truncated and was made again.
	Restored uint64 `json:"restored"`
}
