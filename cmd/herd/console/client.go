package console

import (
	"net/http"
	"time"

	"serverherd/cmd/herd/console/follow"
	"serverherd/herd"
	"serverherd/protocol"
)

// Record is where a client is, as one server has it: a line of /clients.ndjson, and a part of /client.json.
type Record struct {
	ClientID
	Coords string  `json:"coords"` // as the client wrote them
	Time   string  `json:"time"`   // likewise: POSIX seconds
	Lat    float64 `json:"lat"`    // degrees, north positive
	Lng    float64 `json:"lng"`    // degrees, east positive
	Origin string  `json:"origin"` // the server that the client told
	Diff   string  `json:"diff"`   // the origin's clock minus Time, in seconds, as the origin wrote it
	Seq    uint64  `json:"seq"`    // position in this server's feed
	// Applied is when this server stored the record, by its own clock.
	Applied time.Time `json:"applied"`
	// Source is "client", "neighbor", "journal" or "bucket". Neighbor is its name; it is absent if that process is not known any
	// more.
	Source   string `json:"source"`
	Neighbor string `json:"neighbor,omitempty"`
}

// ClientStatus is the answer of /client.json.
type ClientStatus struct {
	Server string    `json:"server"`
	Now    time.Time `json:"now"`
	Age    float64   `json:"age"` // Now minus the client's Time, in seconds
	AT     string    `json:"at"`  // the AT line, escaped like ID
	Record
}

// record is a copied record as it is sent.
func record(u follow.Update) Record {
	r := u.Record
	lat, lng := r.Position()
	return Record{
		ClientID: clientID(r.Client()), Coords: string(r.Coords()), Time: string(r.Time()),
		Lat: lat, Lng: lng, Origin: string(r.Origin()), Diff: string(r.Diff()),
		Seq: u.Seq, Applied: time.Unix(0, u.Applied).UTC(), Source: u.Source, Neighbor: u.Neighbor,
	}
}

// client is /client.json?id=: one client's record.
func (c *console) client(w http.ResponseWriter, r *http.Request) {
	id, ok := onlyID(w, r)
	if !ok {
		return
	}
	type result struct {
		follow.Update
		server string
		known  bool
	}
	got, ok := fromLoop(c, w, r, func(srv *herd.Server) (got result) {
		item, known := srv.Store().Lookup(id)
		if known {
			got.Update = follow.Copy(item, srv.Source)
		}
		got.server, got.known = srv.Name(), known
		return got
	})
	switch {
	case !ok:
	case !got.known:
		fail(w, http.StatusNotFound, got.server+" does not know "+protocol.Printable(id))
	default:
		now := time.Now().UTC()
		c.answer(w, r, ClientStatus{
			Server: got.server, Now: now, Age: now.Sub(got.Record.Stamp().Time()).Seconds(),
			AT: protocol.Escape(got.Record.AppendAT(nil)), Record: record(got.Update),
		})
	}
}
