package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// load is a client of each server, which sends mixed requests about a fixed number of clients until the test ends. While
// pause is held it is silent. Any goroutine.
type load struct {
	pause   sync.RWMutex
	quiet   atomic.Bool // pause is held, or about to be
	replies atomic.Int64
	failed  atomic.Int64 // replies that are missing or late, though the server had no fault
}

// soakClients is the number of clients that are updated.
const soakClients = 500

// run is the loop of one client.
func (l *load) run(s *soaked, server string, chance *rand.Rand, done <-chan struct{}) {
	r := raider{s: s, server: server, address: "10.1.0.1"}
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	tick := time.NewTicker(sized(50*time.Millisecond, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		l.pause.RLock()
		begun := time.Now()
		var err error
		if conn == nil {
			conn, err = r.welcome("fleet")
		}
		if err == nil {
			_, err = ask(conn, mixed(chance), buf)
		}
		l.pause.RUnlock()
		if err == nil {
			l.replies.Add(1)
			continue
		}
		if !s.faults.had(server, begun) {
			l.failed.Add(1)
			s.fail("a client of %s: %v", server, err)
		}
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
}

// mixed returns one line of any kind.
func mixed(chance *rand.Rand) string {
	client := chance.IntN(soakClients)
	switch chance.IntN(20) {
	case 0:
		return fmt.Sprintf("WHATSAT fleet7/client%07d 50 3\n", client)
	case 1:
		return "nonsense\n"
	case 2, 3: // stale
		return fmt.Sprintf("IAMAT fleet7/client%07d -1.5+2.5 %d\n", client, chance.IntN(1e9))
	case 4, 5: // several with the same time
		return fmt.Sprintf("IAMAT fleet7/client%07d -1.5+2.5 %d\n", client, time.Now().Unix())
	}
	return fmt.Sprintf("IAMAT fleet7/client%07d +%d.5-118.445127 %.9f\n", client, chance.IntN(90),
		float64(time.Now().UnixNano())/1e9)
}

// ask sends a line and reads one reply.
func ask(conn net.Conn, line string, buf []byte) (reply string, err error) {
	_ = conn.SetDeadline(time.Now().Add(patient))
	if _, err := conn.Write([]byte(line)); err != nil {
		return "", err
	}
	for n := 0; ; {
		k, err := conn.Read(buf[n:])
		if err != nil {
			return string(buf[:n]), err
		}
		if n += k; bytes.HasSuffix(buf[:n], []byte("\n\n")) {
			return string(buf[:n]), nil
		}
	}
}

// patient is how long clients and attackers wait for anything that should come at once.
const patient = 30 * time.Second
