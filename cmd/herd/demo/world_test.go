package demo

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"serverherd/protocol"
)

// corners are places at which an arithmetic of positions goes wrong.
var corners = []Point{{90, 0}, {-90, 180}, {0, 180}, {0, -180}, {12.5, 179.99999}, {12.5, -179.99999}, {0, 0}, {51.5, -0.000001}}

// small returns a world of 100 clients, 200 updates a second and 5 servers.
func small(seed uint64) *World {
	return New(Options{Clients: 100, Rate: 200, Servers: 5, Seed: seed, Airports: corners, Cities: corners})
}

// until collects the updates until a time, in steps of 5 ms.
func until(w *World, end time.Duration) (all []Update) {
	for now := time.Duration(0); now <= end; now += 5 * time.Millisecond {
		w.Until(now, func(u Update) { all = append(all, u) })
	}
	return all
}

func TestIDs(t *testing.T) {
	for k, want := range map[int]string{0: "demo/KLM1000", 1: "demo/DLH1000", 2: "demo/AFR1000", 3: "demo/BUS1000", 4: "demo/BAW1000",
		7: "demo/BUS1001", 127: "demo/BUS1031", 128: "demo/KLM1003", 999_999: "demo/BUS250999"} {
		if got := string(AppendID(nil, k)); got != want {
			t.Errorf("client %d is %s, want %s", k, got, want)
		}
	}
	seen := map[string]bool{}
	for k := range 100_000 {
		id := AppendID(nil, k)
		if err := protocol.CheckClientID(id); err != nil || seen[string(id)] {
			t.Fatalf("client %d is %q: %v, seen before: %v", k, id, err, seen[string(id)])
		}
		seen[string(id)] = true
	}
}

// Every update is a valid IAMAT, newer than the client's last one.
func TestLines(t *testing.T) {
	begun := time.Date(2018, 3, 2, 20, 52, 14, 918963997, time.UTC)
	u := Update{Client: 0, At: Point{34.06893, -118.445127}, Due: 81036 * time.Microsecond}
	if got, want := string(u.Append(nil, begun)), "IAMAT demo/KLM1000 +34.06893-118.44513 1520023934.999999"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	last := map[int]string{}
	var line []byte
	for _, u := range until(small(1), 3*time.Minute) {
		line = u.Append(line[:0], begun)
		f := bytes.Fields(line)
		if len(f) != 4 || !bytes.Equal(f[1], AppendID(nil, u.Client)) {
			t.Fatalf("%q", line)
		}
		if _, _, ok := protocol.ParsePosition(f[2]); !ok {
			t.Errorf("%q: no position", line)
		}
		if at := string(f[3]); at <= last[u.Client] {
			t.Errorf("%q after %s", line, last[u.Client])
		} else {
			last[u.Client] = at
		}
	}
	if len(last) != 100 {
		t.Errorf("%d clients", len(last))
	}
}

// Updates are due at the rate, in the order of the clients, and in addition there are bursts of a second's updates.
func TestRateAndBursts(t *testing.T) {
	const rate, length = 200, 200
	w := small(2)
	n, bursts, client := 0, 0, 0
	for now := time.Duration(0); now < length*time.Second; now += 5 * time.Millisecond {
		before := n
		w.Until(now, func(u Update) {
			if u.Due == now-now%(time.Second/rate) {
				if u.Client != client%100 {
					t.Fatalf("update of %d, want %d", u.Client, client%100)
				}
				client++
			}
			n++
		})
		if n-before > 2 {
			if bursts++; n-before != 101 { // all clients, and one in its turn
				t.Errorf("a burst of %d", n-before)
			}
		}
	}
	if client != rate*length || n != client+100*bursts || bursts < length/45 || bursts > length/15 {
		t.Errorf("%d updates, %d in turn, %d bursts", n, client, bursts)
	}
}

