package e2e

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// watcher is a client of one server that updates itself and asks, one line at a time, and is measured. It reconnects when
// its server is restarted.
type watcher struct {
	restarting atomic.Bool

	mu    sync.Mutex
	waits map[string][]time.Duration // by phase
}

// watchers are those of all servers.
type watchers struct {
	c     *cluster
	all   map[string]*watcher
	phase atomic.Pointer[string]
	over  atomic.Bool
	ended sync.WaitGroup
}

func (c *cluster) watchers() *watchers {
	w := &watchers{c: c, all: map[string]*watcher{}}
	w.enter("before")
	for _, name := range names {
		one := &watcher{waits: map[string][]time.Duration{}}
		w.all[name] = one
		w.ended.Go(func() { w.run(name, one) })
	}
	return w
}

func (w *watchers) enter(phase string) { w.phase.Store(&phase) }

// stop ends all watchers.
func (w *watchers) stop() {
	w.over.Store(true)
	w.ended.Wait()
}

func (w *watchers) run(name string, one *watcher) {
	for !w.over.Load() {
		restarting := one.restarting.Load()
		err := w.ask(name, one)
		if err != nil && !restarting && !one.restarting.Load() {
			w.c.T.Errorf("a watcher of %s: %v", name, err)
			return
		}
	}
}

// ask asks until the connection is lost; nil if all is over.
func (w *watchers) ask(name string, one *watcher) error {
	tick := time.NewTicker(sized(20*time.Millisecond, 5*time.Millisecond))
	defer tick.Stop()
	<-tick.C
	conn, err := w.c.client(name)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := 0; !w.over.Load(); i++ {
		<-tick.C
		begun := time.Now()
		line := fmt.Sprintf("IAMAT watcher-%s +34.068930-118.445127 %.9f\n", name, float64(begun.UnixNano())/1e9)
		if i%2 == 1 {
			line = fmt.Sprintf("WHATSAT watcher-%s 10 5\n", name)
		}
		_ = conn.SetDeadline(begun.Add(processtest.Patience))
		if _, err := io.WriteString(conn, line); err != nil {
			return err
		}
		first := ""
		for {
			text, err := in.ReadString('\n')
			if err != nil {
				return fmt.Errorf("no reply to %q: %w", line, err)
			}
			if first == "" {
				first = text
			}
			if text == "\n" {
				break
			}
		}
		if !strings.HasPrefix(first, "AT ") {
			return fmt.Errorf("%q replied to %q", first, line)
		}
		one.mu.Lock()
		phase := *w.phase.Load()
		one.waits[phase] = append(one.waits[phase], time.Since(begun))
		one.mu.Unlock()
	}
	return nil
}

// measured waits until each watcher has n replies in this phase.
func (w *watchers) measured(n int) {
	w.c.T.Helper()
	processtest.Eventually(w.c.T, "replies in phase "+*w.phase.Load(), func() bool {
		for _, one := range w.all {
			one.mu.Lock()
			few := len(one.waits[*w.phase.Load()]) < n
			one.mu.Unlock()
			if few {
				return false
			}
		}
		return true
	})
}

// percentiles are those of all watchers in a phase.
func (w *watchers) percentiles(phase string) (p50, p99 time.Duration, n int) {
	var all []time.Duration
	for _, one := range w.all {
		one.mu.Lock()
		all = append(all, one.waits[phase]...)
		one.mu.Unlock()
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], len(all)
}
