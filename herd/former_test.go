package herd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
	"serverherd/herd/link"
	"serverherd/protocol"
)

// ofEpoch is the HELLO of a process of Welsh.
func ofEpoch(epoch string) string { return strings.Replace(welshHello, "aa", epoch, 1) }

// dialAs dials Alford as a process of Welsh and returns the last line of the handshake: "REFUSE
// duplicate", or WELCOME with the resume point only.
func (w *world) dialAs(epoch string) (*impostor, string) {
	w.t.Helper()
	p := w.impostor("Alford", "Welsh")
	answer := p.hello(ofEpoch(epoch))
	if f := strings.Fields(answer); f[0] == "WELCOME" {
		answer = "WELCOME " + f[3] + " " + f[4]
	}
	return p, answer
}

// answering answers every PING of the last second.
func (w *world) answering(all ...*impostor) {
	w.net.RunFor(time.Second)
	for _, p := range all {
		p.SendString(strings.ReplaceAll(p.Take(), "PING", "PONG"))
	}
}

// claim is the alarm that Alford shows about Welsh.
func (w *world) claim() string {
	w.t.Helper()
	for _, l := range w.servers["Alford"].Status().Links {
		if l.Neighbor == "Welsh" {
			if (l.DuplicateSince != nil) != (l.Duplicate != "") {
				w.t.Errorf("status %+v", l)
			}
			return l.Duplicate
		}
	}
	panic("no Welsh")
}

// A former process is refused while its successor's connection stands, and is an unknown process
// after that.
func TestAFormerProcessIsTakenBack(t *testing.T) {
	const back = "WELCOME - 0"
	w := ringOf(t, nil, "Alford")
	first, _ := w.dialAs("aa")
	first.SendString("MARK 3 9 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	first.Close()
	w.net.RunFor(2 * time.Second)
	second, got := w.dialAs("bb")
	if got != back || w.claim() != "" {
		t.Fatalf("a new process is answered %q; alarm %q", got, w.claim())
	}
	if _, got = w.dialAs("aa"); got != "REFUSE duplicate" || w.claim() != "refused" {
		t.Fatalf("a former process is answered %q; alarm %q", got, w.claim())
	}
	second.Close()
	w.net.RunFor(2 * time.Second)
	first, got = w.dialAs("aa")
	if got != back || w.claim() != "taken back" {
		t.Fatalf("a former process is answered %q when its successor has gone; alarm %q", got, w.claim())
	}
	// It is the neighbor again: what it says counts, and it resumes.
	first.SendString("MARK 5 9 - 1 0000000000000000\r\n")
	w.net.RunFor(time.Second)
	first.Close()
	w.net.RunFor(2 * time.Second)
	if _, got = w.dialAs("aa"); got != "WELCOME 00000000000000aa 5" {
		t.Errorf("it resumes with %q", got)
	}
	if _, got = w.dialAs("bb"); got != "REFUSE duplicate" {
		t.Errorf("its successor is answered %q", got)
	}
}

// A process that lives on when another one has taken its name is cut off, to be refused when it
// dials again; what one that has ended still delivers is read to its end.
func TestASecondProcessOfOneNameIsFound(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	older, _ := w.dialAs("aa")
	ghost, _ := w.dialAs("bb")
	newer, _ := w.dialAs("cc")
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	for i := range 30 {
		w.answering(older, newer)
		for _, p := range []*impostor{older, ghost, newer} {
			p.SendString(fmt.Sprintf("AT Welsh +0.1 kiwi +1-1 %d Welsh\r\n", 100+i))
		}
		if older.Closed() && w.claim() != "refused" {
			t.Fatalf("alarm %q", w.claim())
		}
	}
	if !older.Closed() || ghost.Closed() || newer.Closed() {
		t.Errorf("closed: older %v, ghost %v, newer %v", older.Closed(), ghost.Closed(), newer.Closed())
	}
	if got := w.servers["Alford"].counters.LinksReplaced; got != 1 || len(n.inbounds) != 2 {
		t.Errorf("%d counted, %d connections left", got, len(n.inbounds))
	}
}

// When the current connection goes, whoever is behind another one is asked at once, whatever its
// process, so that it dials again.
func TestStandingConnectionsAreAskedAtOnce(t *testing.T) {
	for _, epoch := range []string{"aa", "bb"} {
		w := ringOf(t, nil, "Alford")
		first, _ := w.dialAs("aa")
		second, _ := w.dialAs(epoch)
		w.net.RunFor(time.Second)
		if got := first.Take(); got != "" {
			t.Fatalf("asked %q while the current connection stands", got)
		}
		second.Close()
		w.until("asked", func() bool { return strings.HasPrefix(string(first.Received()), "PING") })
		asked := w.net.Elapsed()
		if asked > 1100*time.Millisecond {
			t.Errorf("epoch %s: asked after %v", epoch, asked)
		}
		first.SendString(strings.ReplaceAll(first.Take(), "PING", "PONG"))
		w.until("closed", first.Closed)
		if d := w.net.Elapsed() - asked; d > 100*time.Millisecond {
			t.Errorf("epoch %s: closed after %v", epoch, d)
		}
	}
}

// A connection that is not the current one, of the same process, is asked after a while, too.
func TestASupersededConnectionOfTheSameProcessIsAsked(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	first, _ := w.dialAs("aa")
	second, _ := w.dialAs("aa")
	for range 8 {
		w.answering(first, second)
	}
	if !first.Closed() || second.Closed() || w.claim() != "" {
		t.Errorf("closed: first %v, second %v; alarm %q", first.Closed(), second.Closed(), w.claim())
	}
}

// pairOf is two servers with room for many clients, Alford first.
func pairOf(t *testing.T) *world {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Welsh"}},
		config.Server{Name: "Welsh", Address: "Welsh:1", Neighbors: []string{"Alford"}})
	cfg.Limits.MaxClients = 100_000
	return newWorld(t, cfg).startAll()
}

