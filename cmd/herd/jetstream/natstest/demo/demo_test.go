package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// The binary is the one of make build, without the race detector.
func TestMain(m *testing.M) { processtest.Main(m, "-ldflags=-w") }

// freePorts returns the first of so many adjacent ports that are free now.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for first := 20000 + os.Getpid()%10000; first < 60000; first += n {
		free := 0
		for free < n {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first+free))
			if err != nil {
				break
			}
			l.Close()
			free++
		}
		if free == n {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// A client that one herd was told is found by the other one, in both modes. A second run in the same directory works, too.
func TestDemo(t *testing.T) {
	for _, mode := range []string{"share", "ask"} {
		t.Run(mode, func(t *testing.T) {
			dir, port := t.TempDir(), freePorts(t, 9)
			for range 2 {
				ctx, stop := context.WithCancel(t.Context())
				out := &processtest.Output{}
				ended := make(chan error, 1)
				go func() {
					d := demo{out: out, binary: processtest.Binary, dir: dir, mode: mode, nats: port + 8, port: port}
					ended <- d.run(ctx)
				}()
				processtest.Eventually(t, "it waits for Ctrl-C", func() bool {
					select {
					case err := <-ended:
						t.Fatalf("ended: %v\n%s", err, out)
					default:
					}
					return strings.Contains(out.String(), "Ctrl-C stops everything")
				})
				_, acknowledged, _ := strings.Cut(out.String(), " iamat ")
				acknowledged = strings.Split(acknowledged, "\n")[1]
				stop()
				if err := <-ended; err != nil {
					t.Errorf("after Ctrl-C: %v", err)
				}
				_, reply, _ := strings.Cut(out.String(), " whatsat ")
				if !strings.HasPrefix(acknowledged, "AT Alford ") || !strings.Contains(reply, "\n"+acknowledged+"\n") {
					t.Errorf("no reply in\n%s", out)
				}
			}
		})
	}
}

// What cannot run says why.
func TestDemoThatCannotRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	port := freePorts(t, 9)
	for what, c := range map[string]struct {
		demo
		want string
	}{
		"a mode":      {demo{mode: "publish", nats: port + 8, port: port}, `mode "publish": in mode share or ask`},
		"a NATS port": {demo{mode: "share", nats: taken, port: port}, "address already in use"},
		"a herd port": {demo{mode: "share", nats: port + 8, port: taken}, "is it already running"},
		"no binary":   {demo{mode: "share", nats: port + 8, port: port, binary: "/nowhere/herd"}, "no such file"},
	} {
		c.out, c.dir = new(bytes.Buffer), t.TempDir()
		if c.binary == "" {
			c.binary = processtest.Binary
		}
		if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// The output of a command that succeeds too early, as with an older location, is not the one that is waited for.
func TestUntil(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	d, h := demo{binary: "echo"}, &herd{ended: make(chan struct{})}
	if out, err := d.until(ctx, h, "AT Alford", "AT Alford"); err != nil || out != "AT Alford\n" {
		t.Errorf("%q, %v", out, err)
	}
	stop()
	if out, err := d.until(ctx, h, "AT Alford", "AT Welsh"); err == nil {
		t.Errorf("%q", out)
	}
	close(h.ended)
	if out, err := d.until(t.Context(), h, "AT Alford", "AT Welsh"); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("%q, %v", out, err)
	}
}
