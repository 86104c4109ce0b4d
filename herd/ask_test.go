package herd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/protocol"
)

// fakeAsker is an Asker in virtual time.
type fakeAsker struct {
	w      *world
	values map[string]string
	err    error
	takes  time.Duration

	asked          []string
	timeouts       []time.Duration
	inFlight, most int
}

var errNoReply = errors.New("no reply in time")

func (f *fakeAsker) Ask(client []byte, timeout time.Duration, done func([]byte, error)) {
	f.asked = append(f.asked, string(client))
	f.timeouts = append(f.timeouts, timeout)
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	takes := f.takes
	f.w.net.At(min(takes, timeout), func() {
		f.w.reactors["Alford"].CallFromThread(func() {
			f.inFlight--
			switch {
			case takes > timeout:
				done(nil, errNoReply)
			case f.err != nil:
				done(nil, f.err)
			default:
				value := []byte(f.values[string(client)])
				done(value, nil)
				copy(value, "overwritten")
			}
		})
	})
}

// asking is a server without neighbors that asks a bucket about clients, its log, and how the bucket answers.
func asking(t *testing.T, change func(*config.Config)) (*world, *fakeAsker, *Server, *observer.ObservedLogs) {
	cfg := testConfig(config.Server{Name: "Alford", Address: "Alford:1"})
	cfg.Limits.MaxConnections = 2000
	if change != nil {
		change(cfg)
	}
	w := newWorld(t, cfg)
	f := &fakeAsker{w: w, values: map[string]string{}, takes: time.Millisecond}
	srv, logs := w.logged(func(o *Options) { o.Asker, o.AskAfter = f, time.Minute })
	return w, f, srv, logs
}

// ballsRecord is an AT line of another herd's server.
func ballsRecord(client string, second int64) string {
	return fmt.Sprintf("AT Ball +0.1 %s +1+1 %d", client, second)
}

func TestAsk(t *testing.T) {
	for _, dialect := range []string{"paper", "cs131"} {
		for _, known := range []string{"unknown", "fresh", "old"} {
			t.Run(dialect+" "+known, func(t *testing.T) { testAsk(t, dialect, known) })
		}
	}
}

func testAsk(t *testing.T, dialect, known string) {
	const client = "kiwi\xff"
	w, f, srv, _ := asking(t, func(c *config.Config) { c.Herd.Dialect = dialect })
	c := w.dial("Alford")
	say := func(line string) string {
		c.SendString(line + "\n")
		w.until("a reply", func() bool { return strings.HasSuffix(string(c.Received()), "\n") })
		return c.Take()
	}
	own, at := "", map[string]int64{"fresh": w.net.Now().Unix() - 30, "old": stamp}[known]
	if known != "unknown" {
		own = strings.TrimRight(say(fmt.Sprintf("IAMAT %s +34-118 %d", client, at)), "\n")
	}
	greater, lesser := ballsRecord(client, stamp+5), ballsRecord(client, stamp-5)
	for _, answer := range []struct {
		name, value string
		err         error
		takes       time.Duration
		count       func(*AskStatus) *uint64
	}{
		{name: "none", count: func(s *AskStatus) *uint64 { return &s.None }},
		{name: "greater", value: greater, count: func(s *AskStatus) *uint64 { return &s.Found }},
		{name: "lesser", value: lesser, count: func(s *AskStatus) *uint64 {
			if known == "old" {
				return &s.Older
			}
			return &s.Found
		}},
		{name: "garbage", value: "garbage"},
		{name: "with a sender", value: greater + " Ball"},
		{name: "of another verb", value: "MARK 1 1 - 0 0000000000000000"},
		{name: "too long", value: strings.Repeat("x", 1<<20)},
		{name: "other client", value: ballsRecord("kiwi", stamp+5)},
		{name: "future", value: ballsRecord(client, w.net.Now().Add(2*time.Hour).Unix())},
		{name: "error", value: greater, err: errors.New("no servers available"), count: func(s *AskStatus) *uint64 { return &s.Failed }},
		{name: "timeout", value: greater, takes: time.Hour, count: func(s *AskStatus) *uint64 { return &s.Failed }},
	} {
		if answer.count == nil {
			answer.count = func(s *AskStatus) *uint64 { return &s.Invalid }
		}
		w.net.RunFor(askKept)
		f.asked = nil
		f.values[client], f.err, f.takes = answer.value, answer.err, max(answer.takes, time.Millisecond)
		record := own
		if answer.name == "greater" && known != "fresh" || answer.name == "lesser" && known == "unknown" {
			record = answer.value
		}
		want := *srv.Status().Asks
		if known != "fresh" {
			want.Sent++
			*answer.count(&want)++
		}
		sent := want.Sent - srv.Status().Asks.Sent
		line := "WHATSAT " + client + " 10 0"
		got := say(line)
		counted := *srv.Status().Asks
		counted.OK, counted.Error, want.OK, want.Error = true, "", true, ""
		if counted != want || len(f.asked) != int(sent) {
			t.Errorf("%s: asked %q, counted %+v, want %+v", answer.name, f.asked, counted, want)
		}
		refusal := protocol.UnknownClient("Alford", []byte(client))
		if answer.err != nil || answer.takes > 0 {
			refusal = protocol.BucketFailed("Alford", []byte(client))
		}
		reply := string(srv.dialect.AppendRefusal(nil, []byte(line), refusal))
		if record != "" {
			result, _ := fakePlaces{}.Nearby(t.Context(), places.Query{})
			text, _ := srv.dialect.AppendWhatsat(nil, []byte(record), func(dst []byte) []byte { return places.AppendJSON(dst, result, 0) })
			reply = string(text)
		}
		if got != reply {
			t.Errorf("%s: %q, want %q", answer.name, got, reply)
		}
	}
	// Nothing was stored.
	if item, ok := srv.store.Lookup([]byte(client)); ok != (own != "") || ok && string(item.Record.AppendAT(nil)) != own ||
		srv.store.Tail() > 1 {
		t.Errorf("the server has %q of %d records", item.Record.Text(), srv.store.Tail())
	}
}