// Somebody proves to be Welsh and leaves at once, with another epoch, which is taken only while Alford
// cannot reach Welsh, or, as a handshake that Welsh has given up may arrive late, with its own.
// Whatever Welsh has acknowledged to clients arrives.
func TestAProcessThatProvesItselfAndLeaves(t *testing.T) {
	for _, same := range []bool{false, true} {
		t.Run(fmt.Sprint("same epoch ", same), func(t *testing.T) {
			w := pairOf(t)
			epoch := "00000000000000bb"
			if same {
				epoch = w.servers["Welsh"].epoch.String()
			}
			w.net.RunFor(10 * time.Second)
			if !same {
				w.net.Refuse("Welsh:1", true)
				w.servers["Alford"].neighbors[0].link.abort(link.ErrSilent)
			}
			p := w.impostor("Alford", "Welsh2")
			if got := p.hello(strings.Replace(welshHello, "00000000000000aa", epoch, 1)); !strings.HasPrefix(got, "WELCOME ") {
				t.Fatalf("answered %q", got)
			}
			p.Close()
			w.net.Refuse("Welsh:1", false)
			left := w.net.Elapsed()
			w.updates("Welsh", 0, 40_000, stamp)
			w.until("all has arrived", w.equal)
			if d := w.net.Elapsed() - left; d > 9*time.Second {
				t.Errorf("after %v", d)
			}
			w.net.RunFor(6 * time.Second)
			for _, srv := range w.servers {
				if l := srv.Status().Links[0]; l.State != "live" || l.Behind > 0 || !l.Receiving ||
					w.servers["Alford"].reactor.Now().Sub(*l.Checked) > 6*time.Second {
					t.Errorf("status %+v", l)
				}
			}
			want := uint64(1)
			if same {
				want = 0
			}
			if l := w.servers["Alford"].Status().Links[0]; l.TakenBack != want || (l.Duplicate == "") != same {
				t.Errorf("taken back %d times, alarm %q", l.TakenBack, l.Duplicate)
			}
			w.net.RunFor(claimTime)
			if got := w.claim(); got != "" {
				t.Errorf("alarm %q when it is over", got)
			}
		})
	}
}

