package natstest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"serverherd/cmd/herd/jetstream"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/reactor/netreactor"
)

// cell is a herd of one server of the same name.
type cell struct {
	t       *testing.T
	reactor *netreactor.Reactor
	server  *herd.Server
	conn    net.Conn
	replies *bufio.Reader
}

// noPlaces is a provider that is not asked.
type noPlaces struct{ places.Provider }

func startCell(t *testing.T, name, url string) *cell {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	r := netreactor.New(netreactor.Options{})
	j := config.JetStream{URL: url, Bucket: "places", Partitions: 1, Replicas: 1, Mode: "share"}
	bucket := must[*jetstream.Bucket](t)(jetstream.New(jetstream.Options{
		Config: j, Herd: name, Server: name, Names: []string{name}, Reactor: r, Log: zap.NewNop(),
	}))
	srv := must[*herd.Server](t)(herd.NewServer(herd.Options{
		Config: &config.Config{
			Herd:      config.Herd{Name: name, Dialect: "paper"},
			Peers:     config.Peers{Handshake: "required"},
			Places:    config.Places{Provider: "embedded", Timeout: 5 * time.Second},
			JetStream: j,
			Limits: config.Limits{
				MaxLine: 16384, MaxClientID: 1024, MaxConnections: 100, MaxClients: 100_000, MaxFuture: time.Hour,
				OutputHard: 4 << 20, OutputSoft: 1 << 20, MaxBuffered: 256 << 20, PlacesInFlight: 4, Drain: 5 * time.Second,
			},
			Servers: []config.Server{{Name: name, Address: l.Addr().String(), Bridge: true}},
		},
		Name: name, Reactor: r, Places: noPlaces{}, Log: zap.NewNop(), Rand: rand.New(rand.NewPCG(rand.Uint64(), 1)),
		Bucket: bucket, BucketMode: herd.BucketShare,
	}))
	if _, err := srv.Start(l); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run() }()
	t.Cleanup(func() {
		r.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		bucket.Close()
	})
	conn := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	t.Cleanup(func() { conn.Close() })
	return &cell{t, r, srv, conn, bufio.NewReader(conn)}
}

func (c *cell) iamat(client string, second int) {
	c.t.Helper()
	fmt.Fprintf(c.conn, "IAMAT %s +1+1 %d\n", client, second)
	if line, err := c.replies.ReadString('\n'); err != nil || !strings.HasPrefix(line, "AT ") {
		c.t.Fatal(line, err)
	}
	c.replies.ReadString('\n')
}

// until waits until something holds of the server, on its loop.
func (c *cell) until(what string, holds func(*herd.Server) bool) {
	c.t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); ; <-poll.C {
		ok := make(chan bool, 1)
		var status herd.Status
		c.reactor.CallFromThread(func() {
			status = c.server.Status()
			ok <- holds(c.server)
		})
		if <-ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s: %+v", patience, what, status.Bridge)
		}
	}
}

func has(client string, second int) func(*herd.Server) bool {
	return func(s *herd.Server) bool {
		item, ok := s.Store().Lookup([]byte(client))
		return ok && string(item.Record.Time()) == fmt.Sprint(second)
	}
}

// Two herds become one map, and do so again after the server was gone, and after it started empty. A herd that starts
// empty gets everything.
func TestTwoHerds(t *testing.T) {
	dir := t.TempDir()
	s := Start(t, &server.Options{StoreDir: dir})
	port := s.Addr().(*net.TCPAddr).Port
	a, b := startCell(t, "Alford", s.ClientURL()), startCell(t, "Ball", s.ClientURL())
	long := strings.Repeat("\xff", 1024)
	for i := range 1000 {
		a.iamat(fmt.Sprint("a", i), 1)
	}
	a.iamat(long, 1)
	b.iamat("a7", 2)
	b.until("all of the other herd", func(s *herd.Server) bool { return s.Store().Len() == 1001 })
	b.until("an id of 1,024 bytes", has(long, 1))
	a.until("the newer record", has("a7", 2))
	Stop(s)
	a.until("down", func(s *herd.Server) bool { return s.Status().Bridge.State == herd.BridgeDown })
	a.iamat("meanwhile", 3)
	for _, dir := range []string{dir, t.TempDir()} {
		s = Start(t, &server.Options{StoreDir: dir, Port: port})
		b.until("what was new meanwhile", has("meanwhile", 3))
		c := startCell(t, "Campbell", s.ClientURL())
		c.until("everything", func(s *herd.Server) bool { return s.Store().Len() == 1002 })
		c.until("the newer record", has("a7", 2))
		Stop(s)
	}
}

// What is no record of its client is counted, never stored, and replaced by the herd's record of the client if it has
// one. Another key is left alone.
func TestGarbage(t *testing.T) {
	s := Start(t, nil)
	a := startCell(t, "Alford", s.ClientURL())
	a.iamat("kiwi", 5)
	kv := operate(t, s.ClientURL())
	a.until("published", func(s *herd.Server) bool { return s.Status().Bridge.Published == 1 })
	entries := kv.existing("places")
	put := func(key, value string) { must[uint64](t)(entries.Put(key, []byte(value))) }
	for i, c := range []struct{ key, value string }{
		{key("weka"), "garbage"},
		{key("weka"), value("kiwi", 9)},                // another client's
		{key("weka"), strings.Repeat("x", 1<<20-1024)}, // 1 MB
		{"no.client", value("weka", 9)},
		{"no.client", "x"},
		{"kiwi", "x"}, // not base64url of kiwi
		{key("kiwi"), value("weka", 9)},
		{key("weka"), value("weka", int(time.Now().Unix())+1e7)}, // the far future
	} {
		put(c.key, c.value)
		a.until("counted "+c.key, func(s *herd.Server) bool {
			st := s.Status().Bridge
			return st.Invalid+st.Future == uint64(i+1)
		})
	}
	a.until("cured", func(s *herd.Server) bool { return s.Status().Bridge.Cures == 1 && s.Status().Bridge.Published == 2 })
	e := must[nats.KeyValueEntry](t)(entries.Get(key("kiwi")))
	if !strings.HasSuffix(string(e.Value()), " kiwi +1+1 5") {
		t.Errorf("%s", e.Value())
	}
	for key, want := range map[string]string{"no.client": "x", "kiwi": "x"} {
		if e := must[nats.KeyValueEntry](t)(entries.Get(key)); string(e.Value()) != want {
			t.Errorf("%s: %s", key, e.Value())
		}
	}
	a.until("nothing stored", func(s *herd.Server) bool { return s.Store().Len() == 1 && has("kiwi", 5)(s) })
}
