package places

import (
	"context"
	"encoding/json"
)

// Query asks for places around a position.
type Query struct {
	Lat, Lng float64 // degrees, north and east positive
	RadiusM  int     // meters, 0 to 50000
}

// Field is one member of a JSON object, unchanged.
type Field struct {
	Name  string // without its quotes, with its escapes
	Value json.RawMessage
}

// Result is a Google Nearby Search answer: a JSON object whose members keep their order and, byte for byte,
// their values. Immutable; any goroutine may read it.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby
type Result struct {
	Before  []Field           // members before "results", in order
	Results []json.RawMessage // the elements of "results", at most 20
	After   []Field           // members after it
	Status  string            // the value of "status": OK, ZERO_RESULTS
	laidOut bool              // all values are indented as by AppendJSON
}

// Provider answers queries. Nearby may block and is called outside the loop, by any number of goroutines
// concurrently. The text of its error may be sent to a client: one short line, without key or URL.
type Provider interface {
	Nearby(ctx context.Context, q Query) (Result, error)
}
