package places

import (
	"fmt"
	"time"
)

// FailureKind classifies failures by whether a retry makes sense.
type FailureKind int

const (
	// Transient: a temporary error of the provider or the network; a retry may succeed. Google's
	// UNKNOWN_ERROR, HTTP 5xx and 429, and all connection errors.
	Transient FailureKind = iota
	// OverLimit: OVER_QUERY_LIMIT. The request rate or the quota is exceeded, or billing is off.
	OverLimit
	// Denied: REQUEST_DENIED. The API key is not valid for this request. Not retried.
	Denied
	// Invalid: INVALID_REQUEST. The request is invalid; this is not a failure of the provider.
	Invalid
	// Strange: an unexpected answer. Not retried; counts as a failure of the provider.
	Strange
)

// Failure is the error of a network provider. Immutable.
type Failure struct {
	Kind   FailureKind
	Status string // as Google names it; "" if there was none
	// Text is one short line for clients, without key or URL.
	Text       string
	RetryAfter time.Duration // from the provider's Retry-After; 0 if there is none
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// NoAnswer is the text of a failure by timeout.
func NoAnswer(within time.Duration) string { return fmt.Sprintf("no answer within %v", within) }
