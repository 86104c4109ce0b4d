package sim

import (
	"strconv"
	"strings"
	"time"
)

// model is what the herd should contain: every record that a server made from a client's line. It does not use the herd's
// own parsers and comparisons, so that it can detect their mistakes.
type model struct {
	accepted map[string]*record // by the record's text
	clients  map[string]int     // number of each client id
	records  [][]*record        // of each client, in the order in which they were accepted
	servers  int
}

// record is one accepted update.
type record struct {
	text                               string // origin diff client coords time
	origin, diff, clientID, coords, at string
	whole, fraction                    string // of the time, without insignificant zeros
	client                             int
	first                              []arrival // by server: how it first arrived there
	held                               []int     // by server: the generation of the last process that stored it
}

// arrival is how a record came to a server's process.
type arrival struct {
	generation int    // of the process; 0: it did not arrive
	from       uint64 // the neighbor's epoch; 0: a client's line, or a disk
}

func newModel(servers int) *model {
	return &model{accepted: map[string]*record{}, clients: map[string]int{}, servers: servers}
}

// client returns the number of a client id.
func (m *model) client(id string) int {
	n, ok := m.clients[id]
	if !ok {
		n = len(m.records)
		m.clients[id] = n
		m.records = append(m.records, nil)
	}
	return n
}

// parse splits a record's text; nil if it does not have five fields.
func (m *model) parse(text string) *record {
	f := strings.Split(text, " ")
	if len(f) != 5 {
		return nil
	}
	r := &record{text: text, origin: f[0], diff: f[1], clientID: f[2], coords: f[3], at: f[4]}
	r.client = m.client(r.clientID)
	r.whole, r.fraction, _ = strings.Cut(r.at, ".")
	r.whole = strings.TrimLeft(r.whole, "0")
	r.fraction = strings.TrimRight(r.fraction, "0")
	r.first = make([]arrival, m.servers)
	r.held = make([]int, m.servers)
	return r
}

// accept adds a record.
func (m *model) accept(r *record) {
	m.accepted[r.text] = r
	m.records[r.client] = append(m.records[r.client], r)
}

// diffAt returns what the diff of r must be if its origin's clock was at now.
func (r *record) diffAt(now time.Time) string {
	seconds, _ := strconv.ParseInt("0"+r.whole, 10, 64)
	nanos, _ := strconv.ParseInt((r.fraction + "000000000")[:9], 10, 64)
	d := now.UnixNano() - seconds*1e9 - nanos
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	fraction := strconv.FormatInt(1e9+d%1e9, 10)[1:]
	return sign + strconv.FormatInt(d/1e9, 10) + "." + fraction
}

// compareTime compares decimals without insignificant zeros.
func (r *record) compareTime(o *record) int {
	if len(r.whole) != len(o.whole) {
		return len(r.whole) - len(o.whole)
	}
	if c := strings.Compare(r.whole, o.whole); c != 0 {
		return c
	}
	return strings.Compare(r.fraction, o.fraction)
}

// compare is the herd's order: by time, and to break ties by origin, the time's text, coords and diff.
func (r *record) compare(o *record) int {
	if r == o {
		return 0
	}
	if c := r.compareTime(o); c != 0 {
		return c
	}
	for _, pair := range [][2]string{
		{r.origin, o.origin}, {r.at, o.at}, {r.coords, o.coords}, {r.diff, o.diff},
	} {
		if c := strings.Compare(pair[0], pair[1]); c != 0 {
			return c
		}
	}
	return 0
}
