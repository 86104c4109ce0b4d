package view

import (
	"serverherd/herd"
	"serverherd/herd/config"
)

// Direction is a link from one server to a neighbor. Its strings may be those of whatever answered at a console's
// address.
type Direction struct {
	From, To string
	State    Text
	Behind   uint64  // records of From's feed that To may lack; 0 if From did not answer
	TLS      bool    // it is up, over TLS
	Sent     *uint64 // AT lines since From's process started; nil if From did not answer
}

// Directions are the links between the servers of herd.toml, two for each pair of neighbors, in the order of herd.toml.
func (h *Herd) Directions(servers []config.Server) (links []Direction) {
	for _, s := range servers {
		for _, to := range s.Neighbors {
			links = append(links, h.direction(s.Name, to))
		}
	}
	return links
}

// OverTLS reports whether a link is up, and over TLS.
func OverTLS(l *herd.LinkStatus) bool {
	return l.TLS && (l.State == herd.LinkLive || l.State == herd.LinkCopying)
}

func (h *Herd) direction(from, to string) Direction {
	d := Direction{From: from, To: to}
	sender, receiver := h.Status(from), h.Status(to)
	switch {
	case sender != nil:
		l := sender.Link(to)
		if l == nil {
			l = &herd.LinkStatus{}
		}
		d.Behind, d.Sent, d.TLS = h.Lag(sender, l), &l.ATSent, OverTLS(l)
		d.State = sending(*l, d.Behind, receiver != nil && float64(d.Behind) <= h.growth(sender))
	case receiver == nil:
		d.State = Text{Unknown, "unknown: neither server answers"}
	case receiver.Link(from) != nil && receiver.Link(from).Receiving:
		d.State = Text{Notice, "connected, says " + to}
	default:
		d.State = Text{Bad, "not connected, says " + to}
	}
	return d
}

// sending is the state of a link to a neighbor. Busy: the neighbor answers, and lacks no more than has just come.
func sending(l herd.LinkStatus, behind uint64, busy bool) Text {
	switch l.State {
	case "live":
		if behind > 0 && !busy {
			return Text{Notice, Count(behind) + " behind"}
		}
		return Text{Good, "live"}
	case "plain":
		return Text{Unknown, "legacy neighbor"}
	case "copying":
		return Text{Notice, "copying"}
	case "dialling", "greeting":
		return Text{Notice, "connecting"}
	case "":
		return Text{Bad, "not in its herd.toml"}
	}
	return Text{Bad, join(": ", l.State, l.Error)}
}
