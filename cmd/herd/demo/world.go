// Package demo is a model of clients that travel over the world, to have something to look at: planes between airports
// and buses between cities, all along great circles, and each at one server of a herd and now and then at another. It
// is pure: time comes from the caller, and chance from a seed.
package demo

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"serverherd/places"
)

// Durations and shares of the model.
const (
	minTrip   = 20 * time.Second // whatever the distance
	maxTrip   = 90 * time.Second
	minCalm   = 15 * time.Second // between two bursts
	maxCalm   = 45 * time.Second
	maxBehind = time.Second // updates that have been due for longer are left out
	visits    = 8           // one trip of so many is made at another server than the client's own
	busOf     = 4           // one client of so many is a bus
)

// Options describe a World.
type Options struct {
	Clients  int     // at least 1
	Rate     float64 // updates per second of all clients, up to 100,000
	Servers  int     // at least 1
	Seed     uint64
	Airports []Point // at least 2
	Cities   []Point // at least 2
}

// Update is a client's report of its position.
type Update struct {
	Client int
	At     Point
	Server int           // from 0 to Options.Servers - 1
	Due    time.Duration // since the beginning; no two updates of a client have the same
}

// World is a model. One goroutine at a time.
type World struct {
	o          Options
	travellers []traveller
	interval   time.Duration // between two updates
	next       time.Duration // when the next update is due
	client     int           // of the next update
	burst      time.Duration // when the next burst is due
	chance     *rand.Rand    // of bursts
}

// traveller is a client. Everything about trip n of client k follows from the seed, k and n.
type traveller struct {
	trips  uint32 // begun so far
	to     Point
	path   Path
	begun  time.Duration
	takes  time.Duration
	server int
}

// Embedded returns the airports with scheduled service and the cities of the embedded data.
func Embedded() (airports, cities []Point, err error) {
	index, err := places.NewEmbedded(places.ByClass)
	if err != nil {
		return nil, nil, err
	}
	for p := range index.All() {
		at := Point{float64(p.Lat) / 1e5, float64(p.Lng) / 1e5}
		switch p.Kind {
		case places.Airport:
			airports = append(airports, at)
		case places.Locality:
			cities = append(cities, at)
		}
	}
	return airports, cities, nil
}

// New returns a world in which all clients are on their way.
func New(o Options) *World {
	w := &World{
		// #nosec G404 -- one seed is one world
		o: o, travellers: make([]traveller, o.Clients), chance: rand.New(rand.NewPCG(o.Seed, 1<<63)),
		interval: max(1, time.Duration(float64(time.Second)/o.Rate)),
	}
	w.burst = between(w.chance, minCalm, maxCalm)
	return w
}

// Until calls send for each update that is due, in the order in which they are due. A burst is as many updates as
// otherwise in a second, of as many clients, at once.
func (w *World) Until(elapsed time.Duration, send func(Update)) {
	w.next = max(w.next, elapsed-maxBehind)
	for ; w.next <= elapsed; w.next += w.interval {
		if w.next >= w.burst {
			first := w.chance.IntN(w.o.Clients)
			for k := range min(w.o.Clients, int(time.Second/w.interval)) {
				send(w.update((first+k)%w.o.Clients, w.next-w.interval/2)) // between two others
			}
			w.burst = w.next + between(w.chance, minCalm, maxCalm)
		}
		send(w.update(w.client, w.next))
		w.client = (w.client + 1) % w.o.Clients
	}
}

// update moves a client to where it is at a time.
func (w *World) update(k int, now time.Duration) Update {
	t := &w.travellers[k]
	if t.trips == 0 || now >= t.begun+t.takes {
		w.depart(k, now)
	}
	return Update{k, t.path.At(float64(now-t.begun) / float64(t.takes)), t.server, now}
}

// depart begins a client's next trip: at the arrival of the last one, unless the client has not reported for longer
// than a trip takes. The first one is already under way.
func (w *World) depart(k int, now time.Duration) {
	t := &w.travellers[k]
	// #nosec G404 -- one seed is one world
	chance := rand.New(rand.NewPCG(w.o.Seed, uint64(k)<<32|uint64(t.trips)))
	arrived := t.begun + t.takes
	t.takes = between(chance, minTrip, maxTrip)
	from := t.to
	if t.trips == 0 {
		arrived = now - time.Duration(chance.Float64()*float64(t.takes))
		from = w.begin(k, chance)
	}
	t.begun = max(arrived, now-minTrip)
	if t.trips == 0 {
		t.begun = arrived
	}
	t.to = w.destination(k, chance, from, t.trips)
	t.path = NewPath(from, t.to)
	t.server = w.home(k)
	if chance.IntN(visits) == 0 {
		t.server = chance.IntN(w.o.Servers)
	}
	t.trips++
}

// begin is where a client's first trip begins.
func (w *World) begin(k int, chance *rand.Rand) Point {
	if isBus(k) {
		return one(chance, w.o.Cities)
	}
	return airlines[airlineOf(k)].hub
}

// destination is where a trip ends. A plane flies from its airline's hub to an airport and back. A bus goes to a city
// that is not far.
func (w *World) destination(k int, chance *rand.Rand, from Point, trip uint32) Point {
	switch {
	case isBus(k):
		return nearest(chance, w.o.Cities, from, 256)
	case trip%2 == 1:
		return airlines[airlineOf(k)].hub
	}
	return nearest(chance, w.o.Airports, from, 1+chance.IntN(4))
}

// nearest returns the nearest of n random points that are elsewhere.
func nearest(chance *rand.Rand, all []Point, from Point, n int) (best Point) {
	least := -1.0
	for range n {
		p := one(chance, all)
		if d := places.Distance(from.Lat, from.Lng, p.Lat, p.Lng); d > 0 && (least < 0 || d < least) {
			best, least = p, d
		}
	}
	if least < 0 {
		return one(chance, all)
	}
	return best
}

func one(chance *rand.Rand, all []Point) Point { return all[chance.IntN(len(all))] }

func between(chance *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(chance.Int64N(int64(most-least)+1))
}

// home is a client's own server.
//
// #nosec G104 G115 -- a hash returns no error; there is at least one server, and at most hundreds
func (w *World) home(k int) int {
	h := fnv.New32a()
	h.Write(AppendID(nil, k))
	return int(h.Sum32() % uint32(w.o.Servers))
}

func isBus(k int) bool { return k%busOf == busOf-1 }

// plane numbers the clients that are planes.
func plane(k int) int { return k/busOf*(busOf-1) + k%busOf }

func airlineOf(k int) int { return plane(k) % len(airlines) }

// AppendID appends the id of client k, such as demo/KLM1023. It does not depend on the seed: a later demo moves the
// same clients.
func AppendID(dst []byte, k int) []byte {
	dst = append(dst, Prefix...)
	if isBus(k) {
		return strconv.AppendInt(append(dst, "BUS"...), int64(1000+k/busOf), 10)
	}
	return strconv.AppendInt(append(dst, airlines[airlineOf(k)].code...), int64(1000+plane(k)/len(airlines)), 10)
}

// Prefix is the beginning of all ids.
const Prefix = "demo/"

// Append appends the IAMAT of an update without its LF. Begun is the time at which the demo began.
func (u Update) Append(dst []byte, begun time.Time) []byte {
	dst = append(AppendID(append(dst, "IAMAT "...), u.Client), ' ')
	at := begun.Add(u.Due)
	return fmt.Appendf(dst, "%+.5f%+.5f %d.%06d", u.At.Lat, u.At.Lng, at.Unix(), at.Nanosecond()/1000)
}
