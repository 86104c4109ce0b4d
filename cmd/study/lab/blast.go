package lab

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/gnetreactor"
)

// blast is a closed loop that does as little as can be done: each connection writes the same
// bytes, awaits their replies, of which it counts the ends, and writes them again. It is for
// servers of another protocol, and for replies too long to be compared while time is measured. It
// stands on the engine of the loader, so that waking up costs both the same.
type blast struct {
	conns   int
	request []byte // several lines
	depth   int    // how many
	end     []byte // of a reply, two bytes, which stand nowhere else in it
	warmup  time.Duration
	length  time.Duration
}

// run loads a server and gives the replies that came in the measured time, and their bytes.
func (k blast) run(ctx context.Context, p *process) (l loaded, received float64, err error) {
	g := &gun{
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
			g.r.ConnectTCP(p.addr, 5*time.Second, &barrel{gun: g})
		}
	})
	if err := g.wait(ctx, g.ready, patience); err != nil {
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

// gun is a blast under way. Loop only, but for wait, counts and the channels.
type gun struct {
	blast
	r                 *gnetreactor.Reactor
	replies, received float64
	left              int           // connections to be made
	ready             chan struct{} // closed when all are
	failed            chan error    // the first thing that goes wrong
}

// wait waits for an event or for a time, unless something goes wrong.
func (g *gun) wait(ctx context.Context, event <-chan struct{}, d time.Duration) error {
	select {
	case <-event:
		return nil
	case <-time.After(d):
		if event != nil {
			return fmt.Errorf("no %d connections within %v", g.conns, d)
		}
		return nil
	case err := <-g.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counts are the replies so far, and their bytes.
func (g *gun) counts() [2]float64 {
	answer := make(chan [2]float64)
	g.r.CallFromThread(func() { answer <- [2]float64{g.replies, g.received} })
	return <-answer
}

func (g *gun) fail(err error) {
	select {
	case g.failed <- err:
	default: // it is not the first
	}
}

// barrel is one of its connections.
type barrel struct {
	gun  *gun
	t    reactor.Transport
	open int
	last byte // of what came before
}

// BuildProtocol implements reactor.Factory.
func (b *barrel) BuildProtocol(string) reactor.Protocol { return b }

// ConnectionFailed implements reactor.ClientFactory.
func (b *barrel) ConnectionFailed(reason error) { b.gun.fail(reason) }

// ConnectionMade implements reactor.Protocol.
func (b *barrel) ConnectionMade(t reactor.Transport) {
	b.t = t
	if b.gun.left--; b.gun.left == 0 {
		close(b.gun.ready)
	}
	b.fire()
}

func (b *barrel) fire() {
	b.open = b.gun.depth
	b.t.Write(b.gun.request)
}

// DataReceived implements reactor.Protocol.
func (b *barrel) DataReceived(p []byte) {
	g := b.gun
	ends := bytes.Count(p, g.end)
	if b.last == g.end[0] && p[0] == g.end[1] {
		ends++ // it came in two pieces
	}
	b.last = p[len(p)-1]
	g.replies += float64(ends)
	g.received += float64(len(p))
	if b.open -= ends; b.open <= 0 {
		b.fire()
	}
}

// ConnectionLost implements reactor.Protocol.
func (b *barrel) ConnectionLost(reason error) {
	b.gun.fail(fmt.Errorf("a connection was lost: %w", reason))
}

// pause lets time pass, unless there is no use.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
