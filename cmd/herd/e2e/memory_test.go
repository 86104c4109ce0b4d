package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// Many clients request much and read nothing, each within the limits of one connection. They use no more memory than
// max_buffered allows for all clients. A client that reads is served.
func TestAllClientsTogether(t *testing.T) {
	scenario(t)
	limit := sized(8*mib, 256*mib)
	extra := unlogged + processtest.Embedded
	if !*realSize { // that is the default
		extra += fmt.Sprintf("[limits]\nmax_buffered = %d\n", limit)
	}
	c := startCluster(t, extra, "Alford")
	c.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 1520023934\n")
	before, most := c.memory("Alford"), c.peak("Alford")
	b := c.bystander("Alford")
	// A slow client that reads its replies, after all others have been disconnected.
	const questions = 20
	honest := c.dial("Alford")
	_ = honest.SetDeadline(time.Now().Add(5 * processtest.Patience))
	fmt.Fprint(honest, strings.Repeat("WHATSAT kiwi 50 20\n", questions))

	// The kernel's buffers hold the replies to about 60 of them.
	n, asked := sized(100, 3000), sized(200, 70)
	leave := c.neverRead(n, asked, sized(10*time.Millisecond, 5*time.Millisecond))
	processtest.Eventually(t, "some are disconnected", func() bool { return c.now("Alford").Counters.MemoryLimits > 0 })
	processtest.Eventually(t, "all have been executed", func() bool {
		s := c.now("Alford")
		return s.Lookups.Open == 0
	})
	p99, _ := b.done()
	s := c.now("Alford")
	if s.Buffered > limit {
		t.Errorf("%d bytes are buffered, more than %d", s.Buffered, limit)
	}
	in := bufio.NewReader(honest)
	for i := range questions {
		for line := ""; line != "\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatalf("the reading client, after %d replies: %v", i, err)
			}
		}
	}
	grown := most() - before
	// There may be as much garbage as there is memory in use, more while the collector lags, and the overhead of the
	// race detector.
	figure(t, grown < 3*limit+before+sized(256, 0)*mib, "clients that do not read: memory bounded for all together",
		"%d connections, %.1f MB of requests: %.0f MiB more at most, %d disconnected; a bystander waits %.1f ms at p99",
		n, float64(n*asked*19)/1e6, float64(grown)/mib, s.Counters.MemoryLimits, ms(p99))
	leave()
	processtest.Eventually(t, "nothing is buffered for closed connections", func() bool {
		return c.now("Alford").Buffered < 1*mib
	})
	_, _ = io.WriteString(honest, "quit\n")
}

// neverRead has clients send many requests and read nothing, one client after the other: of many simultaneous lookups
// most would be refused. The returned function closes their connections.
func (c *cluster) neverRead(n, asked int, pause time.Duration) (leave func()) {
	c.T.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		})
	}}
	var clients []net.Conn
	leave = func() {
		for _, conn := range clients {
			conn.Close()
		}
	}
	c.T.Cleanup(leave)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range n {
		conn, err := small.Dial("tcp", c.Server("Alford").Listen)
		if err != nil {
			c.T.Fatal(err)
		}
		clients = append(clients, conn)
		fmt.Fprint(conn, strings.Repeat("WHATSAT kiwi 50 20\n", asked))
		<-tick.C
	}
	return leave
}

// A server with GOMEMLIMIT disconnects clients that make it buffer more than its share, survives, and returns the memory to
// the system when they have gone: while it serves others, and if there are none, at Go's periodic garbage collection.
func TestMemoryLimit(t *testing.T) {
	scenario(t)
	memoryLimit := sized(48*mib, 128*mib)
	share := memoryLimit / 4 // max_buffered by default
	c := newCluster(t, unlogged+processtest.Embedded, "Alford")
	c.Env = append(c.Env, fmt.Sprintf("GOMEMLIMIT=%d", memoryLimit))
	c.startAll()
	c.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 1520023934\n")
	c.Ask("Alford", "WHATSAT kiwi 50 20\n")
	before, most := c.memory("Alford"), c.peak("Alford")
	leave := c.neverRead(sized(60, 150), 200, 10*time.Millisecond)
	processtest.Eventually(t, "some are disconnected", func() bool { return c.now("Alford").Counters.MemoryLimits > 0 })
	processtest.Eventually(t, "all have been executed", func() bool { return c.now("Alford").Lookups.Open == 0 })
	s := c.now("Alford")
	if s.Buffered > share {
		t.Errorf("%d bytes are buffered, more than a quarter of GOMEMLIMIT", s.Buffered)
	}
	grown := most() - before
	// With less growth the test would prove nothing. The race detector needs several more bytes for each byte, which
	// GOMEMLIMIT does not count.
	if grown < share/2 {
		t.Errorf("only %d bytes more", grown)
	}
	leave()
	begun := time.Now()
	processtest.Within(t, 10*time.Minute, "the memory is returned", func() bool {
		if !*realSize { // in real size the server is idle
			for range 20 {
				c.Ask("Alford", "WHATSAT kiwi 50 20\n")
			}
		}
		return c.memory("Alford") < before+grown/4
	})
	figure(t, grown < memoryLimit && time.Since(begun) < 5*time.Minute,
		"GOMEMLIMIT of 128 MiB, clients that do not read: memory below it, and returned within five idle minutes",
		"%.0f MiB more at most, %d cut off; all but %.0f MiB given back %.0f s after they have gone",
		float64(grown)/mib, s.Counters.MemoryLimits, float64(c.memory("Alford")-before)/mib, time.Since(begun).Seconds())
	c.now("Alford") // the same process answers: it was not restarted
}
