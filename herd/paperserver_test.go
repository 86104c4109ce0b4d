package herd

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"serverherd/reactor"
	"serverherd/reactor/memreactor"
)

// paperServer plays the paper's printed code in place of Welsh: it puts its own name and clock into what it
// passes on, compares times as floats, and sends a line back to where it came from.
type paperServer struct {
	w         *world
	neighbors map[string]client // by name, dialed when there is something to send
	locations map[string]paperLocation
}

type paperLocation struct {
	time   float64
	update string // coords and time as they were written
}

func (w *world) startPaperServer() *paperServer {
	w.t.Helper()
	p := &paperServer{w: w, neighbors: map[string]client{}, locations: map[string]paperLocation{}}
	w.playWelsh(p)
	return p
}

func (p *paperServer) BuildProtocol(string) reactor.Protocol {
	c := &legacyConn{peer: &legacyPeer{w: p.w, answer: p.line}}
	c.reader = reactor.NewLineReceiver(maxLinkLine, c)
	return c
}

// line is processIAMAT and processAT of the paper.
func (p *paperServer) line(c *legacyConn, line string) {
	f := strings.Fields(line)
	if len(f) == 0 || f[0] != "AT" && f[0] != "IAMAT" {
		c.say("? " + line + "\n\n")
		return
	}
	if f[0] == "AT" {
		f = f[2:]
	}
	id, coords, stamp := f[1], f[2], f[3]
	t, _ := strconv.ParseFloat(stamp, 64)
	if known, ok := p.locations[id]; ok && t <= known.time {
		return
	}
	p.locations[id] = paperLocation{t, coords + " " + stamp}
	diff := float64(p.w.net.Now().UnixMicro())/1e6 - t
	at := fmt.Sprintf("AT Welsh %+f %s %s %s Welsh\r\n", diff, id, coords, stamp)
	for _, name := range []string{"Alford", "Ball"} { // set(exclude) are letters
		if n, ok := p.neighbors[name]; !ok || n.Closed() {
			p.neighbors[name] = client{p.w.net.DialFrom("Welsh", name+":1"), p.w}
		}
		p.neighbors[name].SendString(at)
	}
}

// An update that all servers have is the same after the paper's server has passed it on, though that one's
// copy is the greater of the two.
func TestAPaperServerInTheRing(t *testing.T) {
	w := legacyRing(t, "optional", "Alford", "Ball", "Hamilton", "Holiday")
	w.until("live", w.live)
	w.iamat("Alford", "kiwi", stamp)
	w.until("equal", w.equal)
	before := w.servers["Holiday"].Status()
	p := w.startPaperServer()
	w.until("it has passed it on", func() bool {
		return w.servers["Alford"].Status().Links[1].Duplicates > 0 && w.servers["Ball"].Status().Links[1].Duplicates > 0
	})
	w.net.RunFor(time.Second)
	if p.locations["kiwi"].update == "" {
		t.Fatal("the paper's server has nothing")
	}
	for _, name := range []string{"Alford", "Ball", "Hamilton", "Holiday"} {
		item, _ := w.servers[name].store.Lookup([]byte("kiwi"))
		if got := string(item.Record.Origin()); got != "Alford" {
			t.Errorf("%s says that %s received it", name, got)
		}
		st := w.servers[name].Status()
		if st.Tail != 1 || st.Digest != before.Digest {
			t.Errorf("%s: the feed ends at %d, digest %s, want 1 and %s", name, st.Tail, st.Digest, before.Digest)
		}
	}
	// What is new is taken from it as ever.
	c := client{w.net.Dial("Welsh:1"), w}
	c.SendString(fmt.Sprintf("IAMAT kiwi +2-2 %d\r\n", stamp+1))
	w.until("its update is everywhere", func() bool {
		item, _ := w.servers["Holiday"].store.Lookup([]byte("kiwi"))
		return string(item.Record.Origin()) == "Welsh" && w.equal()
	})
}

// The simulation of a mixed herd: whatever comes first, by whichever way, the servers of the herd end with
// the same records, and the paper's server with the same places and times.
func TestMixedHerdsAgree(t *testing.T) {
	for seed := range uint64(60) {
		w := legacyRing(t, "optional")
		w.net = memreactor.NewWorld(seed, memreactor.Options{MinDelay: time.Millisecond, MaxDelay: 80 * time.Millisecond})
		r := rand.New(rand.NewPCG(seed, 1))
		names := []string{"Alford", "Ball", "Hamilton", "Holiday"}
		for _, name := range names {
			w.start(name)
		}
		w.until("live", w.live)
		p := w.startPaperServer()
		for i := range 150 {
			id, at := r.IntN(8), 100_000+i-r.IntN(3)*7 // some come late; no two of one client at one time
			line := fmt.Sprintf("IAMAT c%d +%d-%d %d.%d\r\n", id, r.IntN(90), r.IntN(180), at, i)
			server := append(names, "Welsh")[r.IntN(5)]
			client{w.net.Dial(server + ":1"), w}.SendString(line)
			w.net.RunFor(time.Duration(r.IntN(40)) * time.Millisecond)
			if i == 75 && seed%3 == 0 { // empty again, its first records may be copies
				name := names[r.IntN(4)]
				w.crash(name)
				w.net.RunFor(time.Duration(r.IntN(1000)) * time.Millisecond)
				w.start(name)
			}
		}
		w.until(fmt.Sprintf("seed %d: live", seed), w.live)
		w.until(fmt.Sprintf("seed %d: equal", seed), w.equal)
		w.net.RunFor(10 * time.Second)
		if !w.equal() || len(p.locations) != w.servers["Ball"].store.Len() {
			t.Fatalf("seed %d: not equal, or %d clients at Welsh and %d at Ball", seed, len(p.locations), w.servers["Ball"].store.Len())
		}
		c := w.servers["Ball"].store.Head()
		for item, ok := c.Next(); ok; item, ok = c.Next() {
			got := p.locations[string(item.Record.Client())].update
			if want := string(item.Record.Coords()) + " " + string(item.Record.Time()); got != want {
				t.Errorf("seed %d: %s is at %q, at Welsh %q", seed, item.Record.Client(), want, got)
			}
		}
		for _, name := range names {
			for _, l := range w.servers[name].Status().Links {
				if l.Repairs != 0 || l.BadLines != 0 || l.Agreement == "diverged" {
					t.Errorf("seed %d: %s: %+v", seed, name, l)
				}
			}
		}
	}
}
