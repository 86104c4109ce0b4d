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

// Slow readers send as fast as they may and read a little each second.
const (
	slowBytes  = 1 << 10
	slowBuffer = 4 << 10 // of the kernel, for what they do not read
)

// connectSlow makes the connections of slow readers. What becomes of them is not part of the figures;
// the server cuts them off when it has had enough.
func (r *run) connectSlow(ctx context.Context) error {
	dialer := net.Dialer{Timeout: r.o.Timeout}
	for k := range r.o.SlowReaders {
		target := &r.o.Targets[k%len(r.o.Targets)]
		c, err := dialer.DialContext(ctx, "tcp", target.Addr)
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

// preloadLines is how many lines of makeKnown are under way at once.
const preloadLines = 1000

// makeKnown tells every server of every id that WHATSATs will ask for.
func makeKnown(ctx context.Context, o *Options) error {
	for i := range o.Targets {
		if err := makeKnownAt(ctx, o, &o.Targets[i]); ctx.Err() != nil {
			return errors.New("interrupted before the clients were made known")
		} else if err != nil {
			return fmt.Errorf("%s, making the clients known: %w", o.Targets[i].Name, err)
		}
	}
	return nil
}

func makeKnownAt(ctx context.Context, o *Options, target *Target) error {
	dialer := net.Dialer{Timeout: o.Timeout}
	c, err := dialer.DialContext(ctx, "tcp", target.Addr)
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
		if _, err := c.Write(preload(nil, o, from, to)); err != nil {
			return noReply(err, o.Timeout)
		}
		for range (to - from) * perReply {
			_ = c.SetReadDeadline(time.Now().Add(o.Timeout))
			line, err := in.ReadSlice('\n')
			if err != nil {
				return noReply(err, o.Timeout)
			}
			if len(line) > 1 && !bytes.HasPrefix(line, []byte("AT ")) {
				return fmt.Errorf("the reply is %s", shown(line))
			}
		}
	}
	return nil
}
