package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/load"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/reactor"
)

// Subjects of the row tls.
const (
	withoutTLS  = "without TLS"
	tlsOptional = "TLS, optional"
	tlsRequired = "TLS, required"
)

// Settings of the row tls that are not a number of connections.
const (
	manyHandshakes = "300 handshakes a second"
	noHandshakes   = "none"
)

// tlsCost measures what TLS costs clients and the event loop.
func tlsCost() *Experiment {
	e := &Experiment{Section: SectionServer, OnDemand: true, Row: Row{
		Name:     "tls",
		Question: "What does TLS cost?",
		Method: "One server with the engine loop. TLS 1.3; with optional, a connection begins without and goes on over " +
			"TLS, with required the handshake is done before the loop sees it. First a closed loop with a pipeline of 1, " +
			"without line logs; the memory of a connection is what the process has more of when 1,000 that say nothing are " +
			"connected. Then 5,000 IAMATs a second on 50 connections, alone and beside 300 connections a second that make a " +
			"handshake (or, without TLS, none) and close: loop lag is how long posted calls wait for the event loop.",
		Variable: "connections", LogX: true,
		Subjects: []string{withoutTLS, tlsOptional, tlsRequired},
		Figures: append([]Figure{
			{Name: "replies", Unit: "1/s", Better: Higher, Chart: true},
			{Name: "p50", Unit: "ms", Better: Lower},
			{Name: "p99", Unit: "ms", Better: Lower, Chart: true, LogY: true},
			{Name: "memory of a connection", Unit: "KiB", Better: Lower},
			{Name: "loop lag, p99", Unit: "ms at most", Better: Lower},
			{Name: "handshakes", Unit: "1/s"},
		}, costFigures()...),
	}}
	for _, n := range []float64{1, 50, 1000} {
		e.Settings = append(e.Settings, Setting{Label: fmt.Sprint(n), X: n, Series: "closed loop", Quick: n == 50})
	}
	for _, label := range []string{noHandshakes, manyHandshakes} {
		e.Settings = append(e.Settings, Setting{Label: label, X: 50, Series: label})
	}
	e.Measure = func(ctx context.Context, b *Bench, r Run) (Values, error) {
		to, err := startTLS(ctx, b, r.Subject)
		if err != nil {
			return nil, err
		}
		defer to.stop()
		if r.Setting.Series != "closed loop" {
			return to[0].besideHandshakes(ctx, b, r.Setting.Label == manyHandshakes)
		}
		v := Values{}
		if r.Setting.X == 1000 {
			if v["memory of a connection"], err = to[0].memoryOfConnection(ctx, 1000); err != nil {
				return nil, err
			}
		}
		l, err := b.apply(ctx, to, load.Options{Connections: int(r.Setting.X)})
		if err != nil {
			return nil, err
		}
		v["replies"], v["p50"], v["p99"] = l.perSecond(), 1e3*l.report.Latency.P50, 1e3*l.report.Latency.P99
		for name, value := range l.cost() {
			v[name] = value
		}
		return v, to.verdict(ctx)
	}
	return e
}

// startTLS starts a server whose clients use TLS, or do not.
func startTLS(ctx context.Context, b *Bench, subject string) (servers, error) {
	mode := map[string]string{withoutTLS: "off", tlsOptional: "optional", tlsRequired: "required"}[subject]
	name := ringNames[0]
	files := config.TLS{
		CA: filepath.Join(b.Dir, "ca.pem"), Cert: filepath.Join(b.Dir, "cert.pem"), Key: filepath.Join(b.Dir, "key.pem"),
	}
	authority, _, err := certs.OpenAuthority(files.CA, "study", 24*time.Hour)
	if err != nil {
		return nil, err
	}
	if err := authority.Make(files, config.Server{Name: name}, 24*time.Hour); err != nil {
		return nil, err
	}
	roots, err := certs.Roots(files.CA)
	if err != nil {
		return nil, err
	}
	to, err := startHerd(ctx, b, herdOptions{engine: engines[0], toml: fmt.Sprintf(
		"[clients]\ntls = %q\n[tls]\nlinks = %q\nca = %q\ncert = %q\nkey = %q\n", mode, mode, files.CA, files.Cert, files.Key)})
	if err == nil && subject != withoutTLS {
		to[0].tls = certs.Client(roots, name)
	}
	return to, err
}

// connect connects to a server, over TLS if it has that.
func (p *process) connect(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil || p.tls == nil {
		return c, err
	}
	over := tls.Client(c, p.tls)
	if err := over.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return over, nil
}

// memoryOfConnection is what n connections that say nothing take each, in KiB.
func (p *process) memoryOfConnection(ctx context.Context, n int) (float64, error) {
	before := p.resident()
	held := make(crowd, n)
	defer held.close()
	for i := range held {
		var err error
		if held[i], err = p.connect(ctx); err != nil {
			return 0, err
		}
	}
	if err := p.connected(ctx, n); err != nil {
		return 0, err
	}
	return (p.resident() - before) / float64(n) / 1024, nil
}

// besideHandshakes measures 5,000 IAMATs a second, alone or beside handshakes.
func (p *process) besideHandshakes(ctx context.Context, b *Bench, handshakes bool) (Values, error) {
	before, err := p.status()
	if err != nil {
		return nil, err
	}
	during, stop := context.WithCancel(ctx)
	defer stop()
	made, failed, over := 0, error(nil), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(over)
		if handshakes {
			made, failed = p.shakeHands(during, 300)
		}
	}()
	l, err := b.apply(ctx, servers{p}, load.Options{Connections: 50, Rate: 5000})
	took := time.Since(begun).Seconds()
	stop()
	<-over
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	after, err := p.status()
	if err != nil {
		return nil, err
	}
	v := Values{
		"p50": 1e3 * l.report.Latency.P50, "p99": 1e3 * l.report.Latency.P99, "handshakes": float64(made) / took,
		"loop lag, p99": 1e3 * lagBetween(before.Loop, after.Loop, 0.99).Seconds(),
	}
	for name, value := range l.cost() {
		v[name] = value
	}
	return v, servers{p}.verdict(ctx)
}

// shakeHands makes so many connections a second, each of which closes after its handshake, until ctx ends.
func (p *process) shakeHands(ctx context.Context, perSecond int) (made int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			return made, err
		case <-tick.C:
		}
		all.Go(func() {
			c, failed := p.connect(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case failed == nil:
				made++
				c.Close()
			case ctx.Err() == nil && err == nil:
				err = failed
			}
		})
	}
}

// lagBetween is a quantile of the loop lag of the calls that were posted between two looks: an upper bound, a power of two
// in microseconds.
func lagBetween(before, after herd.LoopStatus, q float64) time.Duration {
	var h reactor.Histogram
	for i := range h.Counts {
		h.Counts[i] = after.Lags[i] - before.Lags[i]
	}
	return h.Quantile(q)
}
