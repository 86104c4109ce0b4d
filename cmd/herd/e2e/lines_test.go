package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// periodically calls a function now, and then at intervals, until it is stopped or the test ends.
func periodically(t *testing.T, every time.Duration, what func()) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	stop = sync.OnceFunc(func() {
		close(done)
		all.Wait()
	})
	t.Cleanup(stop)
	all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			what()
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return stop
}

// peak watches the memory of a server's process. The returned function stops that and returns the maximum.
func (c *cluster) peak(name string) (most func() int) {
	c.T.Helper()
	pid, n := c.Running[name].Cmd.Process.Pid, 0
	stop := periodically(c.T, 10*time.Millisecond, func() { n = max(n, memory(c.T, pid)) })
	return func() int {
		stop()
		return n
	}
}

// tlsHello is the first message of a TLS client.
func tlsHello() []byte {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: "herd"}).Handshake()
	}()
	defer client.Close()
	defer server.Close()
	hello := make([]byte, 16<<10)
	n, _ := server.Read(hello)
	return hello[:n]
}

// noise returns n pseudo-random bytes, always the same.
func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// pour sends data to a server, as long as the server takes it, and returns what is received until the server closes the
// connection.
func pour(t *testing.T, conn net.Conn, p []byte) (replies []byte) {
	defer conn.Close()
	go func() { _, _ = conn.Write(p) }()
	chunk := make([]byte, 64<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(processtest.Patience))
		n, err := conn.Read(chunk)
		replies = append(replies, chunk[:n]...)
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Errorf("the server does not close a connection that sends %.20q", p)
		}
		if err != nil { // a reset is an end, too
			return replies
		}
	}
}

// entries counts the log entries of one connection by message, except for those of lines.
func entries(log, peer string) map[string]int {
	n, conn := map[string]int{}, 0.0
	for line := range strings.Lines(log) {
		var e struct {
			Msg, Peer string
			Conn      float64
		}
		if strings.Contains(line, `"msg":"line `) {
			continue
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.Peer == peer && conn == 0 {
			conn = e.Conn
		}
		if e.Peer == peer || conn != 0 && e.Conn == conn {
			n[e.Msg]++
		}
	}
	return n
}

// A server receives data of other protocols.
func TestNoise(t *testing.T) {
	scenario(t)
	c := startCluster(t, placeless, "Alford")
	const all = 10 * mib
	unbroken := bytes.ReplaceAll(noise(all), []byte("\n"), []byte("\r"))
	for i, test := range []struct {
		what   string
		poured []byte
		other  uint64 // refused as another protocol, at once
	}{
		{"random bytes", append(noise(all), unbroken[:64<<10]...), 0},
		{"random bytes without LF", unbroken, 0},
		{"an HTTP request", append([]byte("POST / HTTP/1.1\r\nHost: herd\r\n\r\n"), make([]byte, all)...), 1},
		{"a TLS hello", append(tlsHello(), unbroken...), 1},
	} {
		before, most, b := c.now("Alford").Counters, c.peak("Alford"), c.bystander("Alford")
		resident := c.memory("Alford")
		conn := c.dial("Alford")
		peer := conn.LocalAddr().String()
		replies := pour(t, conn, test.poured)
		after := c.now("Alford").Counters
		if long, other := after.LinesTooLong-before.LinesTooLong, after.OtherProtocols-before.OtherProtocols; long != 1-test.other || other != test.other {
			t.Errorf("%s: %d connections closed for a line too long, %d for another protocol", test.what, long, other)
		}
		lines := bytes.Count(test.poured, []byte("\n"))
		if got := bytes.Count(replies, []byte("\n\n")); i == 0 && got < lines {
			t.Errorf("%s: %d replies to %d lines", test.what, got, lines)
		}
		p99, _ := b.done()
		held := most() - resident
		figure(t, held < 32*mib, "10 MB of "+test.what+": memory bounded",
			"%d MiB more at most, %d KiB of replies; a bystander waits %.1f ms at p99",
			held/mib, len(replies)/1024, ms(p99))
		processtest.Eventually(t, "the end is logged", func() bool {
			n := entries(logOf(c.Herd, "Alford"), peer)
			return n["connection lost"] == 1 || test.other > 0 && n["other protocol refused"] == 1
		})
		n := entries(logOf(c.Herd, "Alford"), peer)
		delete(n, "connection made")
		if delete(n, "connection lost"); len(n) > 1 {
			t.Errorf("%s: log entries besides the lines: %v", test.what, n)
		}
	}
}

// A hundred connections send without end, and never an LF.
func TestNoLineEnds(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	const n = 100
	each := bytes.Repeat([]byte{'x'}, sized(2, 10)*mib)
	before, most, b := c.memory("Alford"), c.peak("Alford"), c.bystander("Alford")
	var all sync.WaitGroup
	for range n {
		conn := c.dial("Alford")
		all.Go(func() { pour(t, conn, each) })
	}
	all.Wait()
	p99, _ := b.done()
	held := most() - before
	if held > n*mib {
		t.Errorf("%d MiB more for %d lines that do not end", held/mib, n)
	}
	figure(t, held <= 32*mib, "100 connections that send no LF: memory bounded",
		"%d MiB more at most; a bystander waits %.1f ms at p99", held/mib, ms(p99))
	if got := c.now("Alford").Counters.LinesTooLong; got != n {
		t.Errorf("%d connections were closed for a line too long, want %d", got, n)
	}
}

// Ten thousand empty lines in a row.
func TestEmptyLines(t *testing.T) {
	scenario(t)
	c := startCluster(t, quiet, "Alford")
	const n = 10_000
	got := c.Ask("Alford", strings.Repeat("\n", n))
	if got != strings.Repeat("? \n\n", n) {
		t.Errorf("%d empty lines are answered by %d bytes: %.20q", n, len(got), got)
	}
	s := c.now("Alford").Counters
	figure(t, true, "10,000 empty lines: 10,000 replies", "%d read, %d replies", s.LinesReceived, s.Replies)
	if s.LinesReceived != n || s.Replies != n {
		t.Errorf("%d empty lines: %d read, %d replies", n, s.LinesReceived, s.Replies)
	}
}
