package lab

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"serverherd/cmd/herd/load"
)

// SlowServer is the study's subcommand that runs a herd server with slow lookups, for the row below.
const SlowServer = "slow-server"

// slowHandler measures the effect of a blocking call on other clients.
func slowHandler() *Experiment {
	const on, off = "in the handler", "in another thread"
	e := &Experiment{Section: SectionWaiting, Row: Row{
		Name:     "slow-handler",
		Question: "What does a handler that blocks do to other clients?",
		Method: "One client sends five WHATSATs a second, whose lookup sleeps, as a call to another " +
			"server does: in the handler, which is wrong, or in another thread, which posts the result to " +
			"the loop as the herd does. In the engine goroutines a handler holds the lock on the state, so that one that " +
			"blocks stops all clients of either engine. That is by construction, and not compared. On 50 other connections 2,000 lines are due a " +
			"second. Lines are not logged.",
		Variable: "ms that a lookup takes", Categories: true,
		Subjects: twoEngines,
		Figures: []Figure{
			{Name: "p50", Unit: "ms, of other clients"},
			{Name: "p99", Unit: "ms, of other clients", Better: Lower, Chart: true, LogY: true},
			{Name: "raw p99", Unit: "ms, of other clients"},
			{Name: "max", Unit: "ms, of other clients"},
		},
	}}
	for _, series := range []string{on, off} {
		for _, ms := range []float64{0, 1, 10, 100} {
			if ms == 1 && series == off || ms == 0 && series == on {
				continue
			}
			e.Settings = append(e.Settings, Setting{Label: fmt.Sprintf("%v ms %s", ms, series), X: ms,
				Series: series, Quick: ms == 10, ByConstruction: series == on})
		}
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		o := herdOptions{engine: r.Subject, program: []string{b.Self, SlowServer},
			args: []string{"--takes", fmt.Sprintf("%vms", r.Setting.X)}}
		if r.Setting.Series == on {
			o.args = append(o.args, "--blocks")
		}
		to, err := startHerd(ctx, b, o)
		if err != nil {
			return nil, err
		}
		defer to.stop()
		stop, err := lookUp(ctx, to[0].addr, 200*time.Millisecond)
		if err != nil {
			return nil, err
		}
		l, err := b.apply(ctx, to, load.Options{Connections: 50, Rate: 2000})
		asked := stop()
		if err != nil {
			return nil, err
		}
		if asked < 2 {
			return nil, Void("only %d lookups had a reply", asked)
		}
		return l.latency(), to.verdict(ctx)
	}
	return e
}

// lookUp sends WHATSATs periodically until stop, which returns the number of replies.
func lookUp(ctx context.Context, addr string, every time.Duration) (stop func() int, err error) {
	if _, err := askOnce(addr, "IAMAT slow +35.689500+139.691700 1500000000\n", 1); err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	answered := make(chan int, 1)
	go func() {
		defer c.Close()
		n := 0
		for next := time.Now(); ctx.Err() == nil; next = next.Add(every) {
			pause(ctx, time.Until(next))
			if _, err := c.Write([]byte("WHATSAT slow 10 1\n")); err != nil {
				break
			}
			if reply, err := readReplies(c, 1); err != nil || !strings.HasPrefix(reply, "AT ") {
				break
			}
			n++
		}
		answered <- n
	}()
	return func() int {
		cancel()
		return <-answered
	}, nil
}
