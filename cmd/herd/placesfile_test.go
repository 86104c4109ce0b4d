package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// questions sends WHATSATs one at a time, with pauses, until it is stopped. It records the place in the
// latest reply.
type questions struct {
	line   string
	pause  time.Duration
	asked  atomic.Int64
	latest atomic.Pointer[string]
	failed chan error
	stop   chan struct{}
}

func keepAsking(addr, line string, pause time.Duration) (*questions, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	q := &questions{line: line, pause: pause, failed: make(chan error, 1), stop: make(chan struct{})}
	go func() {
		defer conn.Close()
		q.failed <- q.run(conn)
	}()
	return q, nil
}

func (q *questions) run(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for line := "IAMAT kiwi +1.0+2.0 5\n"; ; line = q.line {
		select {
		case <-q.stop:
			return nil
		case <-time.After(q.pause):
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			return err
		}
		reply := ""
		for !strings.HasSuffix(reply, "\n\n") {
			text, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			reply += text
		}
		if !strings.HasPrefix(reply, "AT ") {
			return fmt.Errorf("the reply to %q is %q", line, reply)
		}
		if _, rest, ok := strings.Cut(reply, `"name": "`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			q.latest.Store(&name)
		}
		q.asked.Add(1)
	}
}

// The file is reloaded during lookups: none fails, and the answer changes. An invalid file changes nothing,
// but is logged.
func TestPlacesFileIsReadAgain(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "[places]\nprovider = \"file\"\npath = \"mine.csv\"\n", "Alford")
	file := filepath.Join(h.Dir, "mine.csv")
	write := func(lines ...string) {
		t.Helper()
		text := "name,lat,lng,types\n" + strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("first,1,2,cafe")
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	q, err := keepAsking(h.Server("Alford").Address, "WHATSAT kiwi 1 1\n", 0)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(want string) func() bool {
		return func() bool {
			select {
			case err := <-q.failed:
				t.Fatal(err)
			default:
			}
			name := q.latest.Load()
			return name != nil && *name == want
		}
	}
	reload := func() {
		t.Helper()
		if err := h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	processtest.Eventually(t, "the first file answers", answers("first"))
	if s := h.Status("Alford"); s.Places.Provider != "file" || s.Places.File.Places != 1 {
		t.Errorf("%+v", s.Places)
	}
	log := func() string { return h.Running["Alford"].Stderr.String() }
	logged := func(text string) {
		t.Helper()
		processtest.Eventually(t, "the log has "+text, func() bool { return strings.Contains(log(), text) })
	}
	logged("places file loaded\t{\"places\": 1, \"skipped\": 0}")
	write("second,1,2,cafe", "beside,1,2.001,cafe")
	reload()
	processtest.Eventually(t, "the second file answers", answers("second"))
	if s := h.Status("Alford"); s.Places.File.Places != 2 {
		t.Errorf("%+v", s.Places.File)
	}
	logged("places file reloaded\t{\"places\": 2")
	write("third,1,200,cafe")
	reload()
	const mistake = `mine.csv:2:9: lng: \"200\" is not a number from -180 to 180`
	logged(mistake)
	before := q.asked.Load()
	processtest.Eventually(t, "questions go on", func() bool { return q.asked.Load() > before+10 })
	if !answers("second")() {
		t.Errorf("after a bad file the answer is %q", *q.latest.Load())
	}
	if out, _, _ := h.Command("", "status"); !strings.Contains(out, "Alford: serving the places read at ") ||
		!strings.Contains(out, "mine.csv:2:9: lng:") {
		t.Errorf("status does not tell of the file that was refused: %s", out)
	}
	write("fourth,1,2,cafe")
	reload()
	processtest.Eventually(t, "the mended file answers", answers("fourth"))
	if s := h.Status("Alford"); s.Places.File.Refused != nil || s.Places.File.Error != "" {
		t.Errorf("%+v", s.Places.File)
	}
	close(q.stop)
	if err := <-q.failed; err != nil {
		t.Error(err)
	}
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// An invalid file prevents the start and is reported with its position.
func TestPlacesFileWrongAtTheStart(t *testing.T) {
	h, listeners := processtest.NewHerd(t, "[places]\nprovider = \"file\"\npath = \"mine.ndjson\"\n", "Alford")
	for _, l := range listeners["Alford"] {
		l.Close()
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "mine.ndjson"), []byte("{\"name\":\"x\",\"lat\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "Alford"}, {"up"}, {"places", "1,2"}} {
		_, errOut, code := h.Command("", args...)
		if code != 1 || !strings.Contains(errOut, "mine.ndjson:1:1: no lng") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, errOut)
		}
	}
}
