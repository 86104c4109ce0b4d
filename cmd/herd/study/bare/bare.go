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

// answer appends the reply to one line.
func (s state) answer(dst, line []byte, now time.Time, scratch *protocol.Record) []byte {
	c, err := protocol.Parse(line, protocol.MaxClientID)
	if err != nil || c.Verb != protocol.VerbIAMAT {
		return protocol.Paper.AppendUnknown(dst, line)
	}
	*scratch = protocol.MakeRecord(scratch.Text(), "Alford", now, c)
	old, known := s[string(c.Client)]
	if !known || scratch.CompareTime(old) > 0 {
		s[string(c.Client)] = scratch.CloneInto(old.Text())
	}
	return protocol.Paper.AppendAck(dst, *scratch)
}

// serveGoroutines is the plain way: a goroutine for each connection, a mutex around the map, held
// for as long as the map is used, and one write for all the lines that were there to be read.
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
			in := bufio.NewReaderSize(c, 8<<10)
			var out []byte
			var scratch protocol.Record
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				now := time.Now()
				mu.Lock()
				out = s.answer(out, line[:len(line)-1], now, &scratch)
				mu.Unlock()
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
		b.out = b.state.answer(b.out, chunk[used:used+i], now, &b.scratch)
		used += i + 1
	}
	c.Discard(used)
	c.Write(b.out)
	return gnet.None
}

// serveLoop uses gnet as its examples do, with its own listener.
func serveLoop(addr string) error {
	return gnet.Run(&loop{state: state{}}, "tcp://"+addr, gnet.WithReuseAddr(true),
		gnet.WithReadBufferCap(64<<10), gnet.WithLogLevel(logging.ErrorLevel))
}
