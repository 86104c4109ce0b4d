package google

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"serverherd/places"
)

func transient(text string) error { return &places.Failure{Kind: places.Transient, Text: text} }

func strange(text string) error { return &places.Failure{Kind: places.Strange, Text: text} }

// kinds maps the statuses of the legacy API.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby#PlacesSearchStatus
var kinds = map[string]places.FailureKind{
	"OVER_QUERY_LIMIT": places.OverLimit,
	"REQUEST_DENIED":   places.Denied,
	"INVALID_REQUEST":  places.Invalid,
	"UNKNOWN_ERROR":    places.Transient,
	"NOT_FOUND":        places.Strange,
}

// statusFailure is the error for a status other than OK and ZERO_RESULTS. An unknown status is not quoted,
// so that its text does not get into replies and logs.
func statusFailure(status string, wait time.Duration) error {
	kind, known := kinds[status]
	if !known {
		return strange("unknown status in the answer")
	}
	return &places.Failure{
		Kind: kind, Status: status, Text: "the answer was " + status, RetryAfter: wait,
	}
}

// unexpected is the error for an HTTP status other than 200 without further information.
func unexpected(r reply) error {
	f := &places.Failure{
		Kind: places.Strange, Text: fmt.Sprintf("the answer was HTTP %d", r.code), RetryAfter: r.wait,
	}
	switch {
	case r.code == http.StatusUnauthorized, r.code == http.StatusForbidden:
		f.Kind = places.Denied
	case r.code == http.StatusTooManyRequests, r.code >= 500:
		f.Kind = places.Transient
	}
	return f
}

// longestRetryAfter limits Retry-After headers.
const longestRetryAfter = 24 * time.Hour

// retryAfter parses a Retry-After header: seconds or a time (RFC 9110, section 10.2.3). It returns 0 if
// there is none or it is invalid.
func retryAfter(text string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, int(longestRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = time.Until(at)
	}
	return max(0, min(wait, longestRetryAfter))
}
