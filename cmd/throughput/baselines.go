package main

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

// state is what both baselines keep: the newest record of each client. It parses, compares,
// stores and formats with the herd's own code; there is no feed, digest, log, limit or link.
type state map[string]protocol.Record

// answer appends the reply to one line.
func (s state) answer(dst, line []byte, now time.Time, scratch *protocol.Record) []byte {
	c, err := protocol.Parse(line, 1024)
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

func serveBaseline(kind, addr string) error {
	switch kind {
	case "gnet":
		return serveGnet(addr)
	case "net":
		return serveNet(addr)
	}
	return fmt.Errorf("no baseline is called %q", kind)
}

// serveNet is the plain way: a goroutine for each connection, a mutex around the map, and one
// write for all the lines that were there to be read.
func serveNet(addr string) error {
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

// bareLoop is a gnet event loop without anything around it.
type bareLoop struct {
	gnet.BuiltinEventEngine
	state   state
	out     []byte
	scratch protocol.Record
}

// OnTraffic answers every complete line of the chunk with one write.
func (b *bareLoop) OnTraffic(c gnet.Conn) gnet.Action {
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

// serveGnet uses gnet as its examples do, with its own listener.
func serveGnet(addr string) error {
	return gnet.Run(&bareLoop{state: state{}}, "tcp://"+addr, gnet.WithReuseAddr(true),
		gnet.WithReadBufferCap(64<<10), gnet.WithLogLevel(logging.ErrorLevel))
}
