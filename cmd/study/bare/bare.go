// Package bare has two servers that consist only of the herd's parser and a map, without feed, digest,
// logs, limits and links. The study compares the herd's server with them. Each uses its engine as
// recommended.
package bare

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"serverherd/protocol"
)

// Serve runs the server of a kind, "gnet" or "goroutines", at addr until the process ends.
func Serve(kind, addr string) error {
	switch kind {
	case "gnet":
		return serveLoop(addr)
	case "goroutines":
		return serveGoroutines(addr)
	}
	return fmt.Errorf("unknown bare server %q: expected gnet or goroutines", kind)
}

// state is the newest record of each client.
type state map[string]protocol.Record

// read parses one line into scratch, or appends an error reply to dst.
func read(dst, line []byte, now time.Time, scratch *protocol.Record) (reply []byte, id []byte) {
	c, err := protocol.Paper.Parse(line, protocol.MaxClientID)
	if err != nil || c.Verb != protocol.VerbIAMAT {
		return protocol.Paper.AppendUnknown(dst, line), nil
	}
	*scratch = protocol.MakeRecord(scratch.Text(), "Alford", now, c)
	return dst, c.Client
}

// apply stores the record if it is the newest of its client.
func (s state) apply(id []byte, r protocol.Record) {
	if old, known := s[string(id)]; !known || r.CompareTime(old) > 0 {
		s[string(id)] = r.CloneInto(old.Text())
	}
}

// buffer is the size of the read buffer; all lines in it are answered with one write.
const buffer = 64 << 10

// serveGoroutines uses a goroutine per connection, a mutex for the map, and one write for all lines in the
// read buffer. The mutex is held only for the map; lines are parsed and replies formatted concurrently. It
// is not an RWMutex, because every access may write, and not sharded, because two cores hardly contend:
// uncontended it costs about 20 ns per line.
func serveGoroutines(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	s := state{}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			in := bufio.NewReaderSize(c, buffer)
			var out []byte
			var scratch protocol.Record
			var now time.Time // once per write; the loop reads it once per chunk
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(out) == 0 {
					now = time.Now()
				}
				var id []byte
				if out, id = read(out, line[:len(line)-1], now, &scratch); id != nil {
					mu.Lock()
					s.apply(id, scratch)
					mu.Unlock()
					out = protocol.Paper.AppendAck(out, scratch)
				}
				if in.Buffered() > 0 {
					continue
				}
				if _, err := c.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
		}()
	}
}

// loop is a bare gnet event loop.
type loop struct {
	gnet.BuiltinEventEngine
	state   state
	out     []byte
	scratch protocol.Record
}

// OnTraffic answers all complete lines of the chunk with one write.
func (b *loop) OnTraffic(c gnet.Conn) gnet.Action {
	chunk, _ := c.Peek(-1)
	now := time.Now()
	used := 0
	b.out = b.out[:0]
	for {
		i := bytes.IndexByte(chunk[used:], '\n')
		if i < 0 {
			break
		}
		var id []byte
		if b.out, id = read(b.out, chunk[used:used+i], now, &b.scratch); id != nil {
			b.state.apply(id, b.scratch)
			b.out = protocol.Paper.AppendAck(b.out, b.scratch)
		}
		used += i + 1
	}
	if used == 0 {
		return gnet.None // an incomplete line; gnet treats Discard(0) as Discard of everything
	}
	c.Discard(used)
	c.Write(b.out)
	return gnet.None
}

// serveLoop uses gnet as in its examples, with gnet's listener. It uses one loop, like the herd's server;
// with more, the map would need a lock.
func serveLoop(addr string) error {
	return gnet.Run(&loop{state: state{}}, "tcp://"+addr, gnet.WithReuseAddr(true),
		gnet.WithReadBufferCap(buffer), gnet.WithLogLevel(logging.ErrorLevel))
}
