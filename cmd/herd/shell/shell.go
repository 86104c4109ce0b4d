// Package shell sends lines to a server and prints the replies: those that a person types, with a line editor,
// and those of a pipe.
package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Conn is a connection to a server.
type Conn interface {
	Ask(line string) (reply string, err error)
	Close() error
}

// Server is a server to talk to.
type Server struct {
	Name string
	Dial func(ctx context.Context) (Conn, error)
	// IDs returns ids of clients that begin with prefix, some of them if there are many. Nil: unknown.
	IDs func(ctx context.Context, prefix string) []string
}

// Options are what the shell knows about the protocol and the herd.
type Options struct {
	// Failed reports whether a reply is an error.
	Failed func(line, reply string) bool
	// Lost reports whether an error of Ask means that the connection broke.
	Lost func(err error) bool
	// Secret reports whether a line has a secret, which no history keeps.
	Secret func(line string) bool
	// Refused reports whether an error of Dial remains if it is tried again.
	Refused func(err error) bool
	// At returns the server with a name or an address, and Names are those that are known.
	At    func(name string) (Server, error)
	Names []string
	// Reconnect is for how long a lost server is dialed.
	Reconnect time.Duration
	History   string // a file; "" if there is none
}

// MaxLine is the longest line that Pipe accepts, in bytes.
const MaxLine = 64 << 10

// ErrReplies is returned if a reply was an error.
var ErrReplies = errors.New("a reply was an error")

// Pipe sends the lines of in and writes the replies to out, error replies, too. It ends at the first line
// without a reply, and after a quit. It ignores empty lines.
func Pipe(ctx context.Context, in io.Reader, out io.Writer, server Server, o Options) error {
	conn, err := server.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	lines := bufio.NewReaderSize(in, MaxLine)
	failed := false
	for n := 1; ; n++ {
		text, readErr := lines.ReadSlice('\n')
		if errors.Is(readErr, bufio.ErrBufferFull) {
			return fmt.Errorf("standard input, line %d: longer than %d bytes", n, MaxLine)
		}
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return fmt.Errorf("standard input, line %d: %w", n, readErr)
		}
		line := strings.TrimRight(string(text), "\r\n")
		if strings.TrimSpace(line) != "" {
			reply, err := conn.Ask(line)
			if err != nil {
				return fmt.Errorf("standard input, line %d: %w", n, err)
			}
			if reply != "" { // some lines have none
				if _, err := io.WriteString(out, reply+"\n"); err != nil {
					return err
				}
			}
			failed = failed || o.Failed(line, reply)
			if isQuit(line) && !o.Failed(line, reply) {
				break
			}
		}
		if readErr != nil {
			break
		}
	}
	if failed {
		return ErrReplies
	}
	return nil
}

func isQuit(line string) bool { return strings.TrimSpace(line) == "quit" }

// session is a server, and the connection to it while there is one.
type session struct {
	Server
	o    Options
	say  func(format string, args ...any)
	conn Conn
}

// retryPause is the time between two dials of a server that was lost.
const retryPause = 250 * time.Millisecond

// ask sends a line and returns its reply. If the connection is lost, it is made again, and the line is sent once
// more: no line of the protocol changes anything the second time.
func (s *session) ask(ctx context.Context, line string) (string, error) {
	for again := false; ; again = true {
		if s.conn == nil {
			if err := s.reconnect(ctx); err != nil {
				return "", err
			}
		}
		// Whoever interrupts this line does not get its reply later as that of another one.
		conn := s.conn
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		reply, err := conn.Ask(line)
		if stop() && err == nil {
			return reply, nil
		}
		s.close()
		switch {
		case ctx.Err() != nil:
			return "", errInterrupted
		case again || !s.o.Lost(err):
			return "", err
		}
		s.say("connection to %s lost, reconnecting", s.Name)
	}
}

// reconnect dials the server until it succeeds, for at most Options.Reconnect.
func (s *session) reconnect(ctx context.Context) (err error) {
	limited, cancel := context.WithTimeout(ctx, s.o.Reconnect)
	defer cancel()
	for begun := time.Now(); ; {
		if s.conn, err = s.Dial(limited); err == nil {
			if time.Since(begun) >= retryPause {
				s.say("connected to %s again", s.Name)
			}
			return nil
		}
		if s.o.Refused(err) {
			return err
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return errInterrupted
			}
			return err
		case <-time.After(retryPause):
		}
	}
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

var errInterrupted = errors.New("interrupted: the line may have been executed")
