// Package bare has two servers that are the herd's parser and a map, and nothing else: no feed,
// digest, log, limit or link. They are what the study holds the herd's server against, each
// written the way in which its engine is meant to be used.
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

// Serve serves at addr until the process ends: "gnet" or "goroutines".
func Serve(kind, addr string) error {
	switch kind {
	case "gnet":
		return serveLoop(addr)
	case "goroutines":
		return serveGoroutines(addr)
	}
	return fmt.Errorf("no bare server is called %q; there are gnet and goroutines", kind)
}

// state is the newest record of each client.
type state map[string]protocol.Record

// read makes the record of one line, in scratch, or appends the reply to what is none.
func read(dst, line []byte, now time.Time, scratch *protocol.Record) (reply []byte, id []byte) {
	c, err := protocol.Paper.Parse(line, protocol.MaxClientID)
	if err != nil || c.Verb != protocol.VerbIAMAT {
		return protocol.Paper.AppendUnknown(dst, line), nil
	}
	*scratch = protocol.MakeRecord(scratch.Text(), "Alford", now, c)
	return dst, c.Client
}

// apply keeps the record if it is the newest of its client.
func (s state) apply(id []byte, r protocol.Record) {
	if old, known := s[string(id)]; !known || r.CompareTime(old) > 0 {
		s[string(id)] = r.CloneInto(old.Text())
	}
}

// buffer is how much either reads at a time; what fits is answered by one write.
const buffer = 64 << 10

// serveGoroutines is the plain way: a goroutine for each connection, a mutex around the map, and one
// write for all the lines that were there to be read. The mutex is held for the map alone: lines are
// parsed and replies made side by side. It is a Mutex, as every access may write, and one, as two
// processors do not fight over it: uncontended it costs some 20 ns a line.
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
			var now time.Time // asked for once a write, as the loop does once a chunk
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

// loop is a gnet event loop without anything around it.
type loop struct {
	gnet.BuiltinEventEngine
	state   state
	out     []byte
	scratch protocol.Record
}

// OnTraffic answers every complete line of the chunk with one write.
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
		return gnet.None // half a line; gnet takes a Discard of nothing for one of everything
	}
	c.Discard(used)
	c.Write(b.out)
	return gnet.None
}

// serveLoop uses gnet as its examples do, with its own listener. It is one loop: with more the map
// would need a lock, and the herd's server has one, too.
func serveLoop(addr string) error {
	return gnet.Run(&loop{state: state{}}, "tcp://"+addr, gnet.WithReuseAddr(true),
		gnet.WithReadBufferCap(buffer), gnet.WithLogLevel(logging.ErrorLevel))
}