// Two processes of one name that both go on, and one of which is cut now and then: each change is a
// copy, and there are few.
func TestTwoProcessesOfOneNameTakeTurns(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	w.dialAs("aa")
	p, _ := w.dialAs("bb")
	for i := range 1200 { // whichever is linked is cut, and the other one is quicker
		p.Close()
		w.net.RunFor(time.Second)
		if q, got := w.dialAs([]string{"aa", "bb"}[i%2]); strings.HasPrefix(got, "WELCOME") {
			p = q
		}
	}
	// Each of them at 0, 10, 30, 70, 150, 270 s, and every two minutes.
	if k := n.counters.takenBack; k < 10 || k > 30 {
		t.Errorf("taken back %d times in 20 minutes", k)
	}
	if got := w.claim(); got == "" {
		t.Error("no alarm")
	}
}

// A former process that keeps coming and going does not keep out the one that should be there.
func TestAZombieDoesNotKeepOthersOut(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	zombie, _ := w.dialAs("aa")
	zombie.Close()
	right, _ := w.dialAs("bb")
	refused := 0
	for range 60 {
		right.Close() // a cut, and the zombie is quicker
		w.net.RunFor(2 * time.Second)
		zombie, _ = w.dialAs("aa")
		zombie.Close()
		w.net.RunFor(2 * time.Second)
		var got string
		if right, got = w.dialAs("bb"); got == "REFUSE duplicate" {
			refused++
		}
		w.net.RunFor(time.Minute)
	}
	if refused > 0 {
		t.Errorf("refused %d times", refused)
	}
}

// A moment's cut of the link from a neighbor does not give its place away, as our link to it stands.
func TestAFormerProcessDoesNotUseAMomentsCut(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	zombie, _ := w.dialAs("aa")
	zombie.Close()
	w.start("Welsh")
	w.until("live", w.live)
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	n.inbounds[len(n.inbounds)-1].session.abort(link.ErrSilent)
	w.until("cut", func() bool { return len(n.inbounds) == 0 })
	if _, got := w.dialAs("aa"); got != "REFUSE duplicate" || len(n.inbounds) > 0 {
		t.Errorf("a former process is answered %q, %d connections", got, len(n.inbounds))
	}
	w.until("live", w.live)
	w.crash("Welsh")
	w.until("down", func() bool { return !n.link.sending() })
	if _, got := w.dialAs("aa"); got != "WELCOME - 0" {
		t.Errorf("a former process is answered %q when its successor has gone", got)
	}
}

// zombie is a process of Welsh on another host. It dials Alford whenever it is not connected.
type zombie struct {
	*impostor
	w       *world
	epoch   string
	answers string // to its handshakes, W for WELCOME and R for REFUSE
}

func (w *world) zombie(epoch string) *zombie { return &zombie{w: w, epoch: epoch} }

// runFor lets time pass in which the zombie answers PINGs.
func (z *zombie) runFor(d time.Duration) {
	for end := z.w.net.Elapsed() + d; z.w.net.Elapsed() < end; z.w.net.RunFor(500 * time.Millisecond) {
		if z.impostor == nil || z.Closed() {
			z.impostor = z.w.impostor("Alford", "elsewhere")
			z.answers += z.hello(ofEpoch(z.epoch))[:1]
		}
		z.SendString(strings.ReplaceAll(z.Take(), "PING", "PONG"))
	}
}

// linked says whether Alford and Welsh are linked in both directions, and nobody else is with Alford.
func (w *world) linked() bool {
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	epoch := w.servers["Welsh"].epoch
	return w.live() && n.heard.Epoch() == epoch && n.link.sent.Peer() == epoch && len(n.inbounds) == 1 && n.inbounds[0].machine.Epoch() == epoch
}

