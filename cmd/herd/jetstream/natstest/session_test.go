package natstest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"serverherd/cmd/herd/jetstream"
	"serverherd/herd"
)

// fails opens a session and returns why it ended.
func fails(t *testing.T, o jetstream.Options) string {
	t.Helper()
	b := newBridge(t, o).open()
	why := b.over()
	b.loop.do(func() {
		if b.batches > 0 {
			t.Error("entries were passed")
		}
	})
	if strings.Contains(why, "\n") {
		t.Errorf("more than one line: %q", why)
	}
	return why
}

func expect(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q does not say %q", got, part)
		}
	}
}

// A server that is absent, stops and comes back: each ends the session, and the next one reads everything.
func TestServerComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	s := Start(t, &server.Options{StoreDir: dir})
	port := s.Addr().(*net.TCPAddr).Port
	Stop(s)
	b := newBridge(t, settings(s)).open()
	expect(t, b.over(), "connect: ", "is nats-server running at nats://127.0.0.1:")

	s = Start(t, &server.Options{StoreDir: dir, Port: port})
	b.open().whole()
	// It stops while records are published: what was acknowledged is there afterwards.
	acknowledged := 0
	for {
		puts := []herd.BucketPut{}
		for i := range 5000 {
			puts = append(puts, record(fmt.Sprint("kiwi", acknowledged+i), 1))
		}
		if acknowledged == 5000 {
			seen := 0
			b.loop.do(func() { seen = len(b.read) })
			go func() {
				b.loop.until(t, "some are stored", func() bool { return len(b.read) > seen || b.ended != nil })
				s.Shutdown()
			}()
		}
		results, err := b.tryPublish(puts)
		if err != nil {
			break
		}
		if acknowledged += len(results); acknowledged > 1_000_000 {
			t.Fatal("the server does not stop")
		}
	}
	b.over()
	s.WaitForShutdown()
	Start(t, &server.Options{StoreDir: dir, Port: port})
	b.open().whole()
	b.loop.do(func() {
		for i := range acknowledged {
			if _, ok := b.last[fmt.Sprint("kiwi", i)]; !ok {
				t.Errorf("record %d of %d is lost", i, acknowledged)
				break
			}
		}
	})
}

// A bucket that is deleted ends the session, whether or not another one is created at once.
func TestBucketIsReplaced(t *testing.T) {
	s := Start(t, nil)
	o := operate(t, s.ClientURL())
	b := start(t, settings(s))
	b.publish(record("kiwi", 1))
	if err := o.js.DeleteKeyValue("places"); err != nil {
		t.Fatal(err)
	}
	expect(t, b.over(), "bucket places", "consumer deleted")

	b.open().whole()
	b.loop.do(func() {
		if len(b.read) > 0 {
			t.Error("a bucket that was created anew has entries")
		}
	})
	b.publish(record("kiwi", 1))
	if err := o.js.DeleteKeyValue("places"); err != nil {
		t.Fatal(err)
	}
	o.bucket(nats.KeyValueConfig{Bucket: "places"})
	b.over()
	b.open().whole()
	b.publish(record("kiwi", 2))
	b.shown("kiwi", value("kiwi", 2))
}

// A stream that is no bucket, or not one that a herd can use, is refused.
func TestForeignStream(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*nats.StreamConfig)
		want   string
	}{
		"subjects": {func(c *nats.StreamConfig) { c.Subjects = []string{"other.>"} }, "not a key-value bucket: choose another name"},
		"more":     {func(c *nats.StreamConfig) { c.Subjects = append(c.Subjects, "other.>") }, "not a key-value bucket"},
		"all":      {func(c *nats.StreamConfig) { c.MaxMsgsPerSubject = -1 }, "its history is -1 instead of 1"},
		"history":  {func(c *nats.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "its history is 5 instead of 1"},
		"interest": {func(c *nats.StreamConfig) { c.Retention = nats.InterestPolicy }, "removes entries that were read"},
		"evicts":   {func(c *nats.StreamConfig) { c.Discard = nats.DiscardOld }, "discards old entries"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, nil)
			config := &nats.StreamConfig{
				Name: "KV_places", Subjects: []string{"$KV.places.>"}, MaxMsgsPerSubject: 1, Discard: nats.DiscardNew,
			}
			c.change(config)
			must[*nats.StreamInfo](t)(operate(t, s.ClientURL()).js.AddStream(config))
			expect(t, fails(t, settings(s)), "bucket places: ", c.want)
		})
	}
}

