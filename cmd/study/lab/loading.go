package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/load"
)

// loaded is the result of a load in the measured time.
type loaded struct {
	replies  float64
	length   time.Duration
	server   usage // sum of all servers
	loader   time.Duration
	resident float64 // sum of all servers at the end, in bytes
	report   *load.Report
}

// meter measures the servers' usage between begin and end.
type meter struct {
	servers servers
	begun   time.Time
	before  usage
	own     time.Duration
	result  loaded
	err     error
}

func (m *meter) begin() {
	m.before, m.err = m.servers.usage()
	m.own = ownUsage()
	m.begun = time.Now()
}

func (m *meter) end() {
	m.result.length = time.Since(m.begun)
	m.result.loader = ownUsage() - m.own
	after, err := m.servers.usage()
	if m.err == nil {
		m.err = err
	}
	m.result.server = usage{
		after.user - m.before.user, after.system - m.before.system, after.switches - m.before.switches,
	}
	for _, p := range m.servers {
		m.result.resident += p.resident()
	}
}

// usage is the sum of all servers.
func (all servers) usage() (sum usage, err error) {
	for _, p := range all {
		u, err := p.usage()
		if err != nil {
			return sum, err
		}
		sum.user, sum.system, sum.switches = sum.user+u.user, sum.system+u.system, sum.switches+u.switches
	}
	return sum, nil
}

// ownUsage is the CPU time of this process, the loader.
func ownUsage() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// apply runs a load. The run is void if a reply is wrong or missing.
func (b *Bench) apply(ctx context.Context, to servers, o load.Options) (loaded, error) {
	for _, p := range to {
		o.Targets = append(o.Targets, load.Target{Name: p.name, Addr: p.addr, TLS: p.tls})
	}
	if o.Duration == 0 {
		o.Warmup, o.Duration = b.lengths(o.Connections)
	}
	m := &meter{servers: to}
	o.OnBegin, o.OnEnd = m.begin, m.end
	r, err := load.Run(ctx, o)
	if err != nil && strings.Contains(err.Error(), "ulimit") {
		return loaded{}, Cannot("%v", err)
	}
	if err != nil {
		return loaded{}, err
	}
	if m.err != nil {
		return loaded{}, m.err
	}
	if r.All.Errors > 0 {
		return loaded{}, Void("%d wrong replies: %s", r.All.Errors, r.All.Failures[0].What)
	}
	if r.All.Unanswered > 0 {
		return loaded{}, Void("%d lines without a reply", r.All.Unanswered)
	}
	m.result.report, m.result.replies = r, float64(r.Measured.Replies)
	if m.result.replies == 0 && o.Connections > 0 {
		return loaded{}, fmt.Errorf("no replies within %v", o.Duration)
	}
	return m.result, nil
}

// lengths returns the warm-up and the measured time. Many connections need more time until each has had its
// turn.
func (b *Bench) lengths(conns int) (warmup, measured time.Duration) {
	more := time.Duration(conns) * 100 * time.Microsecond
	return b.Length/4 + more, b.Length + more
}

// costFigures are the figures of loaded.cost.
func costFigures() []Figure {
	return []Figure{
		{Name: "CPU per reply", Unit: "us", Better: Lower, Chart: true},
		{Name: "user time per reply", Unit: "us"},
		{Name: "system time per reply", Unit: "us"},
		{Name: "context switches per reply", Unit: "of all the server's threads"},
		{Name: "loader's CPU per reply", Unit: "us"},
		busyFigures[0], busyFigures[1],
	}
}

// busyFigures are the figures of loaded.busy, without which a ratio of replies cannot be judged.
var busyFigures = []Figure{{Name: serverBusy, Unit: "% of a core"}, {Name: loaderBusy, Unit: "% of a core"}}

// busy returns how busy servers and loader were, under the names of busyFigures.
func (l loaded) busy() Values {
	return Values{
		serverBusy: 100 * (l.server.user + l.server.system).Seconds() / l.length.Seconds(),
		loaderBusy: 100 * l.loader.Seconds() / l.length.Seconds(),
	}
}

// cost returns the cost of a reply under the names of costFigures.
func (l loaded) cost() Values {
	v := l.busy()
	v["CPU per reply"] = microseconds(l.server.user+l.server.system) / l.replies
	v["user time per reply"] = microseconds(l.server.user) / l.replies
	v["system time per reply"] = microseconds(l.server.system) / l.replies
	v["context switches per reply"] = l.server.switches / l.replies
	v["loader's CPU per reply"] = microseconds(l.loader) / l.replies
	return v
}

// perSecond is the replies per second.
func (l loaded) perSecond() float64 { return l.replies / l.length.Seconds() }
