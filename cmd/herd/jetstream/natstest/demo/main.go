// Command demo is make cells: two herds of two servers each and a NATS server. A client that
// one herd was told is looked up in the other one, and then it waits for Ctrl-C.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"serverherd/cmd/herd/jetstream/natstest"
	"serverherd/cmd/herd/parent"
)

// patience is how long the herds may take to start, and a client to be found.
const patience = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	d := demo{out: os.Stdout}
	flag.StringVar(&d.binary, "herd", "bin/herd", "the herd program")
	flag.StringVar(&d.dir, "dir", "cells", "directory for all files")
	flag.StringVar(&d.mode, "mode", "share", "share or ask")
	flag.IntVar(&d.nats, "nats", 4222, "port of the NATS server")
	flag.IntVar(&d.port, "port", 11510, "first of eight ports of the herds")
	flag.Parse()
	if err := d.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "cells:", err)
		os.Exit(1)
	}
}

// demo is one run.
type demo struct {
	out               io.Writer
	binary, dir, mode string
	nats, port        int
	herds             []*herd
}

// herd is one herd of the two.
type herd struct {
	name   string
	config string // file
	log    string // file: the output of herd up
	up     *exec.Cmd
	ended  chan struct{} // closed when up has ended
}

func (d *demo) run(ctx context.Context) error {
	if d.mode != "share" && d.mode != "ask" {
		return fmt.Errorf("mode %q: in mode share or ask a herd finds the clients of others", d.mode)
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	for _, port := range []int{d.nats, d.port, d.port + 1, d.port + 2, d.port + 3, d.port + 4, d.port + 5, d.port + 6, d.port + 7} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return fmt.Errorf("%w; is it already running? bin/cells -nats and -port set other ports", err)
		}
		l.Close()
	}
	nats, err := natstest.Run(&server.Options{Port: d.nats, StoreDir: filepath.Join(d.dir, "nats"), NoLog: true})
	if err != nil {
		return err
	}
	defer natstest.Stop(nats)
	fmt.Fprintf(d.out, "NATS server at %s, bucket herd\n", nats.ClientURL())
	defer d.stop()
	for i, h := range []struct{ name, first, second string }{{"west", "Alford", "Welsh"}, {"east", "Hamilton", "Holiday"}} {
		if err := d.start(h.name, nats.ClientURL(), d.port+4*i, h.first, h.second); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "herd %s, mode %s: %s, which is the bridge, and %s\n", h.name, d.mode, h.first, h.second)
	}
	for _, h := range d.herds {
		if _, err := d.until(ctx, h, "", "ready", "--config", h.config); err != nil {
			return err
		}
	}
	west, east := d.herds[0], d.herds[1]
	fmt.Fprintln(d.out, "\nA client of west is found from east:")
	begun, at := time.Now(), ""
	for _, args := range [][]string{
		{"iamat", "kiwi.cs.ucla.edu", "34.068930,-118.445127", "--config", west.config},
		{"whatsat", "kiwi.cs.ucla.edu", "10", "1", "--config", east.config},
	} {
		h := map[string]*herd{"iamat": west, "whatsat": east}[args[0]]
		out, err := d.until(ctx, h, at, args...) // a bucket of an earlier run may have an older location
		if err != nil {
			return err
		}
		at, out, _ = strings.Cut(out, "\n")
		fmt.Fprintf(d.out, "\n$ %s %s\n%s\n", d.binary, strings.Join(args, " "), at)
		if places, _, more := strings.Cut(out, "\n"); more {
			fmt.Fprintln(d.out, places, "... the places near it")
		}
	}
	fmt.Fprintf(d.out, "\nBoth took %.2f s. What to type in another terminal:\n\n", time.Since(begun).Seconds())
	for _, line := range []string{
		"$HERD iamat kiwi.cs.ucla.edu 37.774930,-122.419416 --config $EAST",
		"$HERD whatsat kiwi.cs.ucla.edu 10 1 --config $WEST",
		"$HERD trace kiwi.cs.ucla.edu --config $WEST",
		"$HERD status Alford --config $WEST",
		"$HERD top --config $EAST",
		"nats kv watch herd   # the NATS CLI, if you have it",
	} {
		fmt.Fprintln(d.out, "  "+strings.NewReplacer("$HERD", d.binary, "$WEST", west.config, "$EAST", east.config).Replace(line))
	}
	fmt.Fprintf(d.out, "\nThe pages: http://localhost:%d/ and http://localhost:%d/\n", d.port+2, d.port+6)
	fmt.Fprintln(d.out, "Ctrl-C stops everything.")
	select {
	case <-ctx.Done():
		return nil
	case <-west.ended:
		return west.failed()
	case <-east.ended:
		return east.failed()
	}
}

const (
	head = `# Written by make cells.
[herd]
name = %q

[jetstream]
url       = %q
mode      = %q
ask_after = "1s"
`
	table = `
[[server]]
name      = %q
address   = "127.0.0.1:%d"
console   = "127.0.0.1:%d"
neighbors = [%q]
bridge    = %v
`
)

// start starts a herd of two servers on four ports.
func (d *demo) start(name, nats string, port int, first, second string) error {
	h := &herd{name: name, config: filepath.Join(d.dir, name+".toml"), log: filepath.Join(d.dir, name+".log"), ended: make(chan struct{})}
	text := fmt.Sprintf(head, name, nats, d.mode) + fmt.Sprintf(table, first, port, port+2, second, true) +
		fmt.Sprintf(table, second, port+1, port+3, first, false)
	if err := os.WriteFile(h.config, []byte(text), 0o644); err != nil {
		return err
	}
	log, err := os.Create(h.log)
	if err != nil {
		return err
	}
	defer log.Close()
	end, err := parent.End()
	if err != nil {
		return err
	}
	h.up = exec.Command(d.binary, "up", "--config", h.config)
	h.up.Stdout, h.up.Stderr = log, log
	h.up.ExtraFiles = []*os.File{end} // it ends with this process, however this ends
	h.up.Env = append(os.Environ(), parent.Variable+"=3")
	h.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is passed on by stop
	if err := h.up.Start(); err != nil {
		return err
	}
	d.herds = append(d.herds, h)
	go func() {
		_ = h.up.Wait()
		close(h.ended)
	}()
	return nil
}

// stop stops the herds.
func (d *demo) stop() {
	for _, h := range d.herds {
		_ = h.up.Process.Signal(syscall.SIGTERM)
	}
	for _, h := range d.herds {
		<-h.ended
	}
}

func (h *herd) failed() error {
	text, _ := os.ReadFile(h.log)
	return fmt.Errorf("herd %s ended:\n%s", h.name, text)
}

// until runs a command of herd until it succeeds with an output that begins with want, and returns the output.
func (d *demo) until(ctx context.Context, h *herd, want string, args ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var said, failed bytes.Buffer
		c := exec.CommandContext(ctx, d.binary, args...)
		c.Stdout, c.Stderr = &said, &failed
		err := c.Run()
		if err == nil && strings.HasPrefix(said.String(), want) {
			return said.String(), nil
		}
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			return "", err
		}
		select {
		case <-h.ended:
			return "", h.failed()
		case <-ctx.Done():
			return "", fmt.Errorf("%s failed: %s%s", strings.Join(args, " "), said.String(), failed.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