// A thousand WHATSATs for one client are one ask, and those in the second after it none. Later ones ask again.
func TestAskIsShared(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	f.values["kiwi"], f.takes = ballsRecord("kiwi", stamp), 100*time.Millisecond
	const askers = 1000
	var clients []client
	for i := range askers {
		c := w.dial("Alford")
		c.SendString(fmt.Sprintf("WHATSAT kiwi %d %d\n", i%50, i%3))
		clients = append(clients, c)
	}
	for i, c := range clients {
		got := c.ask(1, "")
		if !strings.HasPrefix(got, f.values["kiwi"]+"\n{") || strings.Count(got, `"name"`) != i%3 {
			t.Fatalf("client %d: %q", i, got)
		}
	}
	w.net.RunFor(askKept / 2)
	clients[0].ask(65, "IAMAT moa +1+1 5\n"+strings.Repeat("WHATSAT kiwi 1 1\n", 64))
	if got := clients[0].ask(1, "WHATSAT kiwi 1 1\n"); !strings.HasPrefix(got, f.values["kiwi"]+"\n{") {
		t.Errorf("half a second later: %q", got)
	}
	if st := srv.Status().Asks; len(f.asked) != 1 || st.Sent != 1 || st.Shared != askers-1 || st.Cached != 65 {
		t.Errorf("asked %d times, %+v", len(f.asked), st)
	}
	w.net.RunFor(askKept)
	clients[0].ask(1, "WHATSAT kiwi 1 1\n")
	if len(f.asked) != 2 {
		t.Errorf("asked %d times", len(f.asked))
	}
	w.net.RunFor(askKept + time.Second)
	if n := len(srv.asks.asks) + len(srv.asks.kept) + len(srv.asks.queue); n > 0 {
		t.Errorf("%d asks are left", n)
	}
}

// That the bucket has no entry, or does not answer, is known for a second, but not longer than the client is unknown here.
func TestAskKeepsFailures(t *testing.T) {
	for _, err := range []error{nil, errors.New("down")} {
		w, f, srv, _ := asking(t, nil)
		f.err = err
		c := w.dial("Alford")
		first := c.ask(1, "WHATSAT kiwi 1 1\n")
		f.values["kiwi"], f.err = ballsRecord("kiwi", stamp), nil
		w.net.RunFor(askKept - 100*time.Millisecond)
		if got := c.ask(1, "WHATSAT kiwi 1 1\n"); got != first || len(f.asked) != 1 {
			t.Errorf("%q after %q, asked %d times", got, first, len(f.asked))
		}
		if got := c.ask(2, "IAMAT kiwi +2+2 1\nWHATSAT kiwi 1 0\n"); !strings.Contains(got, " kiwi +2+2 1\n{") || len(f.asked) != 1 {
			t.Errorf("after an update: %q, asked %d times", got, len(f.asked))
		}
		w.net.RunFor(askKept)
		if got := c.ask(1, "WHATSAT kiwi 1 1\n"); !strings.HasPrefix(got, f.values["kiwi"]) || len(f.asked) != 2 {
			t.Errorf("later: %q, asked %d times", got, len(f.asked))
		}
		if n := srv.store.Tail(); n != 1 {
			t.Errorf("%d records stored", n)
		}
	}
}

