package study

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/study/peers"
)

// Yardsticks: what does less than a server of a herd, or something else.
const (
	bareLoop       = "bare gnet loop"
	bareGoroutines = "bare goroutines"
	redis          = "Redis GEOADD"
)

// startAny starts one server of a subject.
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

// startBare starts a server that is the same parser and a map, and nothing else.
func startBare(ctx context.Context, b *Bench, name, kind string) (servers, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	held, err := leash()
	if err != nil {
		return nil, err
	}
	p, err := spawn("bare-"+kind, b.Dir, []string{"HERD_PARENT_FD=3"}, []*os.File{held.theirs},
		b.Herd, "study", "bare", kind, addr)
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
	p, err := spawn("redis", b.Dir, nil, nil, "redis-server", "--port", string(port), "--bind", "127.0.0.1",
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

// missing says why a subject cannot run here.
func missing(subject string) string {
	switch {
	case slices.Contains(engines, subject) || subject == bareLoop || subject == bareGoroutines:
		return ""
	case subject == redis:
		if _, err := exec.LookPath("redis-server"); err != nil {
			return "there is no redis-server: apt-get install redis-server"
		}
		return ""
	}
	return missingPeer(subject)
}

// applyAny loads a server in a closed loop: with IAMATs that are each compared with their replies,
// or Redis with GEOADDs of as many members, which nobody looks at.
func (b *Bench) applyAny(ctx context.Context, to servers, conns, pipeline int) (loaded, error) {
	if to[0].name != "redis" {
		return b.apply(ctx, to, load.Options{Connections: conns, Pipeline: pipeline})
	}
	k := blast{conns: conns, depth: pipeline, end: []byte("\r\n")}
	k.warmup, k.length = b.lengths(conns)
	for i := range pipeline {
		member := fmt.Sprintf("load%07d", i)
		k.request = fmt.Appendf(k.request, "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n"+
			"$11\r\n-118.445127\r\n$9\r\n34.068930\r\n$%d\r\n%s\r\n", len(member), member)
	}
	l, _, err := k.run(ctx, to[0])
	return l, err
}
