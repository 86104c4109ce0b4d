package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is a set of open connections. One goroutine.
type crowd []net.Conn

// connectCrowd opens n connections, several concurrently, and if active, exchanges some lines on each.
func connectCrowd(ctx context.Context, addr string, n int, active bool) (crowd, error) {
	if err := checkDescriptors(n); err != nil {
		return nil, err
	}
	all := make(crowd, n)
	var group sync.WaitGroup
	const hands = 16
	errs := make([]error, hands)
	for hand := range hands {
		group.Go(func() {
			for i := hand; i < n && errs[hand] == nil && ctx.Err() == nil; i += hands {
				if all[i], errs[hand] = net.Dial("tcp", addr); errs[hand] == nil && active {
					errs[hand] = exchange(all[i], i)
				}
			}
		})
	}
	group.Wait()
	for _, err := range append(errs, ctx.Err()) {
		if err != nil {
			all.close()
			return nil, err
		}
	}
	return all, nil
}

// checkDescriptors returns an error if a process, a server or this one, cannot have n connections.
func checkDescriptors(n int) error {
	const reserved = 700 // of a server's descriptors, for other files
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && uint64(limit.Cur) < uint64(n)+reserved {
		return Cannot("%d connections need %d file descriptors, but the limit is %d: raise ulimit -n",
			n, n+reserved, limit.Cur)
	}
	return nil
}

// close closes all connections.
func (c crowd) close() {
	for _, conn := range c {
		if conn != nil {
			conn.Close()
		}
	}
}

// exchange sends sixteen updates in one write and reads their replies.
func exchange(c net.Conn, client int) error {
	var lines []byte
	const updates = 16
	for i := range updates {
		lines = fmt.Appendf(lines, "IAMAT client%d +34.068930-118.445127 1500000000.%03d\n", client, i)
	}
	if _, err := c.Write(lines); err != nil {
		return err
	}
	replies, err := readReplies(c, updates)
	if err == nil && strings.Count(replies, "AT ") != updates {
		return Void("unexpected replies to %d updates: %q", updates, replies)
	}
	return err
}

// readReplies reads n replies. Each ends with an empty line.
func readReplies(c net.Conn, n int) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var all bytes.Buffer
	buf := make([]byte, 64<<10)
	for bytes.Count(all.Bytes(), endOfReply) < n {
		k, err := c.Read(buf)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(buf[:k])
	}
	return all.String(), nil
}

// askOnce sends lines on a new connection and returns the replies.
func askOnce(addr string, lines string, replies int) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, lines); err != nil {
		return "", err
	}
	return readReplies(c, replies)
}
