package study

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// blast is a closed loop that does as little as can be done: each connection writes the same
// bytes, awaits their replies, of which it counts the ends, and writes them again. It is for
// servers of another protocol, and for replies too long to be compared while time is measured.
type blast struct {
	conns   int
	request []byte // several lines
	depth   int    // how many
	end     []byte // of a reply; it stands nowhere else in it
	warmup  time.Duration
	length  time.Duration
}

// run loads a server and gives the replies that came in the measured time, and their bytes.
func (k blast) run(ctx context.Context, p *process) (l loaded, bytesIn float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &meter{servers: servers{p}}
	var mu sync.Mutex
	var replies, received int
	measuring := false
	count := func(n, size int) {
		mu.Lock()
		defer mu.Unlock()
		if measuring {
			replies, received = replies+n, received+size
		}
	}
	errs := make(chan error, k.conns)
	for range k.conns {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			cancel()
			return l, 0, err
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		go func() {
			defer stop()
			errs <- k.one(c, count)
		}()
	}
	pause(ctx, k.warmup)
	m.begin()
	mu.Lock()
	measuring = true
	mu.Unlock()
	pause(ctx, k.length)
	mu.Lock()
	measuring = false
	mu.Unlock()
	m.end()
	select {
	case err := <-errs: // before its time
		return l, 0, fmt.Errorf("%s: %w", p.name, err)
	default:
	}
	if m.err != nil {
		return l, 0, m.err
	}
	m.result.replies = float64(replies)
	return m.result, float64(received), ctx.Err()
}

// one is one connection, until it is closed.
func (k blast) one(c net.Conn, count func(n, size int)) error {
	buf := make([]byte, 256<<10)
	for {
		if _, err := c.Write(k.request); err != nil {
			return err
		}
		kept := 0 // of an end that is not complete
		for open := k.depth; open > 0; {
			n, err := c.Read(buf[kept:])
			if err != nil {
				return err
			}
			p := buf[:kept+n]
			ends := bytes.Count(p, k.end)
			open -= ends
			count(ends, n)
			kept = 0
			if ends == 0 || !bytes.HasSuffix(p, k.end) {
				kept = copy(buf, p[max(len(p)-len(k.end)+1, 0):])
			}
		}
	}
}

// pause lets time pass, unless there is no use.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
