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
	"serverherd/herd"
	"serverherd/protocol"
)

// loadFlags are load's, as given; read makes load.Options of them.
type loadFlags struct {
	load.Options
	servers          string
	mix              string
	idle, slow       string
	churn            string
	epoch            string
	findMax          string
	failIf           []string
	json, csv, hdr   string
	live, replicated bool

	herd *herd.Config // of the servers; nil if herd.toml does not have them
}

func (f *loadFlags) define(s *pflag.FlagSet) {
	s.IntVarP(&f.Connections, "connections", "c", 50, "connections")
	s.IntVarP(&f.Threads, "threads", "t", 1, "event loops")
	s.DurationVarP(&f.Duration, "duration", "d", 10*time.Second, "time that is measured")
	s.DurationVar(&f.Warmup, "warmup", time.Second, "time before that")
	s.IntVar(&f.Pipeline, "pipeline", 0, "lines in flight on a connection (default 1; with --rate 64 at most)")
	s.Float64Var(&f.Rate, "rate", 0, "lines due in a second, an open loop; 0 for a closed one")
	s.Float64Var(&f.ConnectRate, "connect-rate", 0, "connections made in a second; 0 for as fast as possible")
	s.StringVar(&f.mix, "mix", "iamat", "what is sent: iamat, whatsat, or iamat:whatsat=9:1")
	s.IntVar(&f.RadiusKM, "radius", 10, "kilometres of a WHATSAT")
	s.IntVar(&f.Bound, "bound", 5, "places of a WHATSAT")
	s.IntVar(&f.Clients, "clients", 0, "different client ids (default 1000, or as many as connections)")
	s.Float64Var(&f.Zipf, "zipf", 0, "skew of the ids, above 1; 0 for none")
	s.StringVar(&f.idle, "idle", "0", "how many of the connections send nothing: a number, or a part as 80%")
	s.StringVar(&f.slow, "slow-readers", "0", "how many of them send and hardly read, likewise")
	s.StringVar(&f.churn, "churn", "0", "clients that come for one line and go, as 100/s")
	s.StringVar(&f.servers, "servers", "", "servers of herd.toml, as Alford,Ball, or all (default: --at)")
	s.BoolVar(&f.replicated, "replication", false, "measure how long an update takes from the first server to the second")
	s.StringVar(&f.findMax, "find-max", "", "find the highest rate at which a condition holds, as 'p99<5ms': 8 times -d")
	s.StringArrayVar(&f.failIf, "fail-if", nil, "exit with 1 if a condition holds, as 'p99>5ms' or 'errors>0'; may be repeated")
	s.Uint64Var(&f.Seed, "seed", 0, "of ids, positions and the mix (default: by chance)")
	s.StringVar(&f.epoch, "epoch", "", "time of the first line, in seconds since 1970 (default: now)")
	s.StringVar(&f.json, "json", "", "write the report to a `file`, - for standard output")
	s.StringVar(&f.csv, "csv", "", "write a row for each second to a `file`, or to -")
	s.StringVar(&f.hdr, "hdr", "", "write the distribution of latencies to a `file` or -, as HdrHistogram has it")
	s.BoolVar(&f.live, "live", false, "a line each second (on a terminal that is so anyway)")
}

// read makes options of the flags.
func (f *loadFlags) read(o *options, set *pflag.FlagSet) (err error) {
	if f.Targets, f.Dialect, err = f.targets(o); err != nil {
		return err
	}
	if err := f.readMix(); err != nil {
		return err
	}
	if f.Idle, err = share("idle", f.idle, f.Connections); err != nil {
		return err
	}
	if f.SlowReaders, err = share("slow-readers", f.slow, f.Connections); err != nil {
		return err
	}
	if f.Idle+f.SlowReaders > max(0, f.Connections) {
		return usage("--idle and --slow-readers are more than all connections")
	}
	f.Connections -= f.Idle + f.SlowReaders
	if f.Churn, err = strconv.ParseFloat(strings.TrimSuffix(f.churn, "/s"), 64); err != nil || !(f.Churn >= 0) {
		return usage("--churn %q is not a rate as 100/s", f.churn)
	}
	if !set.Changed("seed") {
		f.Seed = uint64(rand.Uint32())
	}
	if f.epoch != "" {
		seconds, err := strconv.ParseFloat(f.epoch, 64)
		if err != nil || !(seconds >= 1 && seconds < 1e11) {
			return usage("--epoch %q is not a time in seconds since 1970", f.epoch)
		}
		f.Epoch = time.UnixMicro(int64(math.Round(seconds * 1e6)))
	}
	for _, text := range append(f.failIf, f.findMax) {
		if _, err := load.ParseThreshold(text); err != nil && text != "" {
			return usage("%v", err)
		}
	}
	switch {
	case sameFile(f.json, f.csv) || sameFile(f.json, f.hdr) || sameFile(f.csv, f.hdr):
		return usage("two of --json, --csv and --hdr name the same file")
	case f.findMax != "" && f.Rate > 0:
		return usage("--find-max looks for a rate, and --rate gives one")
	case f.findMax != "" && f.epoch != "":
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
		addr, dialect, err := o.target()
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
			s, err := find(cfg, name)
			if err != nil {
				return nil, 0, err
			}
			if slices.ContainsFunc(chosen, func(c herd.ServerConfig) bool { return c.Name == name }) {
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
func pidOf(s herd.ServerConfig) int {
	if s.Console == "" || !strings.HasPrefix(s.Console, "127.") && !strings.HasPrefix(s.Console, "localhost:") {
		return 0
	}
	status, err := ask(&http.Client{Timeout: time.Second}, s)
	if err != nil {
		return 0
	}
	return status.PID
}

// readMix reads --mix.
func (f *loadFlags) readMix() error {
	names, parts, given := strings.Cut(f.mix, "=")
	verbs, numbers := strings.Split(names, ":"), strings.Split(parts, ":")
	if given && len(verbs) != len(numbers) || len(verbs) > 2 {
		return usage("--mix %q is not as iamat:whatsat=9:1", f.mix)
	}
	for i, verb := range verbs {
		n, err := 1, error(nil)
		if given {
			n, err = strconv.Atoi(numbers[i])
		}
		switch {
		case err != nil || n < 0 || n > 1_000_000:
			return usage("--mix %q: %q is no part", f.mix, numbers[i])
		case verb == "iamat":
			f.IAMAT += n
		case verb == "whatsat":
			f.WHATSAT += n
		default:
			return usage("--mix %q: %q is neither iamat nor whatsat", f.mix, verb)
		}
	}
	if f.IAMAT+f.WHATSAT == 0 {
		return usage("--mix %q: nothing would be sent", f.mix)
	}
	return nil
}

// share is a number, or a part of all as 80%.
func share(flag, text string, of int) (int, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || !(v >= 0) || percent && v > 100 || !percent && (v > 1e9 || v != float64(int(v))):
		return 0, usage("--%s %q is neither a number nor a part as 80%%", flag, text)
	case percent:
		n := int(math.Round(v * float64(of) / 100))
		if n == 0 && v > 0 {
			return 0, usage("--%s %s of %d connections are none", flag, text, of)
		}
		return n, nil
	}
	return int(v), nil
}
