package load

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Slow readers send requests and read almost nothing. They do not count in the results.
func TestSlowReaders(t *testing.T) {
	const unread = 32 << 20 // more than the socket buffers of both sides
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lines atomic.Uint64
	taken := make(chan int, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if strings.HasPrefix(line, "WHATSAT nobody ") {
						n, _ := c.Write(bytes.Repeat([]byte("x"), unread))
						taken <- n
						return
					}
					lines.Add(1)
					if _, err := c.Write(well(0, strings.TrimSuffix(line, "\n"))); err != nil {
						return
					}
				}
			}()
		}
	}()
	o := small(Target{Name: "Alford", Addr: l.Addr().String()})
	o.SlowReaders, o.Duration = 2, time.Second
	r := mustRun(t, o)
	if r.All.Sent != lines.Load() || r.All.Replies != r.All.Sent || r.All.Errors != 0 {
		t.Errorf("%d lines of the others came; %+v", lines.Load(), r.All)
	}
	for range o.SlowReaders { // closed at the end of the run
		if n := <-taken; n == 0 || n > unread/2 {
			t.Errorf("a slow reader has taken %d bytes of %d", n, unread)
		}
	}
}
