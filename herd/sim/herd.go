package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/reactor/memreactor"
)

// Herd is a herd without faults and checkers, for measuring costs. Clients are not delayed. One goroutine.
type Herd struct {
	World   *memreactor.World
	Config  *config.Config
	Servers []*herd.Server // in the order of Config.Servers
	Edges   int
	lines   lineCount
}

// HerdOptions describe a Herd.
type HerdOptions struct {
	Seed    uint64
	Shape   string        // of the topology, see Shape
	Servers int           // 1 or more
	Delay   time.Duration // one way, between two neighbors
	Clients int           // max_clients; 0 means 100,000
}

// Shape returns the servers and the number of edges of a topology of n servers: "line", "ring", "star", "mesh", or
// "random", a tree with up to n more edges. A ring of two is a line.
func Shape(shape string, n int, r *rand.Rand) (servers []config.Server, edges int, err error) {
	var t topology
	switch {
	case n < 1:
		return nil, 0, fmt.Errorf("invalid number of servers %d", n)
	case shape == "line" || n < 3:
		t = line(n)
	case shape == "ring":
		t = ring(n)
	case shape == "star":
		t = star(n)
	case shape == "mesh":
		t = mesh(n)
	case shape == "random":
		t = random(r, n)
	default:
		return nil, 0, fmt.Errorf("unknown topology %q", shape)
	}
	return t.servers, t.edges, nil
}

// NewHerd starts a herd and waits until its links are live.
func NewHerd(o HerdOptions) (*Herd, error) {
	c := &Herd{World: memreactor.NewWorld(o.Seed, memreactor.Options{})}
	if o.Clients == 0 {
		o.Clients = 100_000
	}
	servers, edges, err := Shape(o.Shape, o.Servers, c.World.Rand())
	if err != nil {
		return nil, err
	}
	c.Edges = edges
	c.Config = &config.Config{
		Herd:   config.Herd{Name: "sim", Dialect: "paper"},
		Peers:  config.Peers{Handshake: "required"},
		Places: config.Places{Provider: "embedded", Timeout: 5 * time.Second},
		Limits: config.Limits{
			MaxLine: 16384, MaxClientID: 1024, MaxConnections: 1000, MaxClients: o.Clients,
			MaxFuture: time.Hour, OutputHard: 4 << 20, OutputSoft: 1 << 20, MaxBuffered: 256 << 20, PlacesInFlight: 64,
			Drain: 5 * time.Second,
		},
		Servers: servers,
	}
	Spread(c.World, servers, o.Delay)
	for _, s := range servers {
		if err := c.start(s); err != nil {
			return nil, err
		}
	}
	for !c.live() {
		if c.World.Elapsed() > time.Minute {
			return nil, fmt.Errorf("the links of a %s of %d are not live after a minute", o.Shape, o.Servers)
		}
		c.World.RunFor(20 * time.Millisecond)
	}
	return c, nil
}

// Spread sets the delay between each server and its neighbors.
func Spread(w *memreactor.World, servers []config.Server, delay time.Duration) {
	for _, s := range servers {
		for _, neighbor := range s.Neighbors {
			w.Slow(s.Name, neighbor, delay)
		}
	}
}

func (c *Herd) start(s config.Server) error {
	r := c.World.NewReactor(s.Name)
	chance := c.World.Rand()
	server, err := herd.NewServer(herd.Options{
		Config: c.Config, Name: s.Name, Reactor: r, Places: fakePlaces{}, Log: zap.NewNop(),
		Lines:  &c.lines,
		Rand:   rand.New(rand.NewPCG(chance.Uint64(), chance.Uint64())),
		Engine: "mem", Version: "sim",
	})
	if err != nil {
		return err
	}
	c.Servers = append(c.Servers, server)
	_, err = server.Start(r.Listen(s.Address))
	return err
}

// live reports whether all links are live.
func (c *Herd) live() bool {
	for _, s := range c.Servers {
		if !s.Status().Ready {
			return false
		}
		for _, l := range s.Status().Links {
			if l.State != "live" {
				return false
			}
		}
	}
	return true
}

// Equal reports whether all servers have the same records.
func (c *Herd) Equal() bool {
	for _, s := range c.Servers[1:] {
		if s.Store().Digest() != c.Servers[0].Store().Digest() {
			return false
		}
	}
	return true
}

// lineCount is a herd.LineLog that counts lines between servers other than AT and the handshake.
type lineCount struct{ overhead uint64 }

var overhead = [][]byte{[]byte("MARK "), []byte("ACK "), []byte("PING "), []byte("PONG ")}

// LineSent implements herd.LineLog.
func (l *lineCount) LineSent(_ uint64, line []byte) {
	for _, verb := range overhead {
		if bytes.HasPrefix(line, verb) {
			l.overhead++
		}
	}
}

// LineReceived implements herd.LineLog.
func (l *lineCount) LineReceived(uint64, []byte) {}

// LookupSent implements herd.LineLog.
func (l *lineCount) LookupSent(uint64, []byte, string, int, []byte) {}

// Overhead returns the number of lines other than AT that live links have carried so far.
func (c *Herd) Overhead() uint64 { return c.lines.overhead }

// ATLines returns the number of AT lines that servers have sent each other so far.
func (c *Herd) ATLines() (n uint64) {
	for _, s := range c.Servers {
		for _, l := range s.Status().Links {
			n += l.ATSent
		}
	}
	return n
}
