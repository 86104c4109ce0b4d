package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/load"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// loadFlags are the flags of load. The method read converts them to load.Options.
type loadFlags struct {
	load.Options
	servers          string
	mix              string
	idle, slow       string
	findMax          string
	failIf           []string
	json, csv, hdr   string
	live, replicated bool
	seeded           bool // --seed was given

	herd  *config.Config // nil if the servers are not in herd.toml
	asker *ask.Client    // of its consoles, with sampleTimeout at most
}

// Bounds of flags, besides those of package load.
const (
	maxConnections = 1_000_000
	maxThreads     = 1024
)

func (f *loadFlags) define(s *pflag.FlagSet) {
	wholeFlag(s, &f.Connections, "c/connections", 50, 0, maxConnections,
		"connections (0 only with --churn)")
	wholeFlag(s, &f.Threads, "t/threads", 1, 1, maxThreads, "event loops")
	durationFlag(s, &f.Duration, "d/duration", 10*time.Second, time.Millisecond, load.MaxDuration,
		"measured time")
	durationFlag(s, &f.Warmup, "warmup", time.Second, 0, load.MaxDuration, "warm-up before the measured time")
	wholeFlag(s, &f.Pipeline, "pipeline", 0, 1, load.MaxPipeline,
		"requests in flight per connection (default 1; with --rate at most 64)")
	numberFlag(s, &f.Rate, "rate", "", load.MinRate, load.MaxRate,
		"requests per second (open loop)", "a closed loop")
	numberFlag(s, &f.ConnectRate, "connect-rate", "", load.MinRate, load.MaxRate,
		"new connections per second", "as fast as possible")
	const mixes = "iamat, whatsat, or iamat:whatsat=9:1"
	checkedFlag(s, &f.mix, "mix", "iamat", mixes+" with parts from 0 to 1000000, not all 0",
		"requests to send: "+mixes, func(text string) bool {
			_, _, ok := parseMix(text)
			return ok
		})
	wholeFlag(s, &f.RadiusKM, "radius", 10, 0, protocol.MaxRadiusKM, "radius of a WHATSAT in kilometers")
	wholeFlag(s, &f.Bound, "bound", 5, 0, protocol.MaxBound, "bound of a WHATSAT")
	wholeFlag(s, &f.Clients, "clients", 0, 1, load.MaxClients,
		"number of client ids (default 1000, or as many as connections)")
	zipf := &flagValue{"0", "float", "a number above 1 and up to " + strconv.Itoa(load.MaxZipf) + ", or 0",
		func(text string) bool {
			v, ok := parseNumber(text, 0, load.MaxZipf)
			if ok = ok && (v == 0 || v > 1); ok {
				f.Zipf = v
			}
			return ok
		}}
	zipf.define(s, "zipf", "Zipf skew of the ids, above 1 and up to "+strconv.Itoa(load.MaxZipf)+"; 0 for none")
	const shares = "a whole number from 0, or a share from 0% to 100%"
	checkedFlag(s, &f.idle, "idle", "0", shares, "connections that send nothing: "+shares, isShare)
	checkedFlag(s, &f.slow, "slow-readers", "0", shares, "connections that send and hardly read: a number or a share, as --idle", isShare)
	numberFlag(s, &f.Churn, "churn", "/s", load.MinRate, load.MaxChurn,
		"short connections with one request each, such as 100/s", "none")
	textFlag(s, &f.servers, "servers", "", "names as Alford,Ball, or all",
		"servers of herd.toml, such as Alford,Ball, or all (default: --at)")
	s.BoolVar(&f.replicated, "replication", false, "measure the replication latency from the first server to the second")
	isCondition := func(text string) bool {
		_, err := load.ParseThreshold(text)
		return err == nil
	}
	const conditions = "a condition as p99<5ms or errors>0 on " + load.Metrics
	checkedFlag(s, &f.findMax, "find-max", "", conditions,
		"find the highest rate that meets a `condition`, such as 'p99<5ms'; takes 8 times -d", isCondition)
	listFlag(s, &f.failIf, "fail-if", conditions,
		"exit with code 1 if a `condition` is met, such as 'p99>5ms' or 'errors>0'; repeatable", isCondition)
	seedFlag(s, &f.Seed, &f.seeded, "random seed of ids, positions and the mix")
	const minEpoch, maxEpoch = 1, 99_999_999_999
	epoch := &flagValue{"", "seconds", "seconds since 1970 from 1 to 99999999999", func(text string) bool {
		seconds, ok := parseNumber(text, minEpoch, maxEpoch)
		f.Epoch = time.UnixMicro(int64(math.Round(seconds * 1e6)))
		return ok
	}}
	epoch.define(s, "epoch", "time of the first IAMAT, in seconds since 1970, from 1 to 99999999999; later ones are a microsecond apart (default: the current time in each)")
	const file = "a file, or -"
	textFlag(s, &f.json, "json", "", file, "write the report to a `file`, - for standard output")
	textFlag(s, &f.csv, "csv", "", file, "write one row per second to a `file`, or to -")
	textFlag(s, &f.hdr, "hdr", "", file, "write the latency distribution to a `file` or -, in HdrHistogram's format")
	s.BoolVar(&f.live, "live", false, "print progress every second (always on a terminal)")
}

