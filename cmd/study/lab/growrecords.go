package lab

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"serverherd/herd/sim"
	"serverherd/reactor/memreactor"
)

// growthOfRecords measures how costs grow with the number of records.
func growthOfRecords() *Experiment {
	const subject = "one loop"
	e := &Experiment{Expect: expectation{more: 900 * time.Millisecond}, Section: SectionGrowth, Simulated: true, Row: Row{
		Name:     "growth-records",
		Question: "What does an update cost as the records grow?",
		Method: "Simulated: a server without sockets takes every client once, then updates of clients " +
			"drawn at random; then everything goes to a neighbor that was cut off. The times are the CPU time of " +
			"the process, with the network of the simulation and the garbage collector.",
		Variable: "records", LogX: true,
		Subjects: []string{subject},
		Figures: []Figure{
			{Name: "cost per update", Unit: "us of a core", Chart: true},
			{Name: "memory per record", Unit: "bytes"},
			{Name: "memory", Unit: "MiB"},
			{Name: "copy to a neighbor", Unit: "s of a core, both ends"},
			{Name: "cost per record copied", Unit: "us of a core, both ends", Chart: true},
		},
		Settings: []Setting{
			{Label: "1 k", X: 1e3, Quick: true}, {Label: "10 k", X: 1e4}, {Label: "100 k", X: 1e5, Quick: true},
			{Label: "300 k", X: 3e5}, {Label: "1 M", X: 1e6},
		},
	}}
	e.Measure = func(ctx context.Context, _ *Bench, r Run) (Values, error) {
		return growRecords(ctx, uint64(r.Round), int(r.Setting.X))
	}
	e.Growth = []Growth{
		{"cost per update", subject, "", 10, "100,000 updates a second", false},
		{"memory", subject, "", 4096, "what a small machine has", true},
		{"copy to a neighbor", subject, "", 10,
			"the time in which a server that restarts should be ready", false},
	}
	return e
}

// updatesMeasured is the number of updates after all records have been created.
const updatesMeasured = 20_000

// growRecords fills one of two servers, updates it, and then copies everything to the other.
func growRecords(ctx context.Context, seed uint64, records int) (Values, error) {
	before := heap()
	c, err := sim.NewHerd(sim.HerdOptions{Seed: seed, Shape: "line", Servers: 2, Clients: records})
	if err != nil {
		return nil, err
	}
	a, b := c.Config.Servers[0], c.Config.Servers[1]
	c.World.Cut(a.Name, b.Name)
	f := feeder{world: c.World, client: c.World.Dial(a.Address), stamp: 1_500_000_000}
	for first := 0; first < records && ctx.Err() == nil; first += batchOfLines {
		if err := f.feed(min(batchOfLines, records-first), func(i int) int { return first + i }); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	memory := heap() - before
	begun := ownUsage()
	for range updatesMeasured / batchOfLines {
		if err := f.feed(batchOfLines, func(int) int { return c.World.Rand().IntN(records) }); err != nil {
			return nil, err
		}
	}
	updating := ownUsage() - begun
	c.World.Heal(a.Name, b.Name)
	begun = ownUsage()
	if !c.World.RunUntil(10*time.Minute, c.Equal) {
		return nil, Void("the neighbor is incomplete after ten minutes")
	}
	copying := ownUsage() - begun
	if n := c.Servers[1].Store().Len(); n != records {
		return nil, Void("the neighbor has %d of %d records", n, records)
	}
	return Values{
		"cost per update":        microseconds(updating) / updatesMeasured,
		"memory per record":      memory / float64(records),
		"memory":                 memory / (1 << 20),
		"copy to a neighbor":     copying.Seconds(),
		"cost per record copied": microseconds(copying) / float64(records),
	}, nil
}

// batchOfLines is the number of updates per write.
const batchOfLines = 200

// feeder sends updates on one connection, a batch at a time. One goroutine.
type feeder struct {
	world  *memreactor.World
	client *memreactor.Client
	stamp  int
	buf    []byte
}

// feed sends n updates and waits for their replies. Client returns the client of the i-th.
func (f *feeder) feed(n int, client func(i int) int) error {
	f.buf = f.buf[:0]
	f.stamp++
	for i := range n {
		f.buf = fmt.Appendf(f.buf, "IAMAT client%07d.cs.ucla.edu +34.068930-118.445127 %d.%09d\n",
			client(i), f.stamp, i)
	}
	f.client.Send(f.buf)
	if !f.world.RunUntil(time.Minute, func() bool {
		return bytes.Count(f.client.Received(), endOfReply) >= n
	}) {
		return Void("%d updates without a reply", n)
	}
	if got := f.client.Received(); bytes.Contains(got, []byte("> ")) || bytes.Contains(got, []byte("? ")) {
		return Void("unexpected reply to an update: %q", got[:min(len(got), 200)])
	}
	f.client.Take()
	return nil
}

// heap is the size of the live heap, in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
