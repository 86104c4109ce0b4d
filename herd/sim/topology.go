package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"serverherd/herd/config"
)

// topology is the graph of neighbors.
type topology struct {
	name    string
	servers []config.Server
	edges   int
	cells   int // servers in the first of two herds; 0: there is one
}

// drawTopology draws a topology: half of them are the paper's ring of five.
func drawTopology(r *rand.Rand) topology {
	switch r.IntN(12) {
	case 0:
		return line(2 + r.IntN(6))
	case 1:
		return star(3 + r.IntN(5))
	case 2:
		return mesh(3 + r.IntN(4))
	case 3:
		return random(r, 3+r.IntN(18))
	case 4:
		return ring(3 + r.IntN(5))
	}
	return ring(5)
}

// newTopology returns n servers without neighbors. Some names are prefixes of others, so that a line that is cut off within
// a name is still a valid line.
func newTopology(kind string, n int) topology {
	t := topology{name: fmt.Sprintf("%s of %d", kind, n)}
	for i := range n {
		name := fmt.Sprintf("S%d", i)
		t.servers = append(t.servers, config.Server{Name: name, Address: name + ":1"})
	}
	return t
}

func (t *topology) join(a, b int) {
	t.servers[a].Neighbors = append(t.servers[a].Neighbors, t.servers[b].Name)
	t.servers[b].Neighbors = append(t.servers[b].Neighbors, t.servers[a].Name)
	t.edges++
}

func line(n int) topology {
	t := newTopology("line", n)
	for i := range n - 1 {
		t.join(i, i+1)
	}
	return t
}

func ring(n int) topology {
	t := line(n)
	t.name = fmt.Sprintf("ring of %d", n)
	t.join(n-1, 0)
	return t
}

func star(n int) topology {
	t := newTopology("star", n)
	for i := 1; i < n; i++ {
		t.join(0, i)
	}
	return t
}

func mesh(n int) topology {
	t := newTopology("mesh", n)
	for i := range n {
		for j := range i {
			t.join(i, j)
		}
	}
	return t
}

// random returns a tree with some more edges.
func random(r *rand.Rand, n int) topology {
	t := newTopology("random graph", n)
	joined := map[[2]int]bool{}
	for i := 1; i < n; i++ {
		j := r.IntN(i)
		t.join(i, j)
		joined[[2]int{i, j}] = true
	}
	for range r.IntN(n) {
		i := 1 + r.IntN(n-1)
		if j := r.IntN(i); !joined[[2]int{i, j}] {
			t.join(i, j)
			joined[[2]int{i, j}] = true
		}
	}
	return t
}

// configure creates the herd's configuration and its hosts.
func (w *world) configure() {
	w.cfg = &config.Config{
		Herd:   config.Herd{Name: "sim", Dialect: "paper"},
		Peers:  config.Peers{Handshake: "required"},
		Places: config.Places{Provider: "embedded", Timeout: 5 * time.Second},
		Limits: config.Limits{
			MaxLine: 16384, MaxClientID: 1024, MaxConnections: 100, MaxClients: 100_000,
			MaxFuture: time.Hour, PartialLineTimeout: 30 * time.Second, OutputHard: 4 << 20,
			OutputSoft: 1 << 20, MaxBuffered: 256 << 20, PlacesInFlight: 4, Drain: 5 * time.Second,
		},
		Servers: w.topology.servers,
	}
	if w.rand.IntN(3) == 0 {
		w.cfg.Herd.Secrets = []string{"a secret of the herd"}
	}
	journals := w.rand.IntN(3) == 0
	for i, s := range w.topology.servers {
		h := &host{w: w, index: i, self: s, sent: map[string]bool{}}
		for k := range 2 {
			h.users = append(h.users, &user{host: h, name: fmt.Sprintf("user%d.%d", i, k)})
		}
		if journals {
			h.disk = &disk{host: h, kept: map[string]string{}}
		}
		w.byName[s.Name] = h
		w.hosts = append(w.hosts, h)
	}
}

// sortedKeys returns the keys of a map in a deterministic order.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
