package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/engines"
	"serverherd/herd"
)

// loopOfTest keeps what is posted until it turns.
type loopOfTest struct {
	sync.Mutex
	posted []func()
	n      int // all that were posted
}

func (l *loopOfTest) post(f func()) {
	l.Lock()
	defer l.Unlock()
	l.posted = append(l.posted, f)
	l.n++
}

func (l *loopOfTest) calls() int {
	l.Lock()
	defer l.Unlock()
	return l.n
}

func (l *loopOfTest) turn() {
	l.Lock()
	defer l.Unlock()
	for _, f := range l.posted {
		f()
	}
	l.posted = nil
}

// However many ask, a loop that is stuck gets one call, and each of them its answer in time.
func TestLivezOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loop loopOfTest
		var stopping atomic.Bool
		c := &console{Options: Options{Do: NewLoop(loop.post, nil), Stopping: stopping.Load}}
		ask := func(n int) (map[int]int, map[string]int, func()) {
			var all sync.WaitGroup
			var mu sync.Mutex
			codes, bodies := map[int]int{}, map[string]int{}
			for range n {
				all.Go(func() {
					w := httptest.NewRecorder()
					c.livez(w, httptest.NewRequest("GET", "/livez", nil))
					mu.Lock()
					defer mu.Unlock()
					codes[w.Code]++
					bodies[w.Body.String()]++
				})
			}
			return codes, bodies, all.Wait
		}
		const many = 1000
		for round := range 3 {
			begun := time.Now()
			codes, bodies, wait := ask(many)
			wait()
			if codes[503] != many || bodies["the event loop does not answer\n"] != many || loop.calls() != 1 || time.Since(begun) != loopTimeout {
				t.Errorf("round %d: %v, %v after %v, %d calls", round, codes, bodies, time.Since(begun), loop.calls())
			}
		}
		codes, bodies, wait := ask(many)
		synctest.Wait()
		loop.turn()
		wait()
		if codes[200] != many || bodies["ok\n"] != many || loop.calls() != 1 {
			t.Errorf("a loop that turns again: %v, %v, %d calls", codes, bodies, loop.calls())
		}
		// Whoever asks later asks the loop again, and a stop that begins meanwhile is no failure.
		codes, _, wait = ask(many)
		synctest.Wait()
		stopping.Store(true)
		wait()
		if codes[200] != many || loop.calls() != 2 {
			t.Errorf("a stop begins: %v, %d calls", codes, loop.calls())
		}
		begun := time.Now()
		codes, _, wait = ask(many)
		wait()
		if codes[200] != many || time.Since(begun) != 0 {
			t.Errorf("a server that stops: %v after %v", codes, time.Since(begun))
		}
		loop.turn()
	})
}

// However many ask for the status of a loop that is stuck, it gets one call.
func TestStatusOfAStuckLoop(t *testing.T) {
	for path, handler := range map[string]func(*console) http.HandlerFunc{
		"/readyz":      func(c *console) http.HandlerFunc { return c.readyz },
		"/metrics":     func(c *console) http.HandlerFunc { return c.metrics },
		"/status.json": func(c *console) http.HandlerFunc { return c.status },
	} {
		synctest.Test(t, func(t *testing.T) {
			var loop loopOfTest
			do := NewLoop(loop.post, nil)
			c := &console{Options: Options{
				Do:   do,
				Door: door.New(door.Options{}),
				Status: func(ctx context.Context) (s herd.Status, ok bool) {
					return s, do(ctx, func(*herd.Server) {})
				},
			}}
			const many = 1000
			codes := make([]int, many)
			var all sync.WaitGroup
			for i := range many {
				all.Go(func() {
					w := httptest.NewRecorder()
					handler(c)(w, httptest.NewRequest("GET", path, nil))
					codes[i] = w.Code
				})
			}
			all.Wait()
			if n := loop.calls(); n != 1 {
				t.Errorf("%s: %d calls", path, n)
			}
			for _, code := range codes {
				if code != http.StatusServiceUnavailable {
					t.Fatalf("%s: %d", path, code)
				}
			}
			loop.turn() // ends the goroutine that waits for it
		})
	}
}

// On every engine /livez notices a loop that is stuck, and /healthz answers meanwhile.
func TestLivezOfAStuckLoop(t *testing.T) {
	for _, engine := range engines.Names {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			loop := engines.New(engine, engines.Options{})
			ended := make(chan error, 1)
			go func() { ended <- loop.Run() }()
			addr := start(t, Options{Status: fixed(herd.Status{}), Do: NewLoop(loop.CallFromThread, nil)})
			says := func(path string, code int, text string) {
				t.Helper()
				if got, body := fetch(t, addr, "", path); got != code || body != text {
					t.Errorf("%s: %d %q, want %d %q", path, got, body, code, text)
				}
			}
			says("/livez", http.StatusOK, "ok\n")
			stuck, release := make(chan struct{}), make(chan struct{})
			go loop.CallFromThread(func() { // an engine with a mutex calls it in this goroutine
				close(stuck)
				<-release
			})
			<-stuck
			says("/livez", http.StatusServiceUnavailable, "the event loop does not answer\n")
			says("/healthz", http.StatusOK, "ok\n")
			close(release)
			says("/livez", http.StatusOK, "ok\n")
			loop.Stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
