package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/e2e/soak"
)

// faults is which fault there is now, and when each server had one that its clients notice. Any goroutine.
type faults struct {
	mu     sync.Mutex
	now    string
	latest spell              // of any server or link, until all servers are equal again
	spells map[string][]spell // by server
}

// spell is a time in which a server may be slow, refuse, or lose connections. The end is zero while it lasts.
type spell struct{ begin, end time.Time }

func (f *faults) set(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = what
}

// current is the fault that there is.
func (f *faults) current() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *faults) begin(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spells == nil {
		f.spells = map[string][]spell{}
	}
	f.spells[server] = append(f.spells[server], spell{begin: time.Now()})
}

// end ends a server's fault. What it had kept waiting is served within the next second.
func (f *faults) end(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.spells[server]
	all[len(all)-1].end = time.Now().Add(sized(3*time.Second, time.Second))
}

// had reports whether a server had a fault at any time since a moment.
func (f *faults) had(server string, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.spells[server]
	return len(all) > 0 && (all[len(all)-1].end.IsZero() || all[len(all)-1].end.After(since))
}

// starts begins a fault of any server or link. over ends it.
func (f *faults) starts() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = spell{begin: time.Now()}
}

func (f *faults) over() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest.end = time.Now()
}

// anywhere reports whether there was a fault of any server or link at any time since a moment.
func (f *faults) anywhere(since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.latest.begin.IsZero() && (f.latest.end.IsZero() || f.latest.end.After(since))
}

// fault causes one fault for a while, ends it, makes everybody quiet who writes, and waits until all servers agree.
func (s *soaked) fault(chance *rand.Rand) (f soak.Fault) {
	s.T.Helper()
	a := names[chance.IntN(len(names))]
	b := processtest.Ring[a][chance.IntN(2)]
	mortal := slices.DeleteFunc(slices.Clone(names), isKept)
	length := time.Duration(500+chance.IntN(sized(1500, 9000))) * time.Millisecond
	f.At = time.Since(s.begun).Seconds()
	s.faults.starts()
	defer s.faults.over()
	begin := func(kind, format string, args ...any) {
		f.Kind, f.What = kind, fmt.Sprintf(format, args...)
		s.faults.set(f.What)
	}
	lasts := func(kind, format string, args ...any) {
		begin(kind, format+fmt.Sprintf(" for %.1f s", length.Seconds()), args...)
	}
	switch chance.IntN(8) {
	case 0:
		a = mortal[chance.IntN(len(mortal))]
		lasts("kill -9", "%s killed", a)
		s.faults.begin(a)
		s.Kill(a)
		time.Sleep(length)
		s.startAgain(a)
	case 1:
		lasts("SIGSTOP", "%s stopped", a)
		s.faults.begin(a)
		s.suspend(a)
		time.Sleep(length)
		s.signal(a, syscall.SIGCONT)
		s.now(a)
		s.faults.end(a)
	case 2:
		lasts("a link cut", "%s-%s cut", a, b)
		s.net.cut(a, b)
		time.Sleep(length)
	case 3:
		lasts("a direction lost", "%s>%s lost", a, b)
		s.net.lose(a, b)
		time.Sleep(length)
	case 4:
		lasts("a direction 50 ms late", "%s>%s late", a, b)
		s.net.late(a, b, 50*time.Millisecond)
		time.Sleep(length)
	case 5:
		begin("links reset", "%s-%s reset", a, b)
		s.net.reset(a, b)
	case 6:
		begin("rolling restart", "%v restarted, one after the other", mortal)
		for _, name := range mortal {
			s.faults.begin(name)
			s.stopped(name)
			s.startAgain(name)
		}
	case 7:
		begin("SIGHUP", "SIGHUP to all")
		for _, name := range names {
			s.signal(name, syscall.SIGHUP)
		}
	}
	f.End = time.Since(s.begun).Seconds()
	s.net.heal()
	s.load.quiet.Store(true)
	s.load.pause.Lock()
	live, agreed := s.equal(time.Now(), s.records())
	s.load.quiet.Store(false)
	s.load.pause.Unlock()
	s.faults.set("after " + f.What)
	f.Live, f.Agreed = live.Seconds(), agreed.Seconds()
	return f
}

// startAgain starts a server and waits until the next one may be stopped.
func (s *soaked) startAgain(name string) {
	s.T.Helper()
	s.Start(name)
	processtest.Eventually(s.T, name+" is ready", func() bool {
		st := s.Status(name)
		return st != nil && st.Ready
	})
	s.faults.end(name)
}

// stopped stops a server in good order: attackers that read nothing may make it take the drain time, and not more.
func (s *soaked) stopped(name string) {
	s.T.Helper()
	code, took := s.terminate(name)
	log := logOf(s.Herd, name)
	end := log[max(0, strings.LastIndex(log, `"msg":"stopped"`)):]
	if code != 0 || !strings.Contains(end, `"not_handed_over":0`) || took > sized(processtest.Patience, 8*time.Second) {
		s.fail("%s stops with exit code %d after %.1f s: %s", name, code, took.Seconds(), end)
	}
}
