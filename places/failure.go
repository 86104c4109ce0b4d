package places

import (
	"fmt"
	"time"
)

// FailureKind says what a failure means for whoever might ask again.
type FailureKind int

const (
	// Transient: the provider, or the way to it, is in trouble that may pass at once. Google's
	// UNKNOWN_ERROR, HTTP 5xx and 429, and whatever goes wrong with a connection.
	Transient FailureKind = iota
	// OverLimit: OVER_QUERY_LIMIT. Asking too fast, or an account without money.
	OverLimit
	// Denied: REQUEST_DENIED. The key is not valid for this; asking again does not make it so.
	Denied
	// Invalid: INVALID_REQUEST. The question is at fault and the provider is in good health.
	Invalid
	// Strange: an answer that is not understood. Nobody asks again, and it speaks against the
	// provider.
	Strange
)

// Failure is the error of a network provider. Immutable.
type Failure struct {
	Kind   FailureKind
	Status string // as Google names it; "" if there was none
	// Text is one short line for a client, without key or URL.
	Text       string
	RetryAfter time.Duration // the provider's wish before it is asked again; 0 for none
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// NoAnswer is the text of a failure for want of an answer within a time.
func NoAnswer(within time.Duration) string { return fmt.Sprintf("no answer within %v", within) }
