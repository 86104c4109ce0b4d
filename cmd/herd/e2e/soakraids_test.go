package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"serverherd/cmd/herd/e2e/soak"
)

// attack is one kind of attack. It goes on all the time at each server.
type attack struct {
	name, does string
	try        func(r *raider) (saw string) // one attempt
	want       string                       // a regular expression: what it may see
	counter    string                       // of the status, that each attempt moves; "": none
	log        string                       // the message of the entry that is written once in 30 s; "": none
	reason     string                       // a part of that entry
	every      time.Duration                // between two attempts; 0: as most
	writes     bool                         // it changes records, and is quiet in quiet windows
	exact      bool                         // nothing but attacks moves the counter, and each attempt once
}

// raider is one attacker, or another client, of a server. One goroutine.
type raider struct {
	s       *soaked
	server  string
	address string // by the PROXY header
	chance  *rand.Rand
	n       int // attempts
}

// dial is a connection without a PROXY header.
func (r *raider) dial() (*net.TCPConn, error) {
	conn, err := net.DialTimeout("tcp", r.s.Server(r.server).Listen, patient)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * patient))
	return conn.(*net.TCPConn), nil
}

func (r *raider) header() string {
	return fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 4711 80\r\n", r.address)
}

// client is a connection with the raider's address.
func (r *raider) client() (net.Conn, error) {
	conn, err := r.dial()
	if err != nil {
		return nil, err
	}
	if _, err = io.WriteString(conn, r.header()); err != nil {
		conn.Close()
	}
	return conn, err
}

// welcome is a client's connection that has shown a token.
func (r *raider) welcome(token string) (net.Conn, error) {
	conn, err := r.client()
	if err != nil {
		return nil, err
	}
	if err := present(conn, token); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// present shows a token.
func present(conn net.Conn, token string) error {
	reply, err := ask(conn, "TOKEN "+tokenText(token)+"\n", make([]byte, 4096))
	if err == nil && reply != "> Welcome "+token+"\n\n" {
		err = fmt.Errorf("the token is answered %q", reply)
	}
	return err
}

// with does something with a client's connection and closes it.
func (r *raider) with(do func(conn net.Conn) string) string {
	conn, err := r.client()
	if err != nil {
		return ended("", err)
	}
	defer conn.Close()
	return do(conn)
}

// says sends text as a client and returns what comes until the server closes the connection.
func (r *raider) says(text string) string {
	return r.with(func(conn net.Conn) string {
		_, _ = io.WriteString(conn, text)
		return rest(conn)
	})
}

// rest is what is received until the server closes the connection.
func rest(conn io.Reader) string {
	text, err := io.ReadAll(io.LimitReader(conn, 32<<20))
	return ended(string(text), err)
}

// ended says what was received and how the connection has ended.
func ended(text string, err error) string {
	how := "closed"
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		how = "reset"
	case errors.As(err, &timeout) && timeout.Timeout():
		how = "still open"
	case err != nil && err != io.EOF:
		how = err.Error()
	}
	if len(text) > 1 && text[0] == 0x15 && text[1] == 3 {
		text = "a TLS alert"
	} else if len(text) > 1 && text[0] == tlsRecord && text[1] == 3 {
		text = "a TLS handshake"
	}
	text = strconv.Quote(strings.TrimRight(text, "\r\n"))
	if text = text[1 : len(text)-1]; len(text) > 80 {
		text = text[:80] + "..."
	}
	if text == "" {
		return how
	}
	return text + ", " + how
}

// answers reads n replies and counts them by their first line, without what differs between replies.
func answers(conn io.Reader, n int, want ...string) string {
	counts := map[string]int{}
	in := bufio.NewReader(conn)
	for range n {
		var reply string
		for !strings.HasSuffix(reply, "\n\n") {
			line, err := in.ReadString('\n')
			if reply += line; err != nil {
				return ended(reply, err)
			}
		}
		i := slices.IndexFunc(want, func(p string) bool { return strings.HasPrefix(reply, p) })
		if i < 0 {
			return fmt.Sprintf("%.100q", reply)
		}
		counts[want[i]]++
	}
	return strings.Join(slices.Sorted(maps.Keys(counts)), " and ")
}

// raids are all attacks. Any goroutine.
type raids struct {
	attacks []*attack
	all     []*tally // as attacks

	helpers struct {
		stolen map[string]*tls.Certificate // of neighbors, by name, without the secret
		hello  []byte                      // of TLS
	}
}

// tally is what became of one kind of attack.
type tally struct {
	attack    *attack
	pattern   *regexp.Regexp
	address   string // that all its attempts have
	attempts  atomic.Int64
	cut       atomic.Int64
	mu        sync.Mutex
	saw       map[string]int
	wrong     int
	harmed    int
	begun, ok map[string]uint64 // attempts, and those that saw what they should, by server
	active    map[string]int    // attempts under way, by server
}