// Two herds must not have servers of one name. A herd's own names may change.
func TestNames(t *testing.T) {
	s := Start(t, nil)
	start(t, settings(s))
	west := settings(s)
	west.Herd, west.Server, west.Names = "west", "Hill", []string{"Hill", "Ball"}
	expect(t, fails(t, west), `server name "Ball" is also one of herd "east"`, "delete the key meta.east")

	// The other one is not disturbed, and gives the name up.
	east := settings(s)
	start(t, east)
	east.Names = []string{"Alford", "Campbell"}
	start(t, east)
	start(t, west)
	expect(t, fails(t, settings(s)), `"Ball" is also one of herd "west"`)

	// A herd that is no more.
	if err := operate(t, s.ClientURL()).existing("places").Delete("meta.west"); err != nil {
		t.Fatal(err)
	}
	start(t, settings(s))
}

// JetStream that is not enabled.
func TestNoJetStream(t *testing.T) {
	s := must[*server.Server](t)(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}))
	s.Start()
	t.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("not ready")
	}
	expect(t, fails(t, settings(s)), "bucket places: ", "nats-server with -js")

	account := server.NewAccount("herds")
	s = Start(t, &server.Options{
		Accounts: []*server.Account{account},
		Users:    []*server.User{{Username: "bob", Password: "hunter2", Account: account}},
	})
	o := settings(s)
	o.Config.URL = strings.Replace(o.Config.URL, "nats://", "nats://bob:hunter2@", 1)
	expect(t, fails(t, o), "bucket places: ", "use an account that has it")
}

// Passwords in the URL are not shown.
func TestWrongPassword(t *testing.T) {
	s := Start(t, &server.Options{Username: "bob", Password: "correct"})
	o := settings(s)
	o.Config.URL = strings.Replace(o.Config.URL, "nats://", "nats://bob:hunter2@", 1)
	why := fails(t, o)
	expect(t, why, "Authorization Violation", "creds")
	if strings.Contains(why, "hunter2") {
		t.Error(why)
	}
}

// credentials writes a credentials file of a new user of an account.
func credentials(t *testing.T, account nkeys.KeyPair, change func(*jwt.UserClaims)) (file string) {
	t.Helper()
	user := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	claims := jwt.NewUserClaims(must[string](t)(user.PublicKey()))
	change(claims)
	text := must[string](t)(claims.Encode(account))
	all := must[[]byte](t)(jwt.FormatUserConfig(text, must[[]byte](t)(user.Seed())))
	file = filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A server with accounts: credentials of a user, with permissions that README.md names and no others; of one with fewer; of another account without JetStream; of another operator; and a file that others can read.
func TestCredentials(t *testing.T) {
	operator := must[nkeys.KeyPair](t)(nkeys.CreateOperator())
	public := func(k nkeys.KeyPair) string { return must[string](t)(k.PublicKey()) }
	resolver := &server.MemAccResolver{}
	account := func(limits jwt.JetStreamLimits) nkeys.KeyPair {
		a := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
		claims := jwt.NewAccountClaims(public(a))
		claims.Limits.JetStreamLimits = limits
		if err := resolver.Store(public(a), must[string](t)(claims.Encode(operator))); err != nil {
			t.Fatal(err)
		}
		return a
	}
	unlimited := jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	herds, system, without := account(unlimited), account(jwt.JetStreamLimits{}), account(jwt.JetStreamLimits{})
	claims := must[*jwt.OperatorClaims](t)(jwt.DecodeOperatorClaims(
		must[string](t)(jwt.NewOperatorClaims(public(operator)).Encode(operator))))
	s := Start(t, &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver, SystemAccount: public(system),
	})
	all := func(*jwt.UserClaims) {}
	documented := func(c *jwt.UserClaims) {
		c.Pub.Allow.Add("$KV.places.>", "$JS.API.INFO", "$JS.API.STREAM.INFO.KV_places", "$JS.API.STREAM.CREATE.KV_places",
			"$JS.API.DIRECT.GET.KV_places.>", "$JS.API.CONSUMER.CREATE.KV_places.>", "$JS.API.CONSUMER.MSG.NEXT.KV_places.>")
		c.Sub.Allow.Add("_INBOX.>")
	}
	o := settings(s)
	o.Config.Creds = credentials(t, herds, documented)
	b := start(t, o)
	b.publish(record("kiwi", 1))
	b.shown("kiwi", value("kiwi", 1))
	west := o
	west.Herd, west.Names = "west", []string{"Hill"}
	start(t, west) // it reads the names of the other

	if err := os.Chmod(o.Config.Creds, 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, fails(t, o), "user.creds is readable by others")
	o.Config.Creds = credentials(t, without, all)
	expect(t, fails(t, o), "use an account that has it")
	o.Config.Creds = credentials(t, must[nkeys.KeyPair](t)(nkeys.CreateAccount()), all)
	expect(t, fails(t, o), "Authorization Violation", "check the file creds")
	o.Config.Creds = filepath.Join(t.TempDir(), "none")
	expect(t, fails(t, o), "no such file")
	o.Config.Creds = credentials(t, herds, func(c *jwt.UserClaims) {
		documented(c)
		c.Pub.Allow.Remove("$KV.places.>")
	})
	b = newBridge(t, o).open()
	b.whole()
	_, err := b.tryPublish([]herd.BucketPut{record("tui", 1)})
	if err == nil {
		t.Fatal("published without a permission")
	}
	expect(t, err.Error(), "$KV.places", "allow it for the user of the file creds")
}

