package bare

import (
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/protocol"
)

// start starts a server on a new address. It ends with the tests.
func start(t *testing.T, kind string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", processtest.Host()+":0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	failed := make(chan error, 1)
	go func() { failed <- Serve(kind, addr) }()
	processtest.Eventually(t, kind+" listens", func() bool {
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// Both servers answer every line once and in order, for every split into chunks and on many connections.
func TestServe(t *testing.T) {
	const lines = "IAMAT kiwi +1-1 5\nIAMAT kiwi +2-2 4.5\nx y\nIAMAT moa +91-1 5\nWHATSAT kiwi 1 1\n"
	want := regexp.MustCompile(`^AT Alford \+\d+\.\d{9} kiwi \+1-1 5\n\nAT Alford \+\d+\.\d{9} kiwi \+2-2 4\.5\n\n` +
		`\? x y\n\n\? IAMAT moa \+91-1 5\n\n\? WHATSAT kiwi 1 1\n\n$`)
	for _, kind := range []string{"gnet", "goroutines"} {
		t.Run(kind, func(t *testing.T) {
			addr := start(t, kind)
			for _, size := range []int{1, 7, len(lines)} {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close() // keep all open until the end
				_ = c.SetDeadline(time.Now().Add(processtest.Patience))
				for rest := lines; rest != ""; rest = rest[min(size, len(rest)):] {
					if _, err := io.WriteString(c, rest[:min(size, len(rest))]); err != nil {
						t.Fatal(err)
					}
				}
				var got strings.Builder
				for strings.Count(got.String(), "\n\n") < strings.Count(lines, "\n") {
					p := make([]byte, 1<<10)
					n, err := c.Read(p)
					if err != nil {
						t.Fatalf("%q, then %v", &got, err)
					}
					got.Write(p[:n])
				}
				if !want.MatchString(got.String()) {
					t.Errorf("in pieces of %d: %q", size, &got)
				}
			}
		})
	}
	if err := Serve("threads", ""); err == nil || !strings.Contains(err.Error(), "expected gnet or goroutines") {
		t.Error(err)
	}
}

// The newest record of each client is kept, whatever the order of arrival.
func TestState(t *testing.T) {
	s := state{}
	var scratch protocol.Record
	for _, line := range []string{
		"IAMAT kiwi +1-1 5", "IAMAT kiwi +22.2222-22.2222 7", "IAMAT kiwi +3-3 6", "IAMAT moa +4-4 1", "IAMAT kiwi +5-5 7",
	} {
		_, id := read(nil, []byte(line), time.Unix(10, 0), &scratch)
		s.apply(id, scratch)
	}
	if got := string(s["kiwi"].Text()); got != "Alford +3.000000000 kiwi +22.2222-22.2222 7" || len(s) != 2 {
		t.Errorf("%q, %d clients", got, len(s))
	}
}
