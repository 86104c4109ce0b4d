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

// kinds are the statuses that both APIs speak of, the newer one in other words.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby#PlacesSearchStatus
var kinds = map[string]places.FailureKind{
	"OVER_QUERY_LIMIT": places.OverLimit,
	"REQUEST_DENIED":   places.Denied,
	"INVALID_REQUEST":  places.Invalid,
	"UNKNOWN_ERROR":    places.Transient,
	"NOT_FOUND":        places.Strange,
}

// refusal is an answer with a status other than OK and ZERO_RESULTS. What a stranger put there
// does not get into replies and logs.
func refusal(status string, wait time.Duration) error {
	kind, known := kinds[status]
	if !known {
		return strange("the answer was an unknown status")
	}
	return &places.Failure{
		Kind: kind, Status: status, Text: "the answer was " + status, RetryAfter: wait,
	}
}

// unexpected is an answer with another HTTP status than 200 and nothing that explains it.
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

// longestRetryAfter bounds what a stranger may ask for: nobody waits that long anyway.
const longestRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name: seconds, or a time. 0 if there is none that makes sense.
// RFC 9110, section 10.2.3.
func retryAfter(text string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, int(longestRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = time.Until(at)
	}
	return max(0, min(wait, longestRetryAfter))
}
