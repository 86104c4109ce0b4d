package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"serverherd/cmd/herd/certs"
	"serverherd/cmd/herd/e2e/soak"
)

// witness is a bystander: a well-behaved client of one server at a fixed rate. A reply that is wrong, missing or too late
// while its own server has no fault is an error.
type witness struct {
	s       *soaked
	server  string
	raider  raider
	over    *tls.Config // nil: without TLS
	replies atomic.Int64
	failed  atomic.Int64

	calm, faulty *hdrhistogram.Histogram // all waits, by whether there was a fault elsewhere; of run

	mu    sync.Mutex
	waits *hdrhistogram.Histogram // in microseconds since the line was due, since the last sample
}

// tooLate is how long a reply may take. Scaled down, with the race detector and beside other tests, a machine may be
// arbitrarily slow.
func tooLate() time.Duration { return sized(time.Hour, 2*time.Second) }

func newWitness(s *soaked, server string, i int) *witness {
	w := &witness{s: s, server: server, raider: raider{s: s, server: server, address: fmt.Sprintf("10.2.0.%d", 1+i)},
		calm: soak.NewHistogram(), faulty: soak.NewHistogram(), waits: soak.NewHistogram()}
	if i == 0 {
		w.over = certs.Client(roots(s.Herd), server)
	}
	return w
}

// run sends a line every 100 ms, whether or not the earlier ones were answered in time: waits count from when a line was
// due.
func (w *witness) run(done <-chan struct{}) {
	const every = 100 * time.Millisecond
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	at := time.Now().Unix()
	for n, due := 0, time.Now(); ; n, due = n+1, due.Add(every) {
		select {
		case <-time.After(time.Until(due)):
		case <-done:
			return
		}
		if !w.s.load.quiet.Load() {
			at++ // in a quiet window the last update is repeated, which changes nothing
		}
		id := "bystander-" + w.server
		line, want := fmt.Sprintf("IAMAT %s +1.5+2.5 %d.%03d", id, at/1000, at%1000), "AT "
		switch n % 10 {
		case 4:
			line, want = "WHATSAT "+id+" 10 5", "AT "
		case 9:
			line, want = "help", "Available commands"
		}
		var err error
		if conn == nil {
			if conn, err = w.connect(); err != nil {
				conn = nil
			}
		}
		if conn != nil {
			var reply string
			reply, err = ask(conn, line+"\n", buf)
			if err == nil && (!strings.HasPrefix(reply, want) || want == "AT " && !strings.Contains(reply,
				" "+id+" ")) {
				err = fmt.Errorf("%q is answered %q", line, reply)
			}
		}
		took := time.Since(due)
		answered := err == nil // the wait of a late reply counts, too
		if answered && took > tooLate() {
			err = fmt.Errorf("%q is answered after %.1f s", line, took.Seconds())
		}
		disturbed := w.s.faults.had(w.server, due)
		if answered && !disturbed {
			w.record(took, w.s.faults.anywhere(due))
		}
		switch {
		case disturbed:
		case err != nil:
			w.fail(err)
		default:
			w.replies.Add(1)
		}
		if err != nil && conn != nil {
			conn.Close()
			conn = nil
		}
		if disturbed || !*realSize && time.Since(due) > every { // what was due meanwhile is not asked
			due = time.Now()
		}
	}
}

// record notes a wait.
func (w *witness) record(took time.Duration, fault bool) {
	us := min(max(1, took.Microseconds()), soak.LongestWait)
	all := w.calm
	if fault {
		all = w.faulty
	}
	_ = all.RecordValue(us)
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.waits.RecordValue(us)
}

func (w *witness) fail(err error) {
	w.failed.Add(1)
	w.s.fail("the bystander of %s: %v", w.server, err)
	w.s.raids.blame(w.server)
}

// connect is a connection with the bystander's token.
func (w *witness) connect() (net.Conn, error) {
	conn, err := w.raider.client()
	if err != nil {
		return nil, err
	}
	if w.over != nil {
		conn = tls.Client(conn, w.over)
	}
	return conn, present(conn, "bystander")
}

// health asks for the server's health every second.
func (w *witness) health(done <-chan struct{}) {
	client := http.Client{Timeout: patient, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		begun := time.Now()
		err := func() error {
			r, err := client.Get("http://" + w.s.Server(w.server).Console + "/healthz")
			if err != nil {
				return err
			}
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			if err == nil && string(text) != "ok\n" {
				err = errors.New(string(text))
			}
			return err
		}()
		if err == nil && time.Since(begun) > tooLate() {
			err = fmt.Errorf("after %.1f s", time.Since(begun).Seconds())
		}
		if err != nil && !w.s.faults.had(w.server, begun) {
			w.fail(fmt.Errorf("/healthz: %w", err))
		}
	}
}