// An update that comes while the bucket is asked counts, and replies stay in order.
func TestAskInAPipeline(t *testing.T) {
	w, f, _, _ := asking(t, nil)
	f.values["moa"], f.takes = ballsRecord("moa", stamp), 500*time.Millisecond
	c := w.dial("Alford")
	c.SendString("WHATSAT moa 1 0\nWHATSAT kiwi 1 0\nhelp\n")
	w.net.RunFor(100 * time.Millisecond)
	w.iamat("Alford", "kiwi", stamp)
	got := c.ask(6, "WHATSAT emu 1 0\nIAMAT emu +1+1 5\nWHATSAT moa 1 0\n")
	var clients []string
	for _, reply := range strings.SplitAfter(got, "\n\n") {
		switch f := strings.Fields(reply); {
		case len(f) > 3 && f[0] == "AT":
			clients = append(clients, f[1]+"'s "+f[3])
		case len(f) > 0:
			clients = append(clients, f[0])
		}
	}
	if want := []string{"Ball's moa", "Alford's kiwi", "Available", "Alford's emu", "Alford's emu", "Ball's moa"}; !slices.Equal(clients, want) {
		t.Errorf("%q, want %q", clients, want)
	}
	if want := []string{"moa", "kiwi", "emu"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked about %q, want %q", f.asked, want)
	}
}

// askingMany has each of n connections of a host ask about 64 clients that nobody else asks about.
func askingMany(w *world, host string, n int) (clients []client) {
	for i := range n {
		c := client{w.net.DialFrom(host, "Alford:1"), w}
		var lines strings.Builder
		for k := range maxOpen {
			fmt.Fprintf(&lines, "WHATSAT %s-%d-%d 1 1\n", host, i, k)
		}
		c.SendString(lines.String())
		clients = append(clients, c)
	}
	w.net.RunFor(20 * time.Millisecond)
	return clients
}

// Asks are bounded, in flight and waiting, and an address that has many leaves room for others.
func TestAsksAreBounded(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	f.takes = time.Minute
	many := askingMany(w, "many", 20)
	st := srv.Status()
	if n := askInFlight * 7 / 8; f.most != n || st.Asks.InFlight != n || st.Asks.Open != maxWaiting || st.Lookups.Waiting != maxWaiting ||
		st.Counters.LookupsBusy != uint64(20*maxOpen-maxWaiting) {
		t.Errorf("%d in flight, %+v, %+v, %d busy", f.most, st.Asks, st.Lookups, st.Counters.LookupsBusy)
	}
	f.values["moa"], f.takes = ballsRecord("moa", stamp), time.Millisecond
	other := client{w.net.DialFrom("other", "Alford:1"), w}
	begun := w.net.Elapsed()
	if got := other.ask(1, "WHATSAT moa 1 1\n"); !strings.HasPrefix(got, f.values["moa"]) {
		t.Errorf("another address: %q", got)
	}
	if took := w.net.Elapsed() - begun; took > 100*time.Millisecond {
		t.Errorf("another address waited %v", took)
	}
	f.takes = time.Minute
	for i := range 40 {
		askingMany(w, fmt.Sprint("host", i), 1)
	}
	if n := srv.Status().Asks.InFlight; f.most != askInFlight || n != askInFlight {
		t.Errorf("%d in flight, at most %d", n, f.most)
	}
	// Each has its reply in the end.
	for _, c := range many {
		if got := c.ask(maxOpen, ""); strings.Count(got, "> WHATSAT B") != maxOpen {
			t.Errorf("%d of %d refused", strings.Count(got, "> WHATSAT B"), maxOpen)
		}
	}
	w.net.RunFor(5 * time.Second)
	if st := srv.Status().Asks; st.Busy == 0 || st.Failed == 0 || st.Open+st.InFlight > 0 {
		t.Errorf("%+v", st)
	}
	if q := srv.lookups; q.waiting+q.waitingAddresses+len(q.open)+len(srv.asks.queue) > 0 {
		t.Errorf("%d lookups wait, of %d addresses, %d asks", q.waiting, q.waitingAddresses, len(srv.asks.queue))
	}
}