// A process on another host takes the name while the network is cut, and stays. When Alford reaches
// the address of Welsh again, the process there is the neighbor, and the other one is refused.
func TestTheProcessAtTheAddressIsTheNeighbor(t *testing.T) {
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprint("seen before ", known), func(t *testing.T) {
			w := pairOf(t)
			z := w.zombie("bb")
			if known {
				w.crash("Welsh")
				w.until("dropped", func() bool { return !w.servers["Alford"].neighbors[0].link.sending() })
				z.runFor(time.Second)
				z.Close()
				w.start("Welsh")
				w.until("linked", w.linked)
			}
			for cut := range 4 { // which come sooner than the pauses end
				before := len(z.answers)
				w.net.Cut("Alford", "Welsh")
				z.runFor(40 * time.Second)
				if !strings.HasSuffix(z.answers, "W") || w.linked() {
					t.Fatalf("cut %d: the other process is answered %s, and is not linked", cut, z.answers[before:])
				}
				w.net.HealAll()
				z.runFor(9 * time.Second)
				if !w.linked() {
					t.Fatalf("cut %d: not linked in 9 s: %+v", cut, w.servers["Welsh"].Status().Links)
				}
				before = len(z.answers)
				z.runFor(20 * time.Second)
				if got := z.answers[before:]; strings.Trim(got, "R") != "" || w.claim() != "refused" {
					t.Errorf("cut %d: the other process is answered %s afterwards; alarm %q", cut, got, w.claim())
				}
			}
			w.updates("Welsh", 0, 1000, stamp)
			w.until("equal", w.equal)
			w.until("agreed", w.agreed)
		})
	}
}

// The other process is cut off as soon as our link has found the right one, even if that one cannot
// reach us.
func TestAProcessElsewhereIsCutOff(t *testing.T) {
	w := pairOf(t)
	z := w.zombie("bb")
	w.net.Cut("Alford", "Welsh")
	z.runFor(10 * time.Second)
	other := z.impostor
	w.net.Refuse("Alford:1", true)
	w.net.Heal("Alford", "Welsh")
	n := w.servers["Alford"].neighbors[0]
	for !n.link.sending() {
		w.answering(other)
	}
	for range 2 {
		w.answering(other)
	}
	if !other.Closed() || w.claim() != "refused" || len(n.inbounds) > 0 {
		t.Errorf("closed %v, alarm %q, %d connections", other.Closed(), w.claim(), len(n.inbounds))
	}
}

// A process that was never seen does not disturb one that our link stands with.
func TestANewProcessElsewhereDisturbsNobody(t *testing.T) {
	w := pairOf(t)
	w.net.RunFor(10 * time.Second)
	n := w.servers["Alford"].neighbors[0]
	copies := n.counters.copies + w.servers["Welsh"].neighbors[0].counters.copies
	for i := range 20 {
		z := w.zombie(fmt.Sprintf("%02x", 0xb0+i))
		z.runFor(2 * time.Second)
		if strings.Contains(z.answers, "W") || w.claim() != "refused" || !w.linked() {
			t.Fatalf("process %d is answered %s; alarm %q; linked %v", i, z.answers, w.claim(), w.linked())
		}
	}
	if n := n.counters.copies + w.servers["Welsh"].neighbors[0].counters.copies - copies; n > 0 {
		t.Errorf("%d copies", n)
	}
}

// A server that was started again is refused only until our link to its predecessor, which ended
// without a word, is dropped. That is no alarm.
func TestARestartThatOurLinkHasNotNoticed(t *testing.T) {
	w := pairOf(t)
	w.net.RunFor(10 * time.Second)
	w.net.Stall("Alford", "Welsh", time.Hour) // its connections; the end of them does not arrive
	w.crash("Welsh")
	w.start("Welsh")
	begun := w.net.Elapsed()
	n := w.servers["Alford"].neighbors[0]
	w.until("refused", func() bool { return w.servers["Alford"].counters.HandshakesFailed > 0 && n.link.sending() })
	w.until("linked", w.linked)
	if d := w.net.Elapsed() - begun; d > 9*time.Second {
		t.Errorf("after %v", d)
	}
	if got := w.claim(); got != "" || n.counters.takenBack > 0 {
		t.Errorf("alarm %q, taken back %d times", got, n.counters.takenBack)
	}
}

