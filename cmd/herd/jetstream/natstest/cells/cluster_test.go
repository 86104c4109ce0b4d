package cells

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// natsCluster is a cluster of nats-servers.
type natsCluster []*natsServer

// newNATSCluster returns a cluster of servers at addresses, none of which was started.
func newNATSCluster(t *testing.T, addrs, routes []string) (all natsCluster) {
	var urls []string
	for _, r := range routes {
		urls = append(urls, fmt.Sprintf("%q", "nats://"+r))
	}
	for i := range addrs {
		n := newNATS(t, fmt.Sprintf("server_name: n%d\ncluster { name: herds, listen: %q, routes: [%s] }", i, routes[i], strings.Join(urls, ", ")))
		n.addr = addrs[i]
		all = append(all, n)
	}
	return all
}

// start starts all and waits until buckets can be created.
func (all natsCluster) start() {
	for _, n := range all {
		n.launch()
	}
	for _, n := range all {
		n.ready()
	}
	within(all[0].t, "the cluster has a leader", func() bool {
		nc, js := all[0].connect()
		defer nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // without a leader there is no reply
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
}

func (all natsCluster) url() string {
	var urls []string
	for _, n := range all {
		urls = append(urls, n.url())
	}
	return strings.Join(urls, ",")
}

// leader returns the server that leads the bucket's stream, as n says.
func (all natsCluster) leader(n *natsServer) (leader *natsServer) {
	n.t.Helper()
	within(n.t, "the bucket has a leader", func() bool {
		nc, js := n.connect()
		defer nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, "KV_"+bucketName)
		if err != nil {
			return false
		}
		for i := range all {
			if c := s.CachedInfo().Cluster; c != nil && c.Leader == fmt.Sprintf("n%d", i) {
				leader = all[i]
			}
		}
		return leader != nil
	})
	return leader
}

// The server that leads the bucket is killed while updates go on.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	var addrs, routes []string
	for range 3 {
		addrs, routes = append(addrs, freeAddress(t)), append(routes, freeAddress(t))
	}
	all := newNATSCluster(t, addrs, routes)
	all.start()
	west, east := newTwoHerds(t, all.url(), mode("share")+"\nreplicas = 3")
	west.startAll()
	east.startAll()
	west.untilLive()
	east.untilLive()
	x, y := west.traffic("Hamilton", "west", 500), east.traffic("Ball", "east", 500)
	x.goesOn(20)
	y.goesOn(20)
	leader := all.leader(all[0])
	leader.kill()
	alive := all[0]
	if alive == leader {
		alive = all[1]
	}
	x.goesOn(50)
	y.goesOn(50)
	west.serves()
	x.end()
	y.end()
	settled(t, alive, []*cell{west, east})
	leader.start()
	x = west.traffic("Hamilton", "west", 500)
	x.goesOn(10)
	x.end()
	settled(t, alive, []*cell{west, east})
}
