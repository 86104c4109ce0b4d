package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"serverherd/protocol"
)

// Slow readers send as fast as possible and read slowBytes per second.
const (
	slowBytes  = 1 << 10
	slowBuffer = 4 << 10 // socket receive buffer
)

// connectSlow makes the connections of slow readers. They are not part of the results; the server
// disconnects them by its limits.
func (r *run) connectSlow(ctx context.Context) error {
	for k := range r.o.SlowReaders {
		target := &r.o.Targets[k%len(r.o.Targets)]
		c, err := dialBlocking(ctx, r.o, target)
		if err != nil {
			return fmt.Errorf("%s, slow reader %d: %w", target.Name, k+1, explained(err))
		}
		r.slow = append(r.slow, c)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(slowBuffer)
		}
		go func() {
			lines := bytes.Repeat([]byte("WHATSAT nobody 1 1\n"), 100)
			for {
				if _, err := c.Write(lines); err != nil {
					return
				}
			}
		}()
		go func() {
			p := make([]byte, slowBytes)
			for tick := time.NewTicker(time.Second); ; <-tick.C {
				if _, err := c.Read(p); err != nil {
					tick.Stop()
					return
				}
			}
		}()
	}
	return nil
}

// preloadLines is how many requests preloadServer pipelines.
const preloadLines = 1000

// preload sends an IAMAT for every id that WHATSATs may ask for to every server.
func preload(ctx context.Context, o *Options) error {
	for i := range o.Targets {
		if err := preloadServer(ctx, o, &o.Targets[i]); ctx.Err() != nil {
			return errors.New("interrupted while preloading clients")
		} else if err != nil {
			return fmt.Errorf("%s: preload clients: %w", o.Targets[i].Name, err)
		}
	}
	return nil
}

func preloadServer(ctx context.Context, o *Options, target *Target) error {
	c, err := dialBlocking(ctx, o, target)
	if err != nil {
		return explained(err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	in := bufio.NewReaderSize(c, 64<<10)
	perReply := 2
	if o.Dialect == protocol.CS131 {
		perReply = 1
	}
	for from := 0; from < o.Clients; from += preloadLines {
		to := min(from+preloadLines, o.Clients)
		_ = c.SetDeadline(time.Now().Add(o.Timeout))
		if _, err := c.Write(appendPreload(nil, o, from, to)); err != nil {
			return noReply(err, o.Timeout)
		}
		for range (to - from) * perReply {
			_ = c.SetReadDeadline(time.Now().Add(o.Timeout))
			line, err := in.ReadSlice('\n')
			if err != nil {
				return noReply(err, o.Timeout)
			}
			if len(line) > 1 && !bytes.HasPrefix(line, []byte("AT ")) {
				return fmt.Errorf("unexpected reply %s", shown(line))
			}
		}
	}
	return nil
}