// The reserve is for addresses that have no ask in flight, and not for one that reconnects.
func TestAskReserveIsNotForWhoReconnects(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	f.takes = time.Minute
	for _, c := range askingMany(w, "attacker", 4) {
		c.Reset()
	}
	w.until("gone", func() bool { return len(srv.sessions) == 0 })
	c := client{w.net.DialFrom("attacker", "Alford:1"), w}
	c.SendString("WHATSAT another 1 1\n")
	w.until("waiting", func() bool { return srv.asks.open == 1 })
	if want := askInFlight - reserve(askInFlight); f.inFlight != want || len(srv.asks.queue) != 1 {
		t.Errorf("%d in flight, want %d; %d wait", f.inFlight, want, srv.asks.open)
	}
}

// The connections of an address take turns, too.
func TestConnectionsTakeTurnsAtAsking(t *testing.T) {
	w, f, _, _ := asking(t, nil)
	f.takes = 600 * time.Millisecond // so that the reply comes later than a turn could
	askingMany(w, "many", 10)
	other := client{w.net.DialFrom("many", "Alford:1"), w}
	begun := w.net.Elapsed()
	got := other.ask(1, "WHATSAT moa 1 1\n")
	if took := w.net.Elapsed() - begun; !strings.HasPrefix(got, "> WHATSAT REQUEST") || took > 2*f.takes+20*time.Millisecond {
		t.Errorf("%q after %v", got, took)
	}
}

// With a slow bucket a WHATSAT waits at most a second for its turn and a second for the answer. What is known here is
// answered then. The bucket has at most half of what is left of places.timeout.
func TestAskDeadlines(t *testing.T) {
	for _, c := range []struct{ timeout, ask time.Duration }{
		{5 * time.Second, askTimeout}, {600 * time.Millisecond, 300 * time.Millisecond}, {time.Millisecond, time.Millisecond},
	} {
		w, f, srv, _ := asking(t, func(cfg *config.Config) { cfg.Places.Timeout = c.timeout })
		w.iamat("Alford", "old", stamp)
		f.takes = time.Minute
		begun := w.net.Elapsed()
		got := w.dial("Alford").ask(1, "WHATSAT old 1 1\n")
		if took := w.net.Elapsed() - begun; took > c.timeout+20*time.Millisecond || took < c.ask ||
			!strings.HasPrefix(got, "AT Alford ") && c.timeout > time.Millisecond {
			t.Errorf("places.timeout %v: %q after %v", c.timeout, got, took)
		}
		askingMany(w, "many", 20)
		w.net.RunFor(askKept)
		client := client{w.net.DialFrom("many", "Alford:1"), w}
		begun = w.net.Elapsed()
		got = client.ask(1, "WHATSAT old 1 1\n")
		if took := w.net.Elapsed() - begun; took > c.timeout+20*time.Millisecond || took > 2*askTimeout+20*time.Millisecond {
			t.Errorf("places.timeout %v: %q after %v", c.timeout, got, took)
		}
		if least, most := slices.Min(f.timeouts), slices.Max(f.timeouts); most != c.ask || least < c.ask/2-time.Millisecond {
			t.Errorf("places.timeout %v: the bucket has %v to %v", c.timeout, least, most)
		}
		if n := srv.Status().Lookups.Open; n > maxWaiting {
			t.Errorf("%d open", n)
		}
	}
}

// At most askResults results are kept.
func TestAskResultsAreBounded(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	c := w.dial("Alford")
	most := 0
	for i := range askResults/50 + 10 {
		var lines strings.Builder
		for k := range 50 {
			fmt.Fprintf(&lines, "WHATSAT c%d-%d 1 1\n", i, k)
		}
		c.ask(50, lines.String())
		most = max(most, len(srv.asks.asks))
	}
	if took := w.net.Elapsed(); took >= askKept {
		t.Errorf("after %v results are not kept", took)
	}
	c.ask(1, "WHATSAT c0-0 1 1\n")
	if most != askResults || len(f.asked) != 50*(askResults/50+10)+1 || len(srv.asks.kept) != askResults {
		t.Errorf("%d kept, asked %d times", most, len(f.asked))
	}
}

