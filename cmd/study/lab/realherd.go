package lab

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"serverherd/cmd/herd/parent"
)

// engines are the engines of the herd, by their names for herd serve --engine.
var engines = []string{"loop", "goroutines", "owner"}

// twoEngines are those of the question, for rows that owner adds nothing to.
var twoEngines = engines[:2]

// herdOptions configure the servers of a herd.
type herdOptions struct {
	engine    string
	servers   []string            // default one; or those of ring
	neighbors map[string][]string // nil for none
	logged    bool                // log.lines
	toml      string              // additional text of herd.toml
	env       []string
	args      []string // additional arguments of herd serve
	program   []string // instead of herd serve
	// preload is the number of records that the first server holds before the others are started.
	preload int
	early   bool // return without waiting until they are ready
}

// The paper's herd.
var ring = map[string][]string{
	"Alford": {"Hamilton", "Welsh"}, "Ball": {"Holiday", "Welsh"}, "Hamilton": {"Holiday", "Alford"},
	"Holiday": {"Ball", "Hamilton"}, "Welsh": {"Alford", "Ball"},
}

var ringNames = []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"}

// servers are the processes of one herd.
type servers []*process

// startHerd starts a herd and waits until it is ready, unless o.early.
func startHerd(ctx context.Context, b *Bench, o herdOptions) (servers, error) {
	if o.servers == nil {
		o.servers = ringNames[:1]
	}
	var toml strings.Builder
	fmt.Fprintf(&toml, "[herd]\nname = \"study\"\n[log]\nlines = %v\n%s", o.logged, o.toml)
	files := map[string][]*os.File{}
	addresses := map[string][2]string{}
	defer func() {
		for _, pair := range files {
			for _, f := range pair {
				f.Close()
			}
		}
	}()
	for _, name := range o.servers {
		var pair [2]string
		for i := range pair {
			addr, file, err := listener()
			if err != nil {
				return nil, err
			}
			pair[i], files[name] = addr, append(files[name], file)
		}
		addresses[name] = pair
		fmt.Fprintf(&toml, "[[server]]\nname = %q\naddress = %q\nconsole = %q\nneighbors = [",
			name, pair[0], pair[1])
		for _, n := range o.neighbors[name] {
			fmt.Fprintf(&toml, "%q, ", n)
		}
		toml.WriteString("]\n")
	}
	config := filepath.Join(b.Dir, "herd.toml")
	if err := os.WriteFile(config, []byte(toml.String()), 0o600); err != nil {
		return nil, err
	}
	var all servers
	for i, name := range o.servers {
		p, err := startServer(b, o, name, config, files[name])
		if err != nil {
			all.stop()
			return nil, err
		}
		p.addr, p.console = addresses[name][0], addresses[name][1]
		all = append(all, p)
		if i == 0 && o.preload > 0 {
			if err := p.preload(ctx, o.preload); err != nil {
				all.stop()
				return nil, err
			}
		}
	}
	if o.early {
		return all, nil
	}
	if err := all.ready(ctx); err != nil {
		all.stop()
		return nil, err
	}
	return all, nil
}

// startServer starts one server, with its listeners by LISTEN_FDS.
func startServer(b *Bench, o herdOptions, name, config string, listeners []*os.File) (*process, error) {
	end, err := parent.End()
	if err != nil {
		return nil, err
	}
	program := o.program
	if program == nil {
		program = []string{b.Herd, "serve"}
	}
	argv := slices.Concat(program, []string{name, "--config", config, "--engine", o.engine}, o.args)
	env := append([]string{
		fmt.Sprintf("LISTEN_FDS=%d", len(listeners)), fmt.Sprintf("%s=%d", parent.Variable, 3+len(listeners)),
	}, o.env...)
	return spawn(name, b.Dir, env, append(listeners[:len(listeners):len(listeners)], end), argv...)
}

// preload is preload of package lab for a process that may end meanwhile. Its listener is also open here, so
// that the connection would remain.
func (p *process) preload(ctx context.Context, records int) error {
	during, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-p.ended:
			stop()
		case <-during.Done():
		}
	}()
	if err := preload(during, p.addr, records); err != nil {
		return cmp.Or(p.alive(), err)
	}
	return nil
}

// ready waits until all servers are ready and all links are live.
func (all servers) ready(ctx context.Context) error {
	for _, p := range all {
		if err := p.until(ctx, "ready", func() bool {
			s, err := p.status()
			if err != nil || !s.Ready {
				return false
			}
			for _, l := range s.Links {
				if l.State != "live" {
					return false
				}
			}
			return true
		}); err != nil {
			return err
		}
	}
	return nil
}

func (all servers) stop() {
	for _, p := range all {
		p.stop()
	}
}

// verdict checks a herd after a run. The run is void if log entries were dropped, or if the servers do not
// converge. It is an error if a server has ended.
func (all servers) verdict(ctx context.Context) error {
	var last look
	var ended error
	if err := all[0].until(ctx, "all servers are equal", func() bool {
		for _, p := range all {
			if ended = p.alive(); ended != nil {
				return true
			}
		}
		l, err := all.look()
		last = l
		return err == nil && l.equal()
	}); err != nil {
		return Void("%v", err)
	}
	if ended != nil {
		return ended
	}
	for i, p := range all {
		if last[i].status.Counters.LogDropped > 0 {
			return Void("%s dropped log entries", p.name)
		}
	}
	return nil
}
