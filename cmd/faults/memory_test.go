package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/processtest"
)

// Many clients that ask for much and read nothing, each within the limits of one connection, take no
// more memory than max_buffered allows all of them. Whoever reads is served.
func TestAllClientsTogether(t *testing.T) {
	scenario(t)
	limit := sized(8*mib, 256*mib)
	extra := unlogged
	if !*realSize { // that is the default
		extra += fmt.Sprintf("[limits]\nmax_buffered = %d\n", limit)
	}
	c := startCluster(t, extra, "Alford")
	c.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 1520023934\n")
	before, most := c.memory("Alford"), c.peak("Alford")
	b := c.bystander("Alford")
	// One that is slow, and honest: it reads what it has asked for, after all others have been cut off.
	const questions = 20
	honest := c.dial("Alford")
	_ = honest.SetDeadline(time.Now().Add(5 * processtest.Patience))
	fmt.Fprint(honest, strings.Repeat("WHATSAT kiwi 50 20\n", questions))

	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		})
	}}
	var attackers []net.Conn
	leave := func() {
		for _, conn := range attackers {
			conn.Close()
		}
	}
	t.Cleanup(leave)
	// One after the other, as of many lookups at once most would be refused.
	// The kernel holds the replies to some 60 of them.
	n, asked := sized(100, 3000), sized(200, 70)
	tick := time.NewTicker(sized(10*time.Millisecond, 5*time.Millisecond))
	defer tick.Stop()
	for range n {
		conn, err := small.Dial("tcp", c.Server("Alford").Listen)
		if err != nil {
			t.Fatal(err)
		}
		attackers = append(attackers, conn)
		fmt.Fprint(conn, strings.Repeat("WHATSAT kiwi 50 20\n", asked))
		<-tick.C
	}
	processtest.Eventually(t, "some are cut off", func() bool { return c.now("Alford").Counters.MemoryLimits > 0 })
	processtest.Eventually(t, "all have been executed", func() bool {
		s := c.now("Alford")
		return s.Lookups.Open == 0
	})
	p99, _ := b.done()
	s := c.now("Alford")
	if s.Buffered > limit {
		t.Errorf("%d bytes are kept, more than %d", s.Buffered, limit)
	}
	in := bufio.NewReader(honest)
	for i := range questions {
		for line := ""; line != "\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatalf("the honest client, after %d replies: %v", i, err)
			}
		}
	}
	grown := most() - before
	// There may be as much garbage as what is in use, more while the collector falls behind, and the
	// race detector's part.
	figure(t, grown < 3*limit+before+sized(256, 0)*mib, "clients that do not read: memory bounded for all together",
		"%d connections, %.1f MB of requests: %.0f MiB more at most, %d cut off; a bystander waits %.1f ms at p99",
		n, float64(n*asked*19)/1e6, float64(grown)/mib, s.Counters.MemoryLimits, ms(p99))
	leave()
	processtest.Eventually(t, "nothing is kept for those who have left", func() bool {
		return c.now("Alford").Buffered < 1*mib
	})
	_, _ = io.WriteString(honest, "quit\n")
}