// Who closes while the bucket is asked leaves nothing behind. The answer is of use to the next.
func TestCloseDuringAsk(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	f.values["kiwi"], f.takes = ballsRecord("kiwi", stamp), 200*time.Millisecond
	leaves, stays := w.dial("Alford"), w.dial("Alford")
	leaves.SendString("WHATSAT kiwi 1 1\nWHATSAT moa 1 1\n")
	stays.SendString("WHATSAT kiwi 1 1\n")
	w.net.RunFor(50 * time.Millisecond)
	leaves.Reset()
	w.net.RunFor(50 * time.Millisecond)
	if st := srv.Status(); st.Asks.Open != 1 || st.Asks.InFlight != 2 || st.Lookups.Open != 1 {
		t.Errorf("%+v, %+v", st.Asks, st.Lookups)
	}
	if got := stays.ask(1, ""); !strings.HasPrefix(got, f.values["kiwi"]) {
		t.Errorf("%q", got)
	}
	if got := stays.ask(1, "WHATSAT moa 1 1\n"); !strings.HasPrefix(got, "> WHATSAT REQUEST") || len(f.asked) != 2 {
		t.Errorf("%q, asked about %q", got, f.asked)
	}
	// Queued asks without askers are not sent.
	f.takes = time.Minute
	many := askingMany(w, "many", 16)
	sent := len(f.asked)
	for _, c := range many {
		c.Reset()
	}
	w.net.RunFor(20 * time.Millisecond)
	if n := len(srv.asks.asks) - len(srv.asks.kept); n != srv.asks.inFlight {
		t.Errorf("%d asks, %d of them in flight", n, srv.asks.inFlight)
	}
	w.net.RunFor(3 * time.Second)
	if n := len(f.asked); n != sent || len(srv.asks.queue)+srv.lookups.waiting+len(srv.lookups.open) > 0 {
		t.Errorf("%d asks more, %d queued, %d wait", n-sent, len(srv.asks.queue), srv.lookups.waiting)
	}
	stays.Close()
	w.net.RunFor(3 * time.Second)
	if n := len(srv.lookups.addresses) + len(srv.asks.asks); n > 0 {
		t.Errorf("%d addresses and asks are left", n)
	}
}

