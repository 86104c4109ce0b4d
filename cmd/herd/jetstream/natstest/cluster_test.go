package natstest

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"serverherd/herd"
)

// startCluster starts a cluster of three servers.
func startCluster(t *testing.T) (servers []*server.Server, text string) {
	t.Helper()
	// Each must know the ports of the others before it starts.
	var routes []*url.URL
	var listeners []net.Listener
	for range 3 {
		l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
		listeners = append(listeners, l)
		routes = append(routes, must[*url.URL](t)(url.Parse("nats://"+l.Addr().String())))
	}
	for _, l := range listeners {
		l.Close()
	}
	var urls []string
	for i, l := range listeners {
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port},
		}
		s := must[*server.Server](t)(server.NewServer(o))
		s.Start()
		t.Cleanup(func() { Stop(s) })
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(patience) {
			t.Fatal("not ready")
		}
		urls = append(urls, s.ClientURL())
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("no leader")
		}
	}
	return servers, strings.Join(urls, ",")
}

// reopen opens sessions until one has read everything.
func (b *bridge) reopen() {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		b.open()
		complete := false
		b.loop.until(b.t, "complete or over", func() bool { return b.complete || b.ended != nil })
		b.loop.do(func() { complete = b.complete && b.ended == nil })
		if complete {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("no session: %v", b.over())
		}
	}
}

// The leader of a bucket with three replicas is stopped while records are published. What was acknowledged is there, and
// the rest can be put.
func TestCluster(t *testing.T) {
	t.Parallel() // it waits for elections
	servers, urls := startCluster(t)
	o := settings(servers[0])
	o.Config.URL, o.Config.Replicas = urls, 3
	b := newBridge(t, o)
	b.reopen()

	user := operate(t, urls, nats.MaxReconnects(-1))
	info := must[*nats.StreamInfo](t)(user.js.StreamInfo("KV_places"))
	if info.Config.Replicas != 3 {
		t.Fatalf("%d replicas", info.Config.Replicas)
	}
	acknowledged := map[string]int{}
	batch := func(n int) (puts []herd.BucketPut) {
		for i := range 200 {
			puts = append(puts, record(fmt.Sprint("kiwi", (n*200+i)%1000), n+1))
		}
		return puts
	}
	killed := -1
	for n := 0; killed < 0 || n < killed+8; n++ {
		if n == 4 {
			killed = n
			for _, s := range servers {
				if s.Name() == info.Cluster.Leader {
					go s.Shutdown()
				}
			}
		}
		puts := batch(n)
		for {
			results, err := b.tryPublish(puts)
			if err != nil {
				b.reopen()
				continue // all of them again, as the bridge does
			}
			for i, r := range results {
				if r == herd.BucketStored {
					acknowledged[string(puts[i].Record.Client())] = n + 1
				} else {
					t.Errorf("result %v", r)
				}
			}
			break
		}
	}
	if after := must[*nats.StreamInfo](t)(user.js.StreamInfo("KV_places")); after.Cluster.Leader == info.Cluster.Leader {
		t.Errorf("the leader is still %s", after.Cluster.Leader)
	}
	// Another server may be behind, so the last ones may come after it is complete.
	c := newBridge(t, o)
	c.reopen()
	for client, second := range acknowledged {
		c.shown(client, value(client, second))
	}
	put := record("kiwi1", 1000)
	put.Revision = 1
	if r := c.publish(put); r[0] != herd.BucketConflict {
		t.Error(r)
	}
}
