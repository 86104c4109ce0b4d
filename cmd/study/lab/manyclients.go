package lab

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/load"
	"serverherd/herd/config"
)

// manyClients measures one server with up to 10,000,000 clients: memory, updates, restart and copy.
func manyClients() *Experiment {
	const most = "10 M clients"
	e := &Experiment{Expect: expectation{12, 30 * time.Second}, Section: SectionGrowth, OnDemand: true, Timeout: 20 * time.Minute, Row: Row{
		Name:     "many-clients",
		Question: "What does a server with very many clients need, and for how long is it away when it restarts?",
		Method: "A server with a journal takes an update of every client, on one connection. Then 10,000 updates a " +
			"second of clients at random are due on 50 connections, ten times as long as stated. When the journal has " +
			"written everything, the server is killed and starts again, now with a neighbor that is empty and " +
			"receives a copy. The restart takes until the server answers. What the heap has in use is taken after a " +
			"collection. The share of the garbage collector is its part of the process's CPU time, as " +
			"/metrics has it. The longest turn is that of the neighbor since its start. Lines are not logged.",
		Variable: "clients", LogX: true,
		Subjects: bothHerds,
		Settings: []Setting{
			{Label: "100 k clients", X: 1e5, Quick: true}, {Label: "1 M clients", X: 1e6}, {Label: most, X: 1e7},
		},
		Figures: []Figure{
			{Name: "heap per record", Unit: "bytes in use after a collection", Better: Lower},
			{Name: "resident per record", Unit: "bytes", Better: Lower},
			{Name: "resident", Unit: "MiB", Chart: true, LogY: true},
			{Name: "first updates", Unit: "1/s, on one connection", Better: Higher},
			{Name: "GC at first updates", Unit: "% of the server's CPU", Better: Lower},
			{Name: "update p50", Unit: "ms", Better: Lower},
			{Name: "update p99", Unit: "ms", Better: Lower, Chart: true},
			{Name: "update max", Unit: "ms"},
			{Name: "CPU per update", Unit: "us", Better: Lower},
			{Name: "GC at updates", Unit: "% of the server's CPU", Better: Lower},
			{Name: "journal written", Unit: "s after the last update"},
			{Name: "restart", Unit: "s until it answers", Better: Lower, Chart: true, LogY: true},
			{Name: "copy", Unit: "s", Better: Lower, Chart: true, LogY: true},
			{Name: "longest turn", Unit: "ms, of the receiver", Better: Lower},
			{Name: "GC at the copy", Unit: "% of the receiver's CPU", Better: Lower},
			{Name: "resident of the receiver", Unit: "MiB"},
		},
	}}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		return measureClients(ctx, b, b.serve(r.Subject), int(r.Setting.X))
	}
	e.Targets = []Target{
		{Work: "10,000,000 clients", Figure: "update p99", Setting: most, Subject: thisHerd, AtMost: 5},
		{Work: "10,000,000 clients", Figure: "GC at updates", Setting: most, Subject: thisHerd, AtMost: 5},
		{Work: "10,000,000 clients", Figure: "heap per record", Setting: most, Subject: thisHerd, AtMost: 200},
		{Work: "10,000,000 clients", Figure: "longest turn", Setting: most, Subject: thisHerd, AtMost: 20},
	}
	return e
}

// clientsRate is the rate of updates, and clientsLimit is the key max_clients.
const (
	clientsRate  = 10_000
	clientsLimit = config.MostClients
)

// Bytes that a client takes at both servers together: of memory, and of disk with what is compacted.
const (
	clientMemory = 450
	clientDisk   = 300
)

// roomFor returns an error if there is too little memory or disk for a number of clients, in bytes; 0 is
// unknown. Dir is where the disk is.
func roomFor(clients int, memory, disk float64, dir string) error {
	const gb = 1e9
	n := float64(clients)
	if memory > 0 && memory < n*clientMemory {
		return Cannot("%d clients need %.1f GB of memory, and %.1f GB are available", clients, n*clientMemory/gb, memory/gb)
	}
	if disk > 0 && disk < n*clientDisk {
		return Cannot("%d clients need %.1f GB of disk, and %s has %.1f GB: set TMPDIR to another directory",
			clients, n*clientDisk/gb, dir, disk/gb)
	}
	return nil
}

// available is what the machine has of memory and of disk at dir, in bytes; 0 if it is unknown.
func available(dir string) (memory, disk float64) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) == nil {
		disk = float64(s.Bavail) * float64(s.Bsize)
	}
	return 1024 * lineValue("/proc/meminfo", "MemAvailable:"), disk
}

