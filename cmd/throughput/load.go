package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"time"
)

// load keeps depth IAMAT lines in flight on each of conns connections for the given time and
// returns how many replies came. Each line is newer than the last of its client, so each is
// stored.
func load(addr string, conns, depth int, length time.Duration) (replies int, err error) {
	deadline := time.Now().Add(length)
	counts, errs := make([]int, conns), make([]error, conns)
	var group sync.WaitGroup
	for i := range conns {
		group.Go(func() { counts[i], errs[i] = loadOne(addr, i, depth, deadline) })
	}
	group.Wait()
	for i := range conns {
		if errs[i] != nil {
			return 0, errs[i]
		}
		replies += counts[i]
	}
	return replies, nil
}

func loadOne(addr string, i, depth int, deadline time.Time) (replies int, err error) {
	c, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	lines, stamps := batch(i, depth)
	buf := make([]byte, 32<<10)
	for stamp := uint64(time.Now().UnixNano() % 1e15); time.Now().Before(deadline); {
		for _, s := range stamps {
			stamp++
			putDigits(lines[s:s+15], stamp)
		}
		if _, err := c.Write(lines); err != nil {
			return replies, err
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if err := await(c, buf, depth); err != nil {
			return replies, fmt.Errorf("after %d replies: %w", replies, err)
		}
		replies += depth
	}
	return replies, nil
}

// dial waits for a server that has just been started to listen.
func dial(addr string) (net.Conn, error) {
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil || time.Since(begun) > 5*time.Second {
			return c, err
		}
	}
}

// batch is depth lines of client i and where in it their stamps' last fifteen digits are.
func batch(i, depth int) (lines []byte, stamps []int) {
	for range depth {
		lines = fmt.Appendf(lines, "IAMAT client%03d.cs.ucla.edu +34.068930-118.445127 1520", i)
		stamps = append(stamps, len(lines))
		lines = append(lines, "000000000000000\n"...)
	}
	for _, s := range stamps {
		lines[s+6] = '.'
	}
	return lines, stamps
}

// putDigits writes v into the digits of p, around the decimal point in it.
func putDigits(p []byte, v uint64) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != '.' {
			p[i] = byte('0' + v%10)
			v /= 10
		}
	}
}

// await reads n replies, each of which ends in an empty line.
func await(c net.Conn, buf []byte, n int) error {
	var last byte
	for n > 0 {
		k, err := c.Read(buf)
		if err != nil {
			return err
		}
		p := buf[:k]
		if p[0] == '\n' && last == '\n' {
			n--
		}
		n -= bytes.Count(p, []byte("\n\n"))
		last = p[k-1]
	}
	return nil
}