// seedFlag defines --seed. Given is set if it is given.
func seedFlag(s *pflag.FlagSet, p *uint64, given *bool, usage string) {
	const limits = "from 0 to 18446744073709551615"
	seed := &flagValue{"", "uint", "a whole number " + limits, func(text string) bool {
		n, err := strconv.ParseUint(text, 10, 64)
		*p, *given = n, err == nil
		return err == nil
	}}
	seed.define(s, "seed", usage+", "+limits+" (default: random)")
}

// read converts and checks the flags.
func (f *loadFlags) read(o *options, set *pflag.FlagSet) (err error) {
	if f.Targets, f.Dialect, err = f.targets(o); err != nil {
		return err
	}
	f.Timeout, f.Token = o.timeout, o.token
	f.IAMAT, f.WHATSAT, _ = parseMix(f.mix)
	if f.Idle, err = share("idle", f.idle, f.Connections); err != nil {
		return err
	}
	if f.SlowReaders, err = share("slow-readers", f.slow, f.Connections); err != nil {
		return err
	}
	if f.Idle+f.SlowReaders > f.Connections {
		return usage("--idle and --slow-readers exceed --connections")
	}
	f.Connections -= f.Idle + f.SlowReaders
	if !f.seeded {
		// #nosec G404 -- a seed need not be secret
		f.Seed = uint64(rand.Uint32())
	}
	switch {
	case sameFile(f.json, f.csv) || sameFile(f.json, f.hdr) || sameFile(f.csv, f.hdr):
		return usage("two of --json, --csv and --hdr name the same file")
	case f.findMax != "" && f.Rate > 0:
		return usage("--find-max and --rate exclude each other")
	case f.findMax != "" && !f.Epoch.IsZero():
		return usage("--find-max and --epoch exclude each other: updates of all runs but the first would be outdated")
	case f.replicated && len(f.Targets) != 2:
		return usage("--replication requires two servers, such as --servers Alford,Ball")
	case f.replicated && (f.findMax != "" || f.Rate > 0):
		return usage("--replication excludes --rate and --find-max: it sends one update at a time")
	case f.Connections < 1 && f.Idle == 0 && f.Churn == 0:
		return usage("--connections %d: no connection is left to send and read", f.Connections)
	case f.replicated:
		return onlyOfLoads(set)
	}
	checked := f.Options
	if f.findMax != "" {
		checked.Rate = 1
	}
	if err := checked.Check(); err != nil {
		return usage("%v", err)
	}
	return nil
}

func sameFile(a, b string) bool { return a != "" && a == b }

// onlyOfLoads rejects flags that have no meaning with --replication.
func onlyOfLoads(set *pflag.FlagSet) error {
	for _, name := range []string{"connections", "threads", "connect-rate", "warmup", "pipeline", "mix", "clients",
		"zipf", "idle", "slow-readers", "churn", "csv", "live"} {
		if set.Changed(name) {
			return usage("--replication excludes --%s: it sends one update at a time", name)
		}
	}
	return nil
}

