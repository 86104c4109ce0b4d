package places

import (
	"context"
	"encoding/json"
)

// Query asks for what lies around a position. Pure.
type Query struct {
	Lat, Lng float64 // degrees, north and east positive
	RadiusM  int     // metres, 0 to 50000
}

// Field is one member of a JSON object, kept as it came.
type Field struct {
	Name  string // as it stands between its quotes, escapes and all
	Value json.RawMessage
}

// Result is a Google Nearby Search answer: a JSON object whose members keep their order and, byte
// for byte, their values. Immutable once made; any goroutine may read it.
// https://developers.google.com/maps/documentation/places/web-service/search-nearby
type Result struct {
	Before  []Field           // members in front of "results", in order
	Results []json.RawMessage // the elements of "results", at most 20
	After   []Field           // members behind it
	Status  string            // the value of "status": OK, ZERO_RESULTS
	laidOut bool              // all values are indented as AppendJSON does it
}

// Provider answers queries. Nearby may block and is called off the loop, by any number of
// goroutines at once. Its error's text is fit to be shown to a client: one short line, without key
// or URL.
type Provider interface {
	Nearby(ctx context.Context, q Query) (Result, error)
}
