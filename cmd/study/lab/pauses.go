package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"serverherd/cmd/herd/load"
)

// pauses measures GC pauses of a server with many records.
func pauses() *Experiment {
	const subjects = "loop"
	e := &Experiment{Rounds: 5, Expect: expectation{10.25, 1500 * time.Millisecond}, Section: SectionGrowth, Row: Row{
		Name:     "gc-pauses",
		Question: "How long does the garbage collector stop a server that holds many records?",
		Method: "A server is told of every client once. Then 50 connections with 16 lines in flight " +
			"update clients at random for ten times as long, while the collector is made to run: by " +
			"itself it hardly would, for an update leaves no garbage. Pauses are those of the cycles " +
			"meanwhile. Lines are not logged.",
		Variable: "records", Categories: true,
		Subjects: []string{subjects},
		Settings: []Setting{{Label: "100 k records", X: 1e5, Quick: true}, {Label: "1 M records", X: 1e6}},
		Figures: []Figure{
			{Name: "GC pause p50", Unit: "ms"},
			{Name: "GC pause p99", Unit: "ms", Chart: true},
			{Name: "GC cycles", Unit: "measured"},
			{Name: "resident", Unit: "MiB"},
			{Name: "replies", Unit: "1/s, collections included"},
			{Name: "latency p99", Unit: "ms, collections included"},
		},
	}}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startHerd(ctx, b, herdOptions{engine: r.Subject, args: []string{"--pprof"}})
		if err != nil {
			return nil, err
		}
		defer to.stop()
		return pausesOf(ctx, b, to, int(r.Setting.X))
	}
	e.Targets = []Target{{Work: "1,000,000 records under load", Figure: "GC pause p99",
		Setting: "1 M records", Subject: subjects, AtMost: 1}}
	return e
}

// pausesOf loads a server while it repeatedly triggers garbage collections.
func pausesOf(ctx context.Context, b *Bench, to servers, records int) (Values, error) {
	p := to[0]
	if err := preload(ctx, p.addr, records); err != nil {
		return nil, err
	}
	before, err := p.runtimeStats()
	if err != nil {
		return nil, err
	}
	during, stop := context.WithCancel(ctx)
	defer stop()
	collected := make(chan error, 1)
	go func() {
		var err error
		for err == nil && during.Err() == nil {
			_, err = p.runtimeStats()
			pause(during, 20*time.Millisecond)
		}
		collected <- err
	}()
	l, err := b.apply(ctx, to, load.Options{Connections: 50, Pipeline: 16, Clients: records,
		Duration: 10 * b.Length, Warmup: b.Length / 4})
	stop()
	if err != nil {
		return nil, err
	}
	if err := <-collected; err != nil {
		return nil, err
	}
	after, err := p.runtimeStats()
	if err != nil {
		return nil, err
	}
	s, err := p.status()
	if err != nil {
		return nil, err
	}
	if s.Records != uint64(records) {
		return nil, Void("the server has %d of %d records", s.Records, records)
	}
	cycles := after.cycles - before.cycles
	pauses := after.pauses[:min(cycles, len(after.pauses))]
	return Values{
		"GC pause p50": quantile(pauses, 0.5), "GC pause p99": quantile(pauses, 0.99),
		"GC cycles": float64(cycles), "resident": p.resident() / (1 << 20),
		"replies": l.perSecond(), "latency p99": 1e3 * l.report.Latency.P99,
	}, to.verdict(ctx)
}

// preload sends an IAMAT for each client, with the ids that package load uses.
func preload(ctx context.Context, addr string, clients int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	errs := make(chan error, 1)
	go func() { // reads replies concurrently, otherwise both ends would block
		var buf [256 << 10]byte
		last, open := byte(0), clients
		for open > 0 {
			n, err := c.Read(buf[:])
			if err != nil {
				errs <- err
				return
			}
			for _, x := range buf[:n] {
				if x == '\n' && last == '\n' {
					open--
				}
				last = x
			}
		}
		errs <- nil
	}()
	var lines []byte
	for i := range clients {
		lines = fmt.Appendf(lines, "IAMAT load%07d +34.068930-118.445127 1500000000\n", i)
		if len(lines) > 64<<10 || i == clients-1 {
			if _, err := c.Write(lines); err != nil {
				return err
			}
			lines = lines[:0]
		}
	}
	if err := <-errs; err != nil && err != io.EOF {
		return err
	}
	return nil
}