// targets returns the servers and their dialect.
func (f *loadFlags) targets(o *options) (all []load.Target, d protocol.Dialect, err error) {
	if f.servers == "" {
		at, err := o.target()
		t := load.Target{Name: at.label, Addr: at.addr, TLS: at.tls}
		if cfg, err := o.load(); err == nil {
			for _, s := range cfg.Servers {
				if s.Address == at.addr {
					t.Name, t.PID, f.herd = s.Name, f.pidOf(o, cfg, s), cfg
				}
			}
		}
		return []load.Target{t}, at.dialect, err
	}
	if o.at != "" {
		return nil, 0, usage("--servers and --at exclude each other")
	}
	cfg, err := o.load()
	if err != nil {
		return nil, 0, err
	}
	if d, err = protocol.ParseDialect(cfg.Herd.Dialect); err != nil {
		return nil, 0, err
	}
	chosen := cfg.Servers
	if f.servers != "all" {
		chosen = nil
		for _, name := range strings.Split(f.servers, ",") {
			s, err := findFor("servers", cfg, name)
			if err != nil {
				return nil, 0, err
			}
			if slices.ContainsFunc(chosen, func(c config.Server) bool { return c.Name == name }) {
				return nil, 0, usage("--servers %s: duplicate server %s", f.servers, name)
			}
			chosen = append(chosen, s)
		}
	}
	f.herd = cfg
	for _, s := range chosen {
		t, err := o.targetOf(cfg, s)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, load.Target{Name: s.Name, Addr: s.Address, PID: f.pidOf(o, cfg, s), TLS: t.tls})
	}
	return all, d, nil
}

// pidOf asks the console of a server on this machine for its process id; 0 if that is unknown.
func (f *loadFlags) pidOf(o *options, cfg *config.Config, s config.Server) int {
	if f.asker == nil {
		f.asker = o.asker(cfg, min(o.timeout, sampleTimeout))
	}
	if s.Console == "" || !config.IsLoopback(s.Console) {
		return 0
	}
	a := ask.StatusOf(context.Background(), f.asker, s)
	if a.Status == nil {
		return 0
	}
	// In another PID namespace, as in a container, the number is that of another process here. The process is the
	// server's if it has used as much CPU as the server says, which is asked in between.
	pid := a.Status.PID
	before, err := load.CPUOf(pid)
	if a = ask.StatusOf(context.Background(), f.asker, s); err != nil || a.Status == nil || a.Status.PID != pid {
		return 0
	}
	after, err := load.CPUOf(pid)
	const ticks = 40 * time.Millisecond // user and system time are counted in 10 ms
	used := time.Duration(a.Status.Process.CPU * float64(time.Second))
	if err != nil || used < before-ticks || used > after+ticks {
		return 0
	}
	return pid
}

// parseMix parses --mix into the shares of IAMAT and WHATSAT.
func parseMix(text string) (iamat, whatsat int, ok bool) {
	names, parts, given := strings.Cut(text, "=")
	verbs, numbers := strings.Split(names, ":"), strings.Split(parts, ":")
	if given && len(verbs) != len(numbers) || len(verbs) > 2 {
		return 0, 0, false
	}
	for i, verb := range verbs {
		n := 1
		if given {
			var err error
			if n, err = strconv.Atoi(numbers[i]); err != nil || n < 0 || n > 1_000_000 {
				return 0, 0, false
			}
		}
		switch verb {
		case "iamat":
			iamat += n
		case "whatsat":
			whatsat += n
		default:
			return 0, 0, false
		}
	}
	return iamat, whatsat, iamat+whatsat > 0
}

// isShare reports whether text is a number of connections or a share such as 80%.
func isShare(text string) bool {
	if number, percent := strings.CutSuffix(text, "%"); percent {
		_, ok := parseNumber(number, 0, 100)
		return ok
	}
	n, ok := parseNumber(text, 0, maxConnections)
	return ok && n == math.Trunc(n)
}

// share converts a text that isShare accepts to a number of connections.
func share(flag, text string, of int) (int, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, _ := parseNumber(number, 0, maxConnections)
	if !percent {
		return int(v), nil
	}
	n := int(math.Round(v * float64(of) / 100))
	if n == 0 && v > 0 {
		return 0, usage("--%s %s of %d connections is less than one", flag, text, of)
	}
	return n, nil
}
