package lab

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
)

// blast is a minimal closed loop: each connection writes the same bytes, waits for the replies by counting
// their ends, and repeats. It is for other protocols, and for replies that are too long to compare while
// measuring. It uses the same engine as the loader, so that wake-ups cost the same.
type blast struct {
	conns   int
	request []byte // one or more lines
	depth   int    // number of lines
	end     []byte // two bytes that occur only at the end of a reply
	warmup  time.Duration
	length  time.Duration
}

// run loads a server and returns the replies in the measured time, and their bytes.
func (k blast) run(ctx context.Context, p *process) (l loaded, received float64, err error) {
	g := &blastRun{
		blast: k, r: gnetreactor.New(gnetreactor.Options{}), left: k.conns,
		ready: make(chan struct{}), failed: make(chan error, 1),
	}
	ended := make(chan error, 1)
	go func() { ended <- g.r.Run() }()
	defer func() {
		g.r.Stop()
		<-ended
	}()
	g.r.CallFromThread(func() {
		for range k.conns {
			g.r.ConnectTCP(p.addr, 5*time.Second, &blastConn{run: g})
		}
	})
	if err := g.wait(ctx, g.ready, runTimeout); err != nil {
		return l, 0, err
	}
	if err := g.wait(ctx, nil, k.warmup); err != nil {
		return l, 0, err
	}
	m := &meter{servers: servers{p}}
	m.begin()
	before := g.counts()
	if err := g.wait(ctx, nil, k.length); err != nil {
		return l, 0, err
	}
	after := g.counts()
	m.end()
	m.result.replies = after[0] - before[0]
	return m.result, after[1] - before[1], m.err
}

// blastRun is a running blast. Loop only, except for wait, counts and the channels.
type blastRun struct {
	blast
	r                 *gnetreactor.Reactor
	replies, received float64
	left              int           // connections not made yet
	ready             chan struct{} // closed when all connections are made
	failed            chan error    // receives the first error
}

// wait waits for an event or a duration, or returns an error if the run has failed.
func (g *blastRun) wait(ctx context.Context, event <-chan struct{}, d time.Duration) error {
	select {
	case <-event:
		return nil
	case <-time.After(d):
		if event != nil {
			return fmt.Errorf("%d connections were not made within %v", g.conns, d)
		}
		return nil
	case err := <-g.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counts returns the replies so far and their bytes.
func (g *blastRun) counts() [2]float64 {
	answer := make(chan [2]float64)
	g.r.CallFromThread(func() { answer <- [2]float64{g.replies, g.received} })
	return <-answer
}

func (g *blastRun) fail(err error) {
	select {
	case g.failed <- err:
	default: // not the first
	}
}

// blastConn is a connection of a blast.
type blastConn struct {
	run  *blastRun
	t    reactor.Transport
	open int
	last byte // last byte of the previous read
}

// BuildProtocol implements reactor.Factory.
func (b *blastConn) BuildProtocol(string) reactor.Protocol { return b }

// ConnectionFailed implements reactor.ClientFactory.
func (b *blastConn) ConnectionFailed(reason error) { b.run.fail(reason) }

// ConnectionMade implements reactor.Protocol.
func (b *blastConn) ConnectionMade(t reactor.Transport) {
	b.t = t
	if b.run.left--; b.run.left == 0 {
		close(b.run.ready)
	}
	b.send()
}

func (b *blastConn) send() {
	b.open = b.run.depth
	b.t.Write(b.run.request)
}

// DataReceived implements reactor.Protocol.
func (b *blastConn) DataReceived(p []byte) {
	g := b.run
	ends := bytes.Count(p, g.end)
	if b.last == g.end[0] && p[0] == g.end[1] {
		ends++ // an end that was split between two reads
	}
	b.last = p[len(p)-1]
	g.replies += float64(ends)
	g.received += float64(len(p))
	if b.open -= ends; b.open <= 0 {
		b.send()
	}
}

// ConnectionLost implements reactor.Protocol.
func (b *blastConn) ConnectionLost(reason error) {
	b.run.fail(fmt.Errorf("connection lost: %w", reason))
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
