package follow

import (
	"encoding/json"
	"time"

	"serverherd/protocol"
)

// Line is one line of /watch. Every line has Server, ID or Behind, or it is empty: {} comes when nothing else
// has, so that both sides notice when the other one is gone.
type Line struct {
	// The first line.
	Server string `json:"server,omitempty"`
	Tail   uint64 `json:"tail,omitempty"` // position of its feed: all updates behind it follow

	// An update.
	ID       string   `json:"id,omitempty"`     // escaped: safe for a terminal
	IDBase64 []byte   `json:"id_b64,omitempty"` // its bytes
	AT       string   `json:"at,omitempty"`     // the AT line, escaped
	Lat      *float64 `json:"lat,omitempty"`    // degrees, north positive
	Lng      *float64 `json:"lng,omitempty"`    // degrees, east positive
	Origin   string   `json:"origin,omitempty"` // the server that the client told
	// From is the neighbor that sent it. It is empty if a client of this server did, or if the neighbor's process is
	// not there any more.
	From    string    `json:"from,omitempty"`
	Applied time.Time `json:"applied,omitzero"` // by this server's clock
	// Took is Applied minus the origin's clock when it received the update, in seconds. So it contains the difference
	// between the two clocks.
	Took    *float64 `json:"took,omitempty"`
	Seq     uint64   `json:"seq,omitempty"`     // position in the feed
	Present bool     `json:"present,omitempty"` // it was there when the watching began

	// The reader was slow.
	Behind uint64 `json:"behind,omitempty"` // see Taken
	Lost   uint64 `json:"lost,omitempty"`
}

// appendLine returns an update as a line. Present updates have no Took: they may have come in a copy.
func appendLine(u Update, present bool) []byte {
	r := u.Record
	lat, lng := r.Position()
	l := Line{
		ID: protocol.Escape(r.Client()), IDBase64: r.Client(), AT: protocol.Escape(r.AppendAT(nil)),
		Lat: &lat, Lng: &lng, Origin: string(r.Origin()), From: u.From, Seq: u.Seq, Present: present,
	}
	if u.Applied != 0 {
		l.Applied = time.Unix(0, u.Applied).UTC()
		if received, ok := r.ReceivedAt(); ok && !present {
			took := l.Applied.Sub(received).Seconds()
			l.Took = &took
		}
	}
	return l.Append(nil)
}

// Append appends a line and LF.
func (l Line) Append(dst []byte) []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // a position is finite
	}
	return append(append(dst, text...), '\n')
}