func (rs *raids) init(s *soaked) {
	rs.helpers.stolen = map[string]*tls.Certificate{}
	for _, name := range names {
		rs.helpers.stolen[name] = issuerOf(s.Herd).issue(s.T, name, nil)
	}
	rs.helpers.hello = tlsHello()
	rs.attacks = slices.Concat(slowAttacks, garbageAttacks, forgeries, floodAttacks, tlsAttacks, consoleAttacks)
	for i, a := range rs.attacks {
		rs.all = append(rs.all, &tally{attack: a, pattern: regexp.MustCompile("^(?s:" + a.want + ")$"),
			address: fmt.Sprintf("10.66.%d.1", 1+i),
			saw:     map[string]int{}, begun: map[string]uint64{}, ok: map[string]uint64{}, active: map[string]int{}})
	}
}

// start begins all attacks at all servers.
func (rs *raids) start(s *soaked, all *sync.WaitGroup, done <-chan struct{}) {
	for k, t := range rs.all {
		for i, name := range names {
			r := &raider{s: s, server: name, address: t.address, chance: rand.New(rand.NewPCG(s.seed,
				uint64(100+100*k+i)))}
			all.Go(func() { t.run(r, done) })
		}
	}
}

// run is the loop of one attacker.
func (t *tally) run(r *raider, done <-chan struct{}) {
	pause := t.attack.every
	if pause == 0 {
		pause = sized(time.Second, 500*time.Millisecond)
	}
	wait := time.Duration(r.chance.Int64N(int64(pause)))
	for ; ; r.n++ {
		select {
		case <-time.After(wait):
		case <-done:
			return
		}
		if t.attack.writes {
			r.s.load.pause.RLock()
		}
		t.once(r)
		if t.attack.writes {
			r.s.load.pause.RUnlock()
		}
		wait = pause/2 + time.Duration(r.chance.Int64N(int64(pause)))
	}
}

// once is one attempt.
func (t *tally) once(r *raider) {
	t.attempts.Add(1)
	t.mu.Lock()
	t.begun[r.server]++
	t.active[r.server]++
	t.mu.Unlock()
	begun := time.Now()
	saw := t.attack.try(r)
	met := t.pattern.MatchString(saw)
	// Scaled down, an attempt that has taken long may have met a time limit of the server, as the machine is slow.
	slow := !*realSize && time.Since(begun) > time.Second
	wrong := !met && !slow && !r.s.faults.had(r.server, begun)
	t.mu.Lock()
	t.active[r.server]--
	switch {
	case met:
		t.ok[r.server]++
		if _, known := t.saw[saw]; known || len(t.saw) < 20 {
			t.saw[saw]++
		}
	case wrong:
		t.wrong++
	default:
		t.cut.Add(1)
	}
	t.mu.Unlock()
	if wrong {
		r.s.fail("%s at %s after %.1f s: saw %q", t.attack.name, r.server, time.Since(begun).Seconds(), saw)
	}
}

// blame notes that a bystander of a server was harmed during all attacks that are under way there.
func (rs *raids) blame(server string) {
	for _, t := range rs.all {
		t.mu.Lock()
		if t.active[server] > 0 {
			t.harmed++
		}
		t.mu.Unlock()
	}
}

// total is the number of attempts.
func (rs *raids) total() (n int64) {
	for _, t := range rs.all {
		n += t.attempts.Load()
	}
	return n
}

// missing are the attacks that have not yet seen what they should at each of the servers that are never restarted, and
// those that no sample has found counted.
func (rs *raids) missing(s *soaked) (all []string) {
	for _, t := range rs.all {
		t.mu.Lock()
		if t.ok[kept[0]] == 0 || t.ok[kept[1]] == 0 || t.attack.counter != "" && s.sample.counted(t.attack.counter) == 0 {
			all = append(all, t.attack.name)
		}
		t.mu.Unlock()
	}
	return all
}

func (rs *raids) complete(s *soaked) bool { return len(rs.missing(s)) == 0 }

// result is what became of all attacks, which have ended.
func (rs *raids) result(s *soaked) (all []soak.Attack) {
	for _, t := range rs.all {
		all = append(all, soak.Attack{
			Name: t.attack.name, Does: t.attack.does, Attempts: t.attempts.Load(), Cut: t.cut.Load(), Saw: t.saw,
			Counter: t.attack.counter,
			Counted: s.sample.counted(t.attack.counter), Log: t.attack.log, Entries: s.log.count(t.attack.log,
				t.attack.reason, t.address),
			Wrong: t.wrong, Harmed: t.harmed,
		})
	}
	return all
}

// exact is how many counters of the kept servers, which still run, are exactly the number of attacks, and of how many.
func (rs *raids) exact(s *soaked) (right, of int) {
	s.T.Helper()
	type key struct{ server, counter string }
	least, most, exact := map[key]uint64{}, map[key]uint64{}, map[string]bool{}
	for _, t := range rs.all {
		for _, server := range kept {
			k := key{server, t.attack.counter}
			least[k], most[k] = least[k]+t.ok[server], most[k]+t.begun[server]
		}
		exact[t.attack.counter] = t.attack.exact
	}
	for k := range least {
		if !exact[k.counter] {
			continue
		}
		of++
		// Scaled down, a machine may be too slow for any client to show a token in time.
		slow := !*realSize && k.counter == "tokens_late"
		if n := countersOf(s.now(k.server))[k.counter]; n < least[k] || n > most[k] && !slow {
			s.fail("%s of %s is %d: %d attacks of %d saw what they should", k.counter, k.server, n, least[k], most[k])
			continue
		}
		right++
	}
	return right, of
}
