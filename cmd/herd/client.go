package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"

	"serverherd/protocol"
)

// Times that a client command waits for a server.
const (
	dialTimeout  = 5 * time.Second
	replyTimeout = 90 * time.Second // more than any lookup may take
)

// conversation is a client's connection to a server.
type conversation struct {
	net.Conn
	in      *bufio.Reader
	dialect protocol.Dialect
}

func dial(o *options) (*conversation, error) {
	addr, dialect, err := o.target()
	if err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("%w; is the server running? herd status tells", err)
	}
	return &conversation{c, bufio.NewReaderSize(c, 64<<10), dialect}, nil
}

// reply reads one reply to a line that begins with verb, and returns it without its end.
func (c *conversation) reply(verb string) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(replyTimeout)); err != nil {
		return "", err
	}
	var text strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("the server closed the connection before its reply: %w", err)
		}
		if line == "\n" && text.Len() > 0 {
			return strings.TrimSuffix(text.String(), "\n"), nil
		}
		text.WriteString(line)
		if c.dialect == protocol.CS131 && (verb != "WHATSAT" || strings.HasPrefix(text.String(), "? ")) {
			return strings.TrimSuffix(text.String(), "\n"), nil
		}
	}
}

// refused says whether a reply is no answer.
func refused(reply string) bool {
	return strings.HasPrefix(reply, "? ") || strings.HasPrefix(reply, "> ")
}
