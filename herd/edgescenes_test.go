package herd

import (
	"strings"
	"time"

	"serverherd/herd/config"
)

// edgeScenes are the transcripts in testdata/transcripts/link.
var edgeScenes = []struct {
	name   string
	what   string
	config func(*config.Config)
	play   func(e *edge)
}{
	{name: "handshake-empty", what: `
		First handshake: both servers start with an empty feed. Each dials the other and sends its feed on that
		connection.`,
		play: func(e *edge) {
			e.start("Ball")
			e.start("Alford")
			e.pass(1200 * time.Millisecond)
		}},
	{name: "handshake-full", what: `
		First handshake with a full feed: Ball is new ("- 0") and is sent everything that Alford has.`,
		config: withSecrets("one"),
		play: func(e *edge) {
			e.start("Alford")
			e.pass(5 * time.Second)
			e.fill("Alford", 1000)
			e.iamat("Alford", "kiwi", stamp)
			e.pass(time.Second)
			e.start("Ball")
			e.pass(2 * time.Second)
		}},
	{name: "live", what: `
		Live updates: an update is sent with a MARK and answered with an ACK. It is not sent back to where it came
		from; the receiver's own MARK says a second later that it has it.`,
		play: func(e *edge) {
			e.live()
			e.iamat("Alford", "kiwi", stamp)
			e.pass(1500 * time.Millisecond)
			e.iamat("Ball", "kiwi", stamp+1)
			e.pass(500 * time.Millisecond)
			e.iamat("Alford", "moa", stamp)
			e.iamat("Ball", "emu", stamp)
			e.pass(1500 * time.Millisecond)
		}},
	{name: "resume", what: `
		Resume after a cut: WELCOME names the last MARK that the acceptor has of this process, and what comes after
		it is sent, once.`,
		play: func(e *edge) {
			e.live()
			e.iamat("Alford", "kiwi", stamp)
			e.iamat("Alford", "moa", stamp)
			e.pass(1200 * time.Millisecond)
			e.note("both connections break; another client moves")
			e.net.Reset("Alford", "Ball")
			e.iamat("Alford", "moa", stamp+1)
			e.pass(2 * time.Second)
		}},
	{name: "copy-cut", what: `
		A copy that is cut in the middle is a resume, too: it goes on behind the last MARK that Ball has.`,
		play: func(e *edge) {
			e.start("Alford")
			e.pass(5 * time.Second)
			e.fill("Alford", 5000)
			e.start("Ball")
			e.until("the middle of the copy", func() bool { return e.servers["Ball"].store.Len() > 2000 })
			e.note("both connections break")
			e.net.Reset("Alford", "Ball")
			e.pass(2500 * time.Millisecond)
		}},
	{name: "restart", what: `
		Ball is killed and started again: the new process has another epoch and nothing of the old one's. So it is
		sent everything, its own update included. Alford forgets how far it had the old one's feed.`,
		play: func(e *edge) {
			e.live()
			e.iamat("Alford", "kiwi", stamp)
			e.iamat("Ball", "moa", stamp)
			e.pass(1200 * time.Millisecond)
			e.note("Ball is killed")
			e.crash("Ball")
			e.pass(time.Second)
			e.start("Ball")
			e.pass(4 * time.Second)
		}},
	{name: "wrong-proof", what: `
		A wrong proof: Ball has another secret. Alford has two, and tries the second one at once.`,
		play: func(e *edge) {
			e.startWith("Ball", e.configured(withSecrets("other")))
			e.startWith("Alford", e.configured(withSecrets("one", "two")))
			e.pass(400 * time.Millisecond)
		}},
	{name: "rotation", what: `
		A secret is changed: Alford has the new one already, and the old one. Ball has the old one only. Alford signs
		with the second after Ball has refused the first.`,
		play: func(e *edge) {
			e.startWith("Ball", e.configured(withSecrets("old")))
			e.startWith("Alford", e.configured(withSecrets("new", "old")))
			e.pass(time.Second)
		}},
	{name: "refuse", what: `
		Each REFUSE. The test plays Ball, on a new connection each time.`,
		play: func(e *edge) {
			e.start("Alford")
			const good = "HELLO herd/1 ucla Ball Alford 00000000000000aa 000102030405060708090a0b0c0d0e0f"
			for _, change := range [][2]string{
				{"herd/1", "herd/2"}, {"ucla", "usc"}, {" Alford", " Welsh"}, {"Ball", "Alford"}, {"Ball", "Welsh"},
			} {
				e.impostor("Alford", "Ball").hello(strings.Replace(good, change[0], change[1], 1))
				e.pass(100 * time.Millisecond)
			}
			e.note("a proof that is none")
			p := e.impostor("Alford", "Ball", "one")
			p.hello(good)
			e.pass(100 * time.Millisecond)
			e.note("another line than PROOF")
			p = e.impostor("Alford", "Ball")
			p.say(good)
			p.line()
			p.say("AT Ball +1 kiwi +1-1 1 Ball")
			e.pass(100 * time.Millisecond)
			e.note("nothing after HELLO")
			e.impostor("Alford", "Ball").say(good)
			e.pass(3 * time.Second)
			e.note("a former process, while its successor is connected")
			e.ball("aa")
			e.ball("bb")
			e.ball("aa")
			e.pass(100 * time.Millisecond)
		}},
	{name: "replaced", what: `
		A second connection of the same process replaces the first: what the first one still delivers is applied, but its
		MARK does not count. As Ball answers a PING on it after six seconds, it is closed, so that Ball dials again.`,
		play: func(e *edge) {
			e.start("Alford")
			older, _ := e.ball("aa")
			newer, _ := e.ball("aa")
			older.SendString("AT Ball +1 kiwi +1-1 1 Ball\r\nMARK 1 2 - 1 0000000000000001\r\n")
			newer.SendString("AT Ball +1 moa +1-1 1 Ball\r\nMARK 1 2 - 1 0000000000000002\r\n")
			for range 7 {
				e.pass(time.Second)
				older.pong()
				newer.pong()
			}
		}},
	{name: "second-process", what: `
		Two processes are called Ball. The later one is the neighbor while it is connected, and the former one is refused. When
		the later one has left, the former one is taken back, as an unknown process.`,
		play: func(e *edge) {
			e.start("Alford")
			first, _ := e.ball("aa")
			first.SendString("MARK 3 9 - 0 0000000000000000\r\n")
			e.pass(200 * time.Millisecond)
			first.Close()
			e.pass(100 * time.Millisecond)
			second, _ := e.ball("bb")
			e.pass(100 * time.Millisecond)
			e.ball("aa")
			e.pass(100 * time.Millisecond)
			e.note("the second process leaves")
			second.Close()
			e.pass(100 * time.Millisecond)
			first, _ = e.ball("aa")
			first.SendString("MARK 5 9 - 0 0000000000000000\r\n")
			e.pass(200 * time.Millisecond)
			first.Close()
			e.pass(100 * time.Millisecond)
			e.ball("aa")
			e.pass(100 * time.Millisecond)
		}},
	{name: "repair", what: `
		Divergence and repair: a record that Ball has lost shows at the next MARK of a whole state. Both send everything again,
		skipping nothing, and then they agree.`,
		play: func(e *edge) {
			e.live()
			e.iamat("Ball", "kiwi", stamp)
			e.iamat("Alford", "moa", stamp)
			e.pass(2500 * time.Millisecond)
			e.note("Ball loses kiwi")
			e.servers["Ball"].store.Damage([]byte("kiwi"), nil)
			e.pass(5 * time.Second)
		}},
	{name: "window", what: `
		The full window: Ball, played by the test, acknowledges nothing, and Alford stops. An ACK opens the window again.`,
		play: func(e *edge) {
			a := &acceptor{since: "- 0", pong: true, ack: true}
			e.note("Ball starts")
			e.play("Ball", a)
			e.start("Alford")
			e.pass(200 * time.Millisecond)
			a.ack = false
			e.fill("Alford", 17_000)
			e.until("the window is full", func() bool { return e.servers["Alford"].neighbors[0].counters.stalls > 0 })
			e.note("the window is full: %d bytes", e.linkOf("Alford").unacknowledged())
			e.pass(300 * time.Millisecond)
			a.say("ACK 952")
			e.pass(100 * time.Millisecond)
			a.ack = true
			a.say("ACK 14926")
			e.pass(100 * time.Millisecond)
		}},
	{name: "no-ack", what: `
		Ball, played by the test, reads and answers, but acknowledges nothing any more: the link is dropped and dialed again.`,
		play: func(e *edge) {
			a := &acceptor{since: "- 0", pong: true, ack: true}
			e.note("Ball starts")
			e.play("Ball", a)
			srv := e.start("Alford")
			e.pass(time.Second)
			a.ack, a.since = false, srv.epoch.String()+" 0"
			e.iamat("Alford", "kiwi", stamp)
			e.pass(5500 * time.Millisecond)
		}},
	{name: "silence", what: `
		PING and silence: two idle servers ask each other for a sign of life, and compare their states every five seconds. When
		the network takes what Alford sends, both drop both connections.`,
		play: func(e *edge) {
			e.live()
			e.pass(11 * time.Second)
			e.note("what Alford sends is lost from now on")
			e.net.CutOneWay("Alford", "Ball")
			e.pass(8500 * time.Millisecond)
			e.note("the network is whole again")
			e.net.HealAll()
			e.pass(6 * time.Second)
		}},
	{name: "stop", what: `
		Ball stops in good order: it hands over what it has, and leaves when Alford has acknowledged it.`,
		play: func(e *edge) {
			e.live()
			e.iamat("Ball", "kiwi", stamp)
			e.pass(21 * time.Millisecond)
			e.note("Ball stops")
			e.reactors["Ball"].Stop()
			e.until("stopped", e.reactors["Ball"].Stopped)
			e.note("Ball has left")
			e.pass(300 * time.Millisecond)
		}},
	{name: "legacy", what: `
		A legacy neighbor: Ball, played by the test, does not know HELLO. It is sent AT lines only, everything once on each
		connection. Its own AT lines are taken without a handshake.`,
		config: optionalHandshake("keep"),
		play: func(e *edge) {
			e.start("Alford")
			e.iamat("Alford", "kiwi", stamp)
			e.pass(20 * time.Millisecond)
			p := &legacyPeer{w: e.world, answer: doesNotKnow}
			e.note("Ball starts")
			e.play("Ball", p)
			e.pass(time.Second)
			c := client{e.net.DialFrom("Ball", "Alford:1"), e.world}
			c.SendString("AT Ball +0.1 moa +1-1 1520000000 Ball\r\n")
			e.pass(100 * time.Millisecond)
			e.iamat("Alford", "kiwi", stamp+1)
			e.pass(100 * time.Millisecond)
			e.note("Ball closes the connection")
			p.last().t.LoseConnection()
			e.pass(time.Second)
		}},
	{name: "legacy-silent", what: `
		A legacy neighbor that says nothing to HELLO is served AT lines after two seconds. Alford keeps asking on other connections;
		when Ball turns out to be a server of the herd, there is a handshake.`,
		config: optionalHandshake("keep"),
		play: func(e *edge) {
			e.start("Ball")
			e.start("Alford")
			e.pass(time.Second)
			e.note("Ball hangs, and the connections break")
			e.reactors["Ball"].Pause()
			e.net.Reset("Alford", "Ball")
			e.iamat("Alford", "kiwi", stamp)
			e.pass(4 * time.Second)
			e.note("Ball goes on")
			e.reactors["Ball"].Resume()
			e.pass(3 * time.Second)
		}},
	{name: "legacy-one-line", what: `
		A legacy neighbor with legacy = "close-after-write": one line on each connection.`,
		config: optionalHandshake("close-after-write"),
		play: func(e *edge) {
			e.start("Alford")
			e.iamat("Alford", "kiwi", stamp)
			e.iamat("Alford", "moa", stamp)
			e.pass(20 * time.Millisecond)
			p := &legacyPeer{w: e.world, answer: doesNotKnow}
			e.note("Ball starts")
			e.play("Ball", p)
			e.pass(time.Second)
			e.iamat("Alford", "kiwi", stamp+1)
			e.pass(100 * time.Millisecond)
		}},
}

func withSecrets(secrets ...string) func(*config.Config) {
	return func(c *config.Config) { c.Herd.Secrets = secrets }
}

func optionalHandshake(legacy string) func(*config.Config) {
	return func(c *config.Config) { c.Peers.Handshake, c.Peers.Legacy = "optional", legacy }
}

// configured is the herd's configuration with a change.
func (e *edge) configured(change func(*config.Config)) *config.Config {
	cfg := *e.cfg
	change(&cfg)
	return &cfg
}

// live starts both servers; what they say until their links are live is not written down.
func (e *edge) live() {
	e.start("Ball")
	e.start("Alford")
	e.until("live", e.world.live)
	e.pass(1200 * time.Millisecond)
	e.rows = e.rows[:0]
	e.note("both links are live")
}

// say sends a line to the dialer.
func (a *acceptor) say(line string) { a.t.Write([]byte(line + "\r\n")) }

// pong answers the last PING.
func (p *impostor) pong() {
	got := p.Take()
	if i := strings.LastIndex(got, "PING "); i >= 0 {
		p.SendString("PONG " + got[i+len("PING "):])
	}
}
