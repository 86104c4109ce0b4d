package main

import (
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"serverherd/cmd/herd/load"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// loadFlags are load's, as given; read makes load.Options of them.
type loadFlags struct {
	load.Options
	servers          string
	mix              string
	idle, slow       string
	findMax          string
	failIf           []string
	json, csv, hdr   string
	live, replicated bool
	seeded           bool // there was a --seed

	herd *config.Config // of the servers; nil if herd.toml does not have them
}

// Bounds of flags that load.Options has none for.
const (
	maxConnections = 1_000_000
	maxThreads     = 1024
)

func (f *loadFlags) define(s *pflag.FlagSet) {
	wholeFlag(s, &f.Connections, "c/connections", 50, 0, maxConnections,
		"connections (0 only with --churn)")
	wholeFlag(s, &f.Threads, "t/threads", 1, 1, maxThreads, "event loops")
	durationFlag(s, &f.Duration, "d/duration", 10*time.Second, time.Millisecond, load.MaxDuration,
		"time that is measured")
	durationFlag(s, &f.Warmup, "warmup", time.Second, 0, load.MaxDuration, "time before that")
	wholeFlag(s, &f.Pipeline, "pipeline", 0, 1, load.MaxPipeline,
		"lines in flight on a connection (default 1; with --rate at most 64)")
	numberFlag(s, &f.Rate, "rate", "", load.MinRate, load.MaxRate,
		"lines due in a second, an open loop", "a closed loop")
	numberFlag(s, &f.ConnectRate, "connect-rate", "", load.MinRate, load.MaxRate,
		"connections made in a second", "as fast as possible")
	const mixes = "iamat, whatsat, or iamat:whatsat=9:1"
	checkedFlag(s, &f.mix, "mix", "iamat", mixes+" with parts from 0 to 1000000, not all 0",
		"what is sent: "+mixes, func(text string) bool {
			_, _, ok := parseMix(text)
			return ok
		})
	wholeFlag(s, &f.RadiusKM, "radius", 10, 0, protocol.MaxRadiusKM, "kilometers of a WHATSAT")
	wholeFlag(s, &f.Bound, "bound", 5, 0, protocol.MaxBound, "places of a WHATSAT")
	wholeFlag(s, &f.Clients, "clients", 0, 1, load.MaxClients,
		"different client ids (default 1000, or as many as connections)")
	zipf := &flagValue{"0", "float", "a number above 1 and up to " + strconv.Itoa(load.MaxZipf) + ", or 0",
		func(text string) bool {
			v, ok := parseNumber(text, 0, load.MaxZipf)
			if ok = ok && (v == 0 || v > 1); ok {
				f.Zipf = v
			}
			return ok
		}}
	zipf.define(s, "zipf", "skew of the ids, above 1 and up to "+strconv.Itoa(load.MaxZipf)+"; 0 for none")
	const shares = "a whole number from 0, or a part from 0% to 100%"
	checkedFlag(s, &f.idle, "idle", "0", shares, "how many of the connections send nothing: "+shares, isShare)
	checkedFlag(s, &f.slow, "slow-readers", "0", shares, "how many of them send and hardly read: a number or a part, as --idle", isShare)
	numberFlag(s, &f.Churn, "churn", "/s", load.MinRate, load.MaxChurn,
		"clients that come for one line and go, as 100/s", "none")
	textFlag(s, &f.servers, "servers", "", "names as Alford,Ball, or all",
		"servers of herd.toml, as Alford,Ball, or all (default: --at)")
	s.BoolVar(&f.replicated, "replication", false, "measure how long an update takes from the first server to the second")
	isCondition := func(text string) bool {
		_, err := load.ParseThreshold(text)
		return err == nil
	}
	const conditions = "a condition as p99<5ms or errors>0 on " + load.Metrics
	checkedFlag(s, &f.findMax, "find-max", "", conditions,
		"find the highest rate at which a `condition` holds, as 'p99<5ms': 8 times -d", isCondition)
	listFlag(s, &f.failIf, "fail-if", conditions,
		"exit with 1 if a `condition` holds, as 'p99>5ms' or 'errors>0'; may be repeated", isCondition)
	seed := &flagValue{"", "uint", "a whole number from 0 to 18446744073709551615", func(text string) bool {
		n, err := strconv.ParseUint(text, 10, 64)
		f.Seed, f.seeded = n, err == nil
		return err == nil
	}}
	seed.define(s, "seed", "of ids, positions and the mix, from 0 to 18446744073709551615 (default: by chance)")
	const minEpoch, maxEpoch = 1, 99_999_999_999
	epoch := &flagValue{"", "seconds", "seconds since 1970 from 1 to 99999999999", func(text string) bool {
		seconds, ok := parseNumber(text, minEpoch, maxEpoch)
		f.Epoch = time.UnixMicro(int64(math.Round(seconds * 1e6)))
		return ok
	}}
	epoch.define(s, "epoch", "time of the first line, in seconds since 1970 from 1 to 99999999999 (default: now)")
	const file = "a file, or -"
	textFlag(s, &f.json, "json", "", file, "write the report to a `file`, - for standard output")
	textFlag(s, &f.csv, "csv", "", file, "write a row for each second to a `file`, or to -")
	textFlag(s, &f.hdr, "hdr", "", file, "write the distribution of latencies to a `file` or -, as HdrHistogram has it")
	s.BoolVar(&f.live, "live", false, "a line each second (on a terminal that is so anyway)")
}

// read makes options of the flags.
func (f *loadFlags) read(o *options, set *pflag.FlagSet) (err error) {
	if f.Targets, f.Dialect, err = f.targets(o); err != nil {
		return err
	}
	f.Timeout = o.timeout
	f.IAMAT, f.WHATSAT, _ = parseMix(f.mix)
	if f.Idle, err = share("idle", f.idle, f.Connections); err != nil {
		return err
	}
	if f.SlowReaders, err = share("slow-readers", f.slow, f.Connections); err != nil {
		return err
	}
	if f.Idle+f.SlowReaders > f.Connections {
		return usage("--idle and --slow-readers are more than all connections")
	}
	f.Connections -= f.Idle + f.SlowReaders
	if !f.seeded {
		f.Seed = uint64(rand.Uint32())
	}
	switch {
	case sameFile(f.json, f.csv) || sameFile(f.json, f.hdr) || sameFile(f.csv, f.hdr):
		return usage("two of --json, --csv and --hdr name the same file")
	case f.findMax != "" && f.Rate > 0:
		return usage("--find-max looks for a rate, and --rate gives one")
	case f.findMax != "" && !f.Epoch.IsZero():
		return usage("--find-max runs several times, and only the first would be new to servers with --epoch")
	case f.replicated && len(f.Targets) != 2:
		return usage("--replication needs two servers, as --servers Alford,Ball")
	case f.replicated && (f.findMax != "" || f.Rate > 0):
		return usage("--replication sends one update after the other; it has no rate")
	case f.Connections < 1 && f.Idle == 0 && f.Churn == 0:
		return usage("--connections %d: nobody would send and read", f.Connections)
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

// onlyOfLoads refuses, with --replication, what speaks of many connections.
func onlyOfLoads(set *pflag.FlagSet) error {
	for _, name := range []string{"connections", "threads", "connect-rate", "warmup", "pipeline", "mix", "clients",
		"zipf", "idle", "slow-readers", "churn", "csv", "live"} {
		if set.Changed(name) {
			return usage("--replication sends one update after the other; --%s has no meaning there", name)
		}
	}
	return nil
}

// targets are the servers and their dialect.
func (f *loadFlags) targets(o *options) (all []load.Target, d protocol.Dialect, err error) {
	if f.servers == "" {
		addr, dialect, _, err := o.target()
		name := o.at
		if name == "" {
			name = addr
		}
		t := load.Target{Name: name, Addr: addr}
		if cfg, err := o.load(); err == nil {
			for _, s := range cfg.Servers {
				if s.Address == addr {
					t.Name, t.PID, f.herd = s.Name, pidOf(s), cfg
				}
			}
		}
		return []load.Target{t}, dialect, err
	}
	if o.at != "" {
		return nil, 0, usage("--servers and --at both name servers")
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
				return nil, 0, usage("--servers %s: %s stands there twice", f.servers, name)
			}
			chosen = append(chosen, s)
		}
	}
	f.herd = cfg
	for _, s := range chosen {
		all = append(all, load.Target{Name: s.Name, Addr: s.Address, PID: pidOf(s)})
	}
	return all, d, nil
}

// pidOf is the process of a server on this machine, by its console; 0 if it has none.
func pidOf(s config.Server) int {
	if s.Console == "" || !config.IsLoopback(s.Console) {
		return 0
	}
	status, err := ask(&http.Client{Timeout: time.Second}, s)
	if err != nil {
		return 0
	}
	return status.PID
}

// parseMix reads --mix: the parts of IAMAT and WHATSAT.
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

// isShare says whether text is a number of connections, or a part of them as 80%.
func isShare(text string) bool {
	if number, percent := strings.CutSuffix(text, "%"); percent {
		_, ok := parseNumber(number, 0, 100)
		return ok
	}
	n, ok := parseNumber(text, 0, maxConnections)
	return ok && n == math.Trunc(n)
}

// share is how many of the connections a text that isShare accepts means.
func share(flag, text string, of int) (int, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, _ := parseNumber(number, 0, maxConnections)
	if !percent {
		return int(v), nil
	}
	n := int(math.Round(v * float64(of) / 100))
	if n == 0 && v > 0 {
		return 0, usage("--%s %s of %d connections are none", flag, text, of)
	}
	return n, nil
}
