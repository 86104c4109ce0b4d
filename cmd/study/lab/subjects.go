package lab

import (
	"bytes"
	"context"
	"os"
	"os/exec"
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
)

// BareServer is the study's subcommand that runs a bare server.
const BareServer = "bare"

const redisProcess = "redis"

// startAny starts one server of any subject.
func startAny(ctx context.Context, b *Bench, subject string, logged bool) (servers, error) {
	switch {
	case slices.Contains(engines, subject):
		return startHerd(ctx, b, herdOptions{engine: subject, logged: logged})
	case subject == bareLoop:
		return startBare(ctx, b, subject, "gnet")
	case subject == bareGoroutines:
		return startBare(ctx, b, subject, "goroutines")
	case subject == redis:
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

// startRedis starts Redis without persistence.
func startRedis(ctx context.Context, b *Bench) (servers, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := bytes.Cut([]byte(addr), []byte(":"))
	p, err := spawn(redisProcess, b.Dir, nil, nil, "redis-server", "--port", string(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	p.addr = addr
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
	case subject == redis:
		if _, err := exec.LookPath("redis-server"); err != nil {
			return "redis-server is not installed: apt-get install redis-server"
		}
		return ""
	}
	return missingPeer(subject)
}

// applyAny loads a server in a closed loop: with IAMATs, or Redis with GEOADDs of the same ids and
// positions. The loader checks every reply.
func (b *Bench) applyAny(ctx context.Context, to servers, conns, pipeline int) (loaded, error) {
	return b.apply(ctx, to, load.Options{
		Connections: conns, Pipeline: pipeline, Redis: to[0].name == redisProcess,
	})
}