// Where the address leads to the wrong process, that one is the neighbor all the same: herd.toml
// says so. When it has gone, the other one is.
func TestTheAddressDecides(t *testing.T) {
	w := pairOf(t)
	right := w.servers["Welsh"].epoch
	moved := *w.cfg
	moved.Servers = append([]config.Server(nil), w.cfg.Servers...)
	moved.Servers[1].Address = "Welsh2:1"
	w.crash("Alford")
	w.startWith("Alford", &moved)
	r := w.net.NewReactor("Welsh2")
	o := w.options("Welsh", r, nil)
	o.Config = &moved
	wrong, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Start(r.Listen("Welsh2:1")); err != nil {
		t.Fatal(err)
	}
	n := w.servers["Alford"].neighbors[0]
	is := func(epoch protocol.Epoch) func() bool {
		return func() bool {
			return n.heard.Epoch() == epoch && len(n.inbounds) == 1 && n.inbounds[0].machine.Epoch() == epoch
		}
	}
	w.until("the one at the address", func() bool { return is(wrong.epoch)() && n.link.sent.Peer() == wrong.epoch })
	w.net.RunFor(time.Minute)
	if !is(wrong.epoch)() || w.claim() != "refused" {
		t.Errorf("neighbor %v, %d connections, alarm %q", n.heard.Epoch(), len(n.inbounds), w.claim())
	}
	r.Crash()
	w.until("the other one", is(right))
	w.updates("Welsh", 0, 1000, stamp)
	w.until("equal", w.equal)
}

// hitReturnPause has a former process come back as often as it may.
func hitReturnPause(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	w.dialAs("aa")
	var pauses []time.Duration
	var last time.Duration
	for i := range 7 {
		next, _ := w.dialAs(fmt.Sprintf("b%d", i))
		next.Close()
		w.net.RunFor(1100 * time.Millisecond)
		for {
			p, got := w.dialAs("aa")
			if got != "REFUSE duplicate" {
				p.Close()
				break
			}
			w.net.RunFor(100 * time.Millisecond)
		}
		if i > 0 {
			pauses = append(pauses, w.net.Elapsed()-last)
		}
		last = w.net.Elapsed()
	}
	want := link.MinReturnPause
	for _, d := range pauses {
		if d < want-100*time.Millisecond || d > want+500*time.Millisecond {
			t.Errorf("taken back after %v, want %v", pauses, want)
		}
		want = min(2*want, link.MaxReturnPause)
	}
	return w.servers["Alford"]
}

// Pauses grow while a process keeps coming back, not over the years.
func TestAPauseIsForgotten(t *testing.T) {
	w := ringOf(t, nil, "Alford")
	w.dialAs("aa")
	seen := w.servers["Alford"].observe()
	for i, after := range []time.Duration{0, link.MinReturnPause, 2 * link.MinReturnPause, 4*link.MinReturnPause + link.ReturnQuiet + time.Second} {
		w.net.RunFor(after)
		next, _ := w.dialAs(fmt.Sprintf("b%d", i))
		next.Close()
		w.net.RunFor(1100 * time.Millisecond)
		p, got := w.dialAs("aa")
		if got != "WELCOME - 0" {
			t.Fatalf("answered %q", got)
		}
		p.Close()
		want := link.MinReturnPause << i
		if i == 3 {
			want = link.MinReturnPause
		}
		back := seen.FilterMessage("former process taken back").TakeAll()
		if got := back[len(back)-1].ContextMap()["not_again_for"]; got != want {
			t.Errorf("return %d: the pause is %v, want %v", i, got, want)
		}
	}
}

// hitClaimTime sees the alarm last while a process is refused, and go a while after.
func hitClaimTime(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford")
	n := w.servers["Alford"].neighbor([]byte("Welsh"))
	w.dialAs("aa")
	p, _ := w.dialAs("bb")
	since := time.Time{}
	for i := range 20 {
		if _, got := w.dialAs("aa"); got != "REFUSE duplicate" || w.claim() != "refused" {
			t.Fatalf("answered %q; alarm %q", got, w.claim())
		}
		if i == 0 {
			since = n.claims.since
		}
		for range 6 {
			w.answering(p)
		}
	}
	if n.claims.since != since {
		t.Error("the alarm was over in between")
	}
	last := w.net.Elapsed() - 6*time.Second
	for w.claim() != "" {
		w.answering(p)
	}
	if d := w.net.Elapsed() - last; d < claimTime-time.Second || d > claimTime+2*time.Second {
		t.Errorf("over after %v", d)
	}
	return w.servers["Alford"]
}
