package lab

import (
	"context"
	"os"
	"slices"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/parent"
	"serverherd/cmd/study/peers"
)

// Yardsticks: servers that do less than a herd's server, or something else.
const (
	bareLoop       = "bare gnet loop"
	bareGoroutines = "bare goroutines"
	redis          = "Redis GEOADD"
	redisBenchmark = "Redis GEOADD by redis-benchmark"
)

// BareServer is the study's subcommand that runs a bare server.
const BareServer = "bare"

// startAny starts one server of any subject.
func startAny(ctx context.Context, b *Bench, subject string, logged bool) (servers, error) {
	switch {
	case slices.Contains(engines, subject):
		return startHerd(ctx, b, herdOptions{engine: subject, logged: logged})
	case subject == bareLoop:
		return startBare(ctx, b, subject, "gnet")
	case subject == bareGoroutines:
		return startBare(ctx, b, subject, "goroutines")
	case subject == redis || subject == redisBenchmark:
		return startRedis(ctx, b)
	}
	return startPeer(ctx, subject, peers.Options{Dir: b.Dir, Lines: logged})
}

// startBare starts a bare server, see package bare.
func startBare(ctx context.Context, b *Bench, name, kind string) (servers, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	end, err := parent.End()
	if err != nil {
		return nil, err
	}
	p, err := spawn("bare-"+kind, b.Dir, []string{parent.Variable + "=3"}, []*os.File{end},
		b.Self, BareServer, kind, addr)
	if err != nil {
		return nil, err
	}
	p.name, p.addr = name, addr
	return listening(ctx, p)
}

func listening(ctx context.Context, p *process) (servers, error) {
	if err := p.listening(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return servers{p}, nil
}

// missing says why a subject cannot run here; "" if it can.
func missing(subject string) string {
	switch {
	case slices.Contains(engines, subject) || subject == bareLoop || subject == bareGoroutines:
		return ""
	case subject == redis || subject == redisBenchmark:
		return missingRedis(subject)
	}
	return missingPeer(subject)
}

// applyAny loads a server in a closed loop: with IAMATs, or Redis with GEOADDs of the same ids and
// positions. The loader checks every reply. For redisBenchmark, see benchmarkRedis.
func (b *Bench) applyAny(ctx context.Context, to servers, conns, pipeline int) (loaded, error) {
	return b.apply(ctx, to, load.Options{
		Connections: conns, Pipeline: pipeline, Redis: to[0].name == redisProcess,
	})
}
