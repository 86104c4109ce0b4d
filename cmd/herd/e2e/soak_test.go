package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

var (
	soakTime = flag.Duration("e2e.soak", 20*time.Second, "how long the soak lasts")
	soakSeed = flag.Uint64("e2e.seed", 0, "the soak's faults; 0: others each time")
)

// load is a client of each server, which sends mixed requests about a fixed number of clients until the test ends. While
// pause is held it is quiet. Any goroutine.
type load struct {
	pause   sync.RWMutex
	replies atomic.Int64
	broken  atomic.Int64 // connections that were closed, or without a reply for a second
}

// soakClients is the number of clients that are updated.
const soakClients = 500

// run is the loop of one client.
func (l *load) run(ctx context.Context, address string, chance *rand.Rand) {
	var conn net.Conn
	buf := make([]byte, 64<<10)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		l.pause.RLock()
		var err error
		if conn == nil {
			conn, err = net.DialTimeout("tcp", address, time.Second)
		}
		if err == nil {
			err = ask(conn, mixed(chance), buf)
		}
		l.pause.RUnlock()
		if err == nil {
			l.replies.Add(1)
			continue
		}
		l.broken.Add(1)
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// mixed returns one line of any kind.
func mixed(chance *rand.Rand) string {
	client := chance.IntN(soakClients)
	switch chance.IntN(10) {
	case 0:
		return fmt.Sprintf("WHATSAT client%07d 50 3\n", client)
	case 1:
		return "nonsense\n"
	case 2: // stale
		return fmt.Sprintf("IAMAT client%07d -1.5+2.5 %d\n", client, chance.IntN(1e9))
	case 3: // several with the same time
		return fmt.Sprintf("IAMAT client%07d -1.5+2.5 %d\n", client, time.Now().Unix())
	}
	return fmt.Sprintf("IAMAT client%07d +%d.5-118.445127 %.9f\n", client, chance.IntN(90),
		float64(time.Now().UnixNano())/1e9)
}

// ask sends a line and reads one reply.
func ask(conn net.Conn, line string, buf []byte) error {
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte(line)); err != nil {
		return err
	}
	for n := 0; ; {
		k, err := conn.Read(buf[n:])
		if err != nil {
			return err
		}
		if n += k; bytes.HasSuffix(buf[:n], []byte("\n\n")) {
			return nil
		}
	}
}

// TestSoak applies mixed load and a random fault every few seconds. After each fault the load pauses, all servers must
// agree, and none may use more resources than before.
func TestSoak(t *testing.T) {
	scenario(t)
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("again with -e2e.seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	c := startCluster(t, unlogged+processtest.Embedded, names...)
	c.update("Alford", 0, soakClients, 1)
	c.UntilEqual(soakClients)

	ctx, cancel := context.WithCancel(context.Background())
	var l load
	var clients sync.WaitGroup
	for i, name := range names {
		chance := rand.New(rand.NewPCG(seed, uint64(1+i)))
		clients.Go(func() { l.run(ctx, c.Server(name).Listen, chance) })
	}
	defer clients.Wait()
	defer cancel()

	var first, last usage
	var slowest time.Duration
	faults := 0
	for begun := time.Now(); time.Since(begun) < *soakTime; faults++ {
		what := c.fault(chance)
		l.pause.Lock()
		healed := time.Now()
		live, agreed := c.equal(healed, soakClients)
		last = c.usage()
		l.pause.Unlock()
		t.Logf("%4.0f s  %-30s live after %4.1f s, equal %.1f s later, %3d MiB, %d files, %d goroutines",
			time.Since(begun).Seconds(), what, live.Seconds(), agreed.Seconds(), last.memory/mib,
			last.descriptors, last.goroutines)
		slowest = max(slowest, live+agreed)
		if faults == 0 {
			first = last
		}
		time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond) // load between the faults
	}
	figure(t, slowest <= 11*time.Second, "equal within 11 s in every pause of the load",
		"%d faults, %.1f s at most, %d replies",
		faults, slowest.Seconds(), l.replies.Load())
	figure(t, true, "memory, descriptors, goroutines flat",
		"%d to %d MiB, %d to %d, %d to %d", first.memory/mib,
		last.memory/mib, first.descriptors, last.descriptors, first.goroutines, last.goroutines)
	if last.memory > first.memory+64*mib || last.descriptors > first.descriptors+16 ||
		last.goroutines > first.goroutines+16 {
		t.Errorf("from %+v to %+v", first, last)
	}
	if l.replies.Load() == 0 {
		t.Error("no load")
	}
}

// fault causes one fault of the herd, for a while, and ends it.
func (c *cluster) fault(chance *rand.Rand) (what string) {
	c.T.Helper()
	a := names[chance.IntN(len(names))]
	b := processtest.Ring[a][chance.IntN(2)]
	length := time.Duration(500+chance.IntN(sized(2000, 12000))) * time.Millisecond
	lasts := func(of string) string { return fmt.Sprintf("%s for %.1f s", of, length.Seconds()) }
	defer c.net.heal()
	switch chance.IntN(6) {
	case 0:
		c.Kill(a)
		time.Sleep(length)
		c.Start(a)
		return lasts(a + " killed")
	case 1:
		c.suspend(a)
		time.Sleep(length)
		c.signal(a, syscall.SIGCONT)
		return lasts(a + " stopped")
	case 2:
		c.net.cut(a, b)
		time.Sleep(length)
		return lasts(a + "-" + b + " cut")
	case 3:
		c.net.lose(a, b)
		time.Sleep(length)
		return lasts(a + ">" + b + " lost")
	case 4:
		c.net.late(a, b, 50*time.Millisecond)
		time.Sleep(length)
		return lasts(a + ">" + b + " late")
	}
	c.net.reset(a, b)
	return a + "-" + b + " reset"
}
