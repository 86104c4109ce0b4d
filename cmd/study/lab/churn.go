package lab

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// churn measures the cost of short connections.
func churn() *Experiment {
	e := &Experiment{Section: SectionServer, Row: Row{
		Name:     "churn",
		Question: "What does a connection cost that is made for one line?",
		Method: "Sixteen clients each connect, send an IAMAT, read the reply, close, and begin " +
			"again. Lines are logged.",
		Variable: "clients",
		Subjects: twoEngines,
		Settings: []Setting{{Label: "16 clients", X: 16, Quick: true}},
		Figures: []Figure{
			{Name: "connections", Unit: "1/s", Better: Higher},
			{Name: "CPU per connection", Unit: "us", Better: Lower, Chart: true},
			busyFigures[0], busyFigures[1],
		},
	}}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startHerd(ctx, b, herdOptions{engine: r.Subject, logged: true})
		if err != nil {
			return nil, err
		}
		defer to.stop()
		m := &meter{servers: to}
		n, err := visits(ctx, to[0].addr, int(r.Setting.X), b.Length, m)
		if err != nil {
			return nil, err
		}
		v := m.result.busy()
		v["connections"] = n / m.result.length.Seconds()
		v["CPU per connection"] = microseconds(m.result.server.user+m.result.server.system) / n
		return v, to.verdict(ctx)
	}
	return e
}

// visits makes short connections from a number of clients and returns how many completed in the measured
// time.
func visits(ctx context.Context, addr string, clients int, length time.Duration,
	m *meter) (float64, error) {
	var done atomic.Int64
	var ended atomic.Bool
	var group sync.WaitGroup
	errs := make([]error, clients)
	for i := range clients {
		group.Go(func() {
			for errs[i] == nil && !ended.Load() && ctx.Err() == nil {
				if errs[i] = visit(addr); errs[i] == nil {
					done.Add(1)
				}
			}
		})
	}
	pause(ctx, length/4)
	before := done.Load()
	m.begin()
	pause(ctx, length)
	n := done.Load() - before
	m.end()
	ended.Store(true)
	group.Wait()
	for _, err := range append(errs, m.err, ctx.Err()) {
		if err != nil {
			return 0, err
		}
	}
	return float64(n), nil
}

// visit makes one connection with one update.
func visit(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("IAMAT visitor +34.068930-118.445127 1500000000\n")); err != nil {
		return err
	}
	reply, err := readReplies(c, 1)
	if err == nil && !strings.HasPrefix(reply, "AT ") {
		return Void("unexpected reply %q", reply)
	}
	return err
}