// measureClients does one run of manyClients.
func measureClients(ctx context.Context, b *Bench, program []string, clients int) (Values, error) {
	memory, disk := available(b.Dir)
	if err := roomFor(clients, memory, disk, b.Dir); err != nil {
		return nil, err
	}
	o := herdOptions{
		program: program, engine: engines[0], servers: []string{"Alford"}, args: []string{"--pprof"},
		toml: fmt.Sprintf("[limits]\nmax_clients = %d\n[storage]\ndir = \"journal\"\n", clientsLimit),
	}
	v := Values{}
	alone, err := startHerd(ctx, b, o)
	if err != nil {
		return nil, err
	}
	defer alone.stop()
	if err := v.ofClients(ctx, b, alone, clients); err != nil {
		return nil, err
	}
	alone.stop() // by SIGKILL

	o.servers, o.early = []string{"Alford", "Ball"}, true
	o.neighbors = map[string][]string{"Alford": {"Ball"}, "Ball": {"Alford"}}
	begun := time.Now()
	both, err := startHerd(ctx, b, o)
	if err != nil {
		return nil, err
	}
	defer both.stop()
	if err := both[0].until(ctx, "ready after its restart", func() bool {
		_, err := both[0].status()
		return err == nil
	}); err != nil {
		return nil, err
	}
	v["restart"] = time.Since(begun).Seconds()
	if s, err := both[0].status(); err != nil || s.Journal == nil || s.Journal.Loaded != uint64(clients) {
		return nil, Void("the journal had %+v of %d records: %v", s.Journal, clients, err)
	}
	copied, err := measureCopy(ctx, both, uint64(clients))
	if err != nil {
		return nil, err
	}
	v["copy"], v["longest turn"] = copied["copy"], copied["longest turn"]
	v["resident of the receiver"] = copied["resident"]
	return v, v.ofGC("GC at the copy", both[1], gcUsage{})
}

// ofClients measures a server that takes updates of all clients once, and then at random.
func (v Values) ofClients(ctx context.Context, b *Bench, to servers, clients int) error {
	p := to[0]
	empty, err := p.runtimeStats()
	if err != nil {
		return err
	}
	residentBefore := p.resident()
	first, err := p.gcUsage()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := p.preload(ctx, clients); err != nil {
		return err
	}
	v["first updates"] = float64(clients) / time.Since(begun).Seconds()
	if err := v.ofGC("GC at first updates", p, first); err != nil {
		return err
	}
	updating, err := p.gcUsage()
	if err != nil {
		return err
	}
	l, err := b.apply(ctx, to, load.Options{Connections: 50, Rate: clientsRate, Clients: clients,
		Warmup: 2 * b.Length, Duration: 10 * b.Length})
	if err != nil {
		return err
	}
	v["update p50"], v["update p99"] = 1e3*l.report.Latency.P50, 1e3*l.report.Latency.P99
	v["update max"], v["CPU per update"] = 1e3*l.report.Latency.Max, l.cost()["CPU per reply"]
	if err := v.ofGC("GC at updates", p, updating); err != nil {
		return err
	}
	v["resident"] = p.resident() / (1 << 20)
	v["resident per record"] = (p.resident() - residentBefore) / float64(clients)
	full, err := p.runtimeStats()
	if err != nil {
		return err
	}
	v["heap per record"] = (full.heap - empty.heap) / float64(clients)
	begun = time.Now()
	var records uint64
	if err := p.until(ctx, "written", func() bool {
		s, err := p.status()
		records = s.Records
		return err == nil && s.Journal.Behind == 0
	}); err != nil {
		return err
	}
	v["journal written"] = time.Since(begun).Seconds()
	if records != uint64(clients) {
		return Void("%s has %d records, not %d", p.name, records, clients)
	}
	return nil
}

// gcUsage is the CPU time of a process so far, in seconds: of the garbage collector and in all.
type gcUsage struct {
	gc, all float64
	known   bool // the binary has the metric
}

// gcMetric has the CPU time of the garbage collector.
const gcMetric = "go_cpu_classes_gc_total_cpu_seconds_total"

// gcUsage reads /metrics.
func (p *process) gcUsage() (g gcUsage, err error) {
	u, err := p.usage()
	if err != nil {
		return g, err
	}
	g.all = (u.user + u.system).Seconds()
	r, err := p.fetch("/metrics")
	if err != nil {
		return g, err
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), gcMetric+" "); ok {
			g.known = true
			g.gc, err = strconv.ParseFloat(value, 64)
			return g, err
		}
	}
	return g, lines.Err()
}

// ofGC sets a figure to the garbage collector's share of a process's CPU time since before.
func (v Values) ofGC(figure string, p *process, before gcUsage) error {
	now, err := p.gcUsage()
	if err == nil && now.known && now.all > before.all {
		v[figure] = 100 * (now.gc - before.gc) / (now.all - before.all)
	}
	return err
}
