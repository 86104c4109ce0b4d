package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"serverherd/cmd/herd/view"
)

const helpText = `
IAMAT CLIENT COORDS TIME     say where a client is, as +34.06-118.44, in seconds
WHATSAT CLIENT RADIUS BOUND  ask what is near it: 0 to 50 km, 0 to 20 results
TOKEN TEXT                   present a token; no history keeps this line
.at NAME|HOST:PORT           talk to another server
help, .help                  this text; help also asks the server
quit, Ctrl-D                 end

Tab completes commands, client ids and servers, and gives the time of an IAMAT.
Up and Down show earlier lines, Ctrl-R those that contain what was typed.
Ctrl-C clears the line, or gives a reply up.`

// Interactive sends the lines that are typed at a terminal. Replies and messages go to print, which makes them
// safe for the terminal.
func Interactive(in, out *os.File, print io.Writer, server Server, o Options) error {
	conn, err := server.Dial(context.Background())
	if err != nil {
		return err
	}
	show := func(text string) { fmt.Fprintln(print, text) }
	say := func(format string, args ...any) { show("herd: " + fmt.Sprintf(format, args...)) }
	s := &session{Server: server, o: o, say: say, conn: conn}
	defer func() { s.close() }()
	h := openHistory(o.History, o.Secret)
	c := &completer{names: o.Names, ids: server.IDs, now: time.Now}
	e := newEditor(in, out, h, c)
	var interrupt atomic.Pointer[context.CancelFunc] // of the line that waits for its reply
	defer e.watch(func() {
		if cancel := interrupt.Load(); cancel != nil {
			(*cancel)()
		}
	})()
	show("Connected to " + s.Name + ". Type help for help.")
	unsaved := false
	for {
		if h.err != nil && !unsaved {
			say("the history is not saved: %v", h.err)
			unsaved = true
		}
		line, err := e.read(s.Name + "> ")
		switch {
		case errors.Is(err, errCleared):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		interrupt.Store(&cancel)
		switch {
		case f[0] == atCommand:
			if err := s.change(ctx, f[1:]); err != nil {
				say("%v", err)
			}
			c.ids = s.IDs
		case f[0] == helpCommand:
			show(strings.TrimPrefix(helpText, "\n"))
		case strings.HasPrefix(f[0], "."): // no line of the protocol begins with it
			say("unknown command %s; type %s for help", view.OneLine(f[0]), helpCommand)
		default:
			reply, err := s.ask(ctx, line)
			switch wrong := err == nil && o.Failed(line, reply); {
			case isQuit(line) && (err == nil || o.Lost(err)):
				if err == nil && !wrong {
					show(reply)
				}
				cancel()
				return nil
			case err != nil:
				say("%v", err)
			case reply == "":
				say("done; there is no reply to this line")
			default:
				if f[0] != "help" || !wrong {
					show(reply)
				}
				if !wrong {
					c.note(line)
				}
			}
			if strings.TrimSpace(line) == "help" {
				show(helpText)
			}
		}
		interrupt.Store(nil)
		cancel()
	}
}

// change connects to another server. If it cannot be reached, nothing changes.
func (s *session) change(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: %s NAME|HOST:PORT; servers: %s", atCommand, strings.Join(s.o.Names, ", "))
	}
	next, err := s.o.At(args[0])
	if err != nil {
		return err
	}
	conn, err := next.Dial(ctx)
	if err != nil {
		return err
	}
	s.close()
	s.Server, s.conn = next, conn
	return nil
}