// Who has half-closed gets the replies, and a server that stops gives them.
func TestAskBeforeTheEnd(t *testing.T) {
	for _, stop := range []bool{false, true} {
		w, f, srv, _ := asking(t, nil)
		f.values["kiwi"], f.takes = ballsRecord("kiwi", stamp), 500*time.Millisecond
		c := w.dial("Alford")
		c.SendString("WHATSAT kiwi 1 1\nWHATSAT moa 1 1\n")
		w.net.RunFor(100 * time.Millisecond)
		if stop {
			w.reactors["Alford"].Stop()
		} else {
			c.CloseWrite()
		}
		w.until("closed", c.Closed)
		if got := string(c.Received()); !strings.HasPrefix(got, f.values["kiwi"]) || strings.Count(got, "\n\n") != 2 {
			t.Errorf("stop %v: %q", stop, got)
		}
		if stop {
			w.until("stopped", w.reactors["Alford"].Stopped)
			if err := srv.StopError(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A reply that waits for the bucket is accounted for, and so is its record.
func TestAskMemory(t *testing.T) {
	w, f, srv, _ := asking(t, nil)
	long := strings.Repeat("k", 1024)
	f.values[long], f.takes = ballsRecord(long, stamp), 100*time.Millisecond
	w.reactors["Alford"].SetWork(100 * time.Millisecond)
	c := w.dial("Alford")
	c.SendString(strings.Repeat("WHATSAT "+long+" 1 1\n", 10))
	w.until("asked", func() bool { return len(f.asked) == 1 })
	w.net.RunFor(50 * time.Millisecond)
	s := srv.sessionOf(c)
	if n := s.replies.memory; n < 10*(slotBytes+1024) || s.accounted < n {
		t.Errorf("%d bytes, %d of them accounted for", n, s.accounted)
	}
	w.net.RunFor(100 * time.Millisecond)
	if n := s.replies.memory; n < 10*(slotBytes+2*1024) || s.accounted < n {
		t.Errorf("with their records %d bytes, %d of them accounted for", n, s.accounted)
	}
	c.ask(10, "")
	if s.replies.memory != 0 {
		t.Errorf("%d bytes in the end", s.replies.memory)
	}
}

// That the bucket does not answer is logged once, and once that it does again, however many fail in between.
func TestAskFailuresAreLoggedOnce(t *testing.T) {
	w, f, srv, logs := asking(t, nil)
	c := w.dial("Alford")
	for i := range 100 {
		f.err = nil
		if i%3 == 0 && i < 80 {
			f.err = errors.New("no servers available")
		}
		c.ask(1, fmt.Sprintf("WHATSAT c%d 1 1\n", i))
		w.net.RunFor(100 * time.Millisecond)
		if st := srv.Status().Asks; i == 80 && (st.OK || st.Error != "no servers available") {
			t.Errorf("%+v", st)
		}
	}
	w.net.RunFor(askQuiet)
	c.ask(1, "WHATSAT kiwi 1 1\n")
	down, up := logs.FilterMessage("bucket does not answer").Len(), logs.FilterMessage("bucket answers again").Len()
	if st := srv.Status().Asks; down != 1 || up != 1 || !st.OK || st.Error != "" {
		t.Errorf("logged %d times that it fails, %d times that it recovered; %+v", down, up, st)
	}
}

// hitAskInFlight has so many asks wait for a bucket that does not answer that some do not get their turn.
func hitAskInFlight(t *testing.T) *Server {
	w, f, srv, _ := asking(t, nil)
	f.takes = time.Minute
	askingMany(w, "many", 16)
	w.until("busy", w.counted("asks.busy"))
	if f.most != askInFlight-reserve(askInFlight) || slices.Max(f.timeouts) != askTimeout {
		t.Errorf("%d in flight, for %v", f.most, slices.Max(f.timeouts))
	}
	w.until("failed", w.counted("asks.failed"))
	return srv
}

// hitAskKept has asks with all results, and uses the results of some twice.
func hitAskKept(t *testing.T) *Server {
	w, f, srv, _ := asking(t, nil)
	f.values["found"], f.values["known"], f.values["invalid"] = ballsRecord("found", 5), ballsRecord("known", 4), "?"
	w.iamat("Alford", "known", 5)
	lines := "WHATSAT found 1 1\nWHATSAT known 1 1\nWHATSAT invalid 1 1\nWHATSAT none 1 1\nWHATSAT found 1 2\n"
	w.dial("Alford").ask(5, lines)
	w.net.RunFor(askKept - 10*time.Millisecond)
	w.dial("Alford").ask(5, lines)
	if st := srv.Status().Asks; st.Cached != 5 {
		t.Errorf("%+v", st)
	}
	return srv
}

// A record that comes here while the bucket is asked, or after that, is answered if it is greater than the bucket's.
func TestAskGreaterComesLater(t *testing.T) {
	for _, later := range []bool{false, true} {
		w, f, _, _ := asking(t, nil)
		f.values["kiwi"], f.takes = ballsRecord("kiwi", stamp), 100*time.Millisecond
		c := w.dial("Alford")
		if later {
			c.ask(1, "WHATSAT kiwi 1 0\n")
		}
		c.SendString("WHATSAT kiwi 1 0\n")
		w.net.RunFor(10 * time.Millisecond)
		c.Take()
		w.iamat("Alford", "kiwi", stamp+1)
		lines := ""
		if later {
			lines = "WHATSAT kiwi 1 0\n"
		}
		got := c.ask(1, lines)
		if !strings.HasPrefix(got, "AT Alford ") || !strings.Contains(got, fmt.Sprintf(" %d\n{", stamp+1)) || len(f.asked) != 1 {
			t.Errorf("later %v: %q, asked %d times", later, got, len(f.asked))
		}
	}
}

// A bucket that cannot be asked is reported before a WHATSAT needs it, and so is that it answers again. Probes are not
// counted, and there are none while WHATSATs ask.
func TestAskProbe(t *testing.T) {
	w, f, srv, logs := asking(t, nil)
	f.err = errNoReply
	w.net.RunFor(askProbe + 2*time.Second)
	if st := srv.Status().Asks; st.OK || st.Error != errNoReply.Error() || st.Sent != 0 || st.Failed != 0 || len(f.asked) != 1 {
		t.Errorf("%+v after %d probes", st, len(f.asked))
	}
	f.err = nil
	w.net.RunFor(askProbe)
	if st := srv.Status().Asks; !st.OK || len(f.asked) != 2 {
		t.Errorf("%+v after %d probes", st, len(f.asked))
	}
	if logs.FilterMessage("bucket does not answer").Len() != 1 || logs.FilterMessage("bucket answers again").Len() != 1 {
		t.Errorf("log %v", logs.All())
	}
	c := w.dial("Alford")
	for range 8 {
		w.net.RunFor(askProbe / 2)
		c.SendString("WHATSAT kiwi 1 0\n")
	}
	if i := slices.Index(f.asked, "kiwi"); i < 2 || slices.Contains(f.asked[i:], "Alford") {
		t.Errorf("asked %q", f.asked)
	}
}