// A trip begins where the last one ended and takes 20 to 90 seconds. A plane is back at its hub after two.
func TestTrips(t *testing.T) {
	w := small(3)
	before := make([]traveller, 100)
	trips := 0
	for now := time.Duration(0); now < 10*time.Minute; now += 5 * time.Millisecond {
		w.Until(now, func(u Update) {
			old, is := before[u.Client], w.travellers[u.Client]
			if is.takes < minTrip || is.takes > maxTrip || now > is.begun+is.takes {
				t.Fatalf("a trip of %v, begun at %v", is.takes, is.begun)
			}
			if is.trips == old.trips {
				return
			}
			before[u.Client] = is
			trips++
			if hub := airlines[airlineOf(u.Client)].hub; !isBus(u.Client) && is.trips%2 == 0 && is.to != hub {
				t.Errorf("trip %d of client %d ends at %v, not at the hub", is.trips, u.Client, is.to)
			}
			if old.trips == 0 {
				if is.begun > u.Due {
					t.Errorf("the first trip begins at %v", is.begun)
				}
				return
			}
			if is.begun != old.begun+old.takes || NewPath(is.path.At(0), old.to).angle > 1e-6 {
				t.Errorf("a trip begins at %v, %v after one to %v at %v", is.path.At(0), is.begun, old.to, old.begun+old.takes)
			}
		})
	}
	if trips < 100*600/90 {
		t.Errorf("%d trips", trips)
	}
}

// Clients have a server of their own, and make one trip of eight or so at any one.
func TestServers(t *testing.T) {
	w := small(4)
	at, away := make([]int, 5), 0
	all := until(w, 10*time.Minute)
	for _, u := range all {
		at[u.Server]++
		if u.Server != w.home(u.Client) {
			away++
		}
	}
	for _, n := range at {
		if n < len(all)/10 {
			t.Errorf("updates by server: %v", at)
			break
		}
	}
	if share := float64(away) / float64(len(all)); share < 0.05 || share > 0.15 {
		t.Errorf("%.3f of the updates are not at the client's own server", share)
	}
}

// The seed determines everything, however the calls of Until are spaced.
func TestSeed(t *testing.T) {
	a, b, c := until(small(5), 2*time.Minute), []Update(nil), until(small(6), 2*time.Minute)
	w := small(5)
	for now := time.Duration(0); now <= 2*time.Minute; now += 500 * time.Millisecond {
		w.Until(now, func(u Update) { b = append(b, u) })
	}
	if !slices.Equal(a, b) {
		t.Error("the same seed, and other updates")
	}
	if len(a) == len(c) && slices.Equal(a, c) {
		t.Error("another seed, and the same updates")
	}
}

// A demo that was stopped for a day continues: it does not send the updates of a day.
func TestSuspension(t *testing.T) {
	w := small(7)
	until(w, time.Second)
	n := 0
	w.Until(24*time.Hour, func(u Update) {
		n++
		if is := w.travellers[u.Client]; u.Due < is.begun || u.Due > is.begun+is.takes {
			t.Errorf("an update at %v on a trip from %v on that takes %v", u.Due, is.begun, is.takes)
		}
	})
	if n < 200 || n > 302 {
		t.Errorf("%d updates", n)
	}
	// One client that reports every 100 s is on a trip, too.
	w = New(Options{Clients: 100, Rate: 1, Servers: 1, Airports: corners, Cities: corners})
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		w.Until(now, func(u Update) {
			if is := w.travellers[u.Client]; u.Due < is.begun || u.Due > is.begun+is.takes {
				t.Errorf("an update at %v on a trip from %v on that takes %v", u.Due, is.begun, is.takes)
			}
		})
	}
}

// The embedded data have what the demo needs: planes and buses all over the world.
func TestEmbedded(t *testing.T) {
	airports, cities, err := Embedded()
	if err != nil || len(airports) < 1000 || len(cities) < 10_000 {
		t.Fatalf("%d airports, %d cities, %v", len(airports), len(cities), err)
	}
	w := New(Options{Clients: 2000, Rate: 2000, Servers: 5, Seed: 1, Airports: airports, Cities: cities})
	var quadrants [4]int
	w.Until(time.Second, func(u Update) {
		i := 0
		if u.At.Lat < 0 {
			i = 2
		}
		if u.At.Lng < 0 {
			i++
		}
		quadrants[i]++
	})
	for _, n := range quadrants {
		if n < 50 {
			t.Errorf("clients by quadrant: %v", quadrants)
			break
		}
	}
	for _, a := range airlines {
		if !slices.ContainsFunc(airports, func(p Point) bool { return math.Abs(p.Lat-a.hub.Lat) < 0.1 && math.Abs(p.Lng-a.hub.Lng) < 0.1 }) {
			t.Errorf("there is no airport at the hub of %s", a.code)
		}
	}
}