// A server that accepts connections and never answers. Close does not wait for it, on the loop or off it.
func TestSilentServer(t *testing.T) {
	t.Parallel() // it waits for timeouts
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	s := Start(t, nil)
	o := settings(s)
	o.Config.URL = "nats://" + l.Addr().String()
	b := newBridge(t, o).open()
	defer (<-accepted).Close()
	b.loop.do(func() { b.closed = true; b.session.Close() })
	b.bucket.Close()
	expect(t, fails(t, o), "connect: ", "timeout")
}

// A connection over which nothing comes any more ends the session.
func TestStalledConnection(t *testing.T) {
	t.Parallel() // it waits for timeouts
	s := Start(t, nil)
	p := startProxy(t, s)
	o := settings(s)
	o.Config.URL = "nats://" + p.listener.Addr().String()
	b := start(t, o)
	p.stall()
	b.over()
}

// A lost connection ends the session at once, though it is only reading.
func TestConnectionIsLost(t *testing.T) {
	s := Start(t, nil)
	p := startProxy(t, s)
	o := settings(s)
	o.Config.URL = "nats://" + p.listener.Addr().String()
	b := start(t, o)
	p.cut()
	expect(t, b.over(), "connection lost: ")
}

// proxy forwards the bytes of connections, until it stalls.
type proxy struct {
	listener net.Listener
	stalled  chan struct{}
	conns    chan net.Conn
}

func startProxy(t *testing.T, s *server.Server) *proxy {
	p := &proxy{must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0")), make(chan struct{}), make(chan net.Conn, 100)}
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
	})
	go func() {
		for {
			a, err := p.listener.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				a.Close()
				return
			}
			p.conns <- a
			p.conns <- b
			go p.forward(a, b)
			go p.forward(b, a)
		}
	}()
	return p
}

func (p *proxy) stall() { close(p.stalled) }

// cut closes the connections.
func (p *proxy) cut() {
	for len(p.conns) > 0 {
		(<-p.conns).Close()
	}
}

func (p *proxy) forward(to, from net.Conn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		select {
		case <-p.stalled:
			continue
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		to.Write(buf[:n])
	}
}

// After Close on the loop nothing is passed, and no goroutine stays, whatever the session was doing.
func TestClose(t *testing.T) {
	s := Start(t, nil)
	a := start(t, settings(s))
	var puts []herd.BucketPut
	for i := range 5000 {
		puts = append(puts, record(fmt.Sprint("kiwi", i), 1))
	}
	a.publish(puts...)
	baseline := goroutines()
	for name, prepare := range map[string]func(b *bridge){
		"connecting": func(*bridge) {},
		"reading":    func(b *bridge) { b.loop.until(t, "a batch", func() bool { return b.batches > 0 }) },
		"live":       func(b *bridge) { b.whole() },
		"waiting": func(b *bridge) {
			b.loop.do(func() { b.held = true })
			b.loop.until(t, "a batch", func() bool { return b.batches > 0 })
		},
		"publishing": func(b *bridge) {
			b.whole()
			b.loop.do(func() { b.session.Publish(puts, func([]herd.BucketResult) { t.Error("done") }) })
		},
		"ended before": func(b *bridge) { b.whole(); b.loop.do(func() { b.session.Close() }); b.open() },
	} {
		b := newBridge(t, settings(s)).open()
		prepare(b)
		b.loop.do(func() { b.closed = true; b.session.Close() })
		b.bucket.Close()
		b.loop.do(func() {})
		settle(t, name, baseline)
	}
}

// goroutines are the stacks of goroutines of the client's side.
func goroutines() (n int) {
	buf := make([]byte, 16<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "nats.go") || strings.Contains(g, "cmd/herd/jetstream.") || strings.Contains(g, "net.Dial") {
			n++
		}
	}
	return n
}

// settle waits until there are no more goroutines than before.
func settle(t *testing.T, name string, baseline int) {
	t.Helper()
	for deadline := time.Now().Add(patience); goroutines() > baseline; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 16<<20)
			t.Fatalf("%s: %d goroutines instead of %d:\n%s", name, goroutines(), baseline, buf[:runtime.Stack(buf, true)])
		}
	}
}
