package cells

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"serverherd/herd"
)

// NATS is absent when the herds start. A server with a bridge is ready after 10 s, when it might have got nothing but
// what other herds have put.
func TestAbsentAtStart(t *testing.T) {
	t.Parallel()
	n := newNATS(t, "")
	west, east := newTwoHerds(t, n.url(), mode("share"))
	west.startAll()
	east.startAll()
	west.within("Alford waits for the bucket", func() bool {
		code, text := west.readyz("Alford")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "records in the bucket")
	})
	x := west.traffic("Hamilton", "west", 500)
	y := east.traffic("Ball", "east", 500)
	west.untilDown("Alford", "no servers available")
	east.untilDown("Ball", "no servers available")
	if s := west.Status("Alford"); s.Bridge.Restored {
		t.Error("nothing was restored")
	}
	west.serves()
	n.start()
	west.untilLive()
	east.untilLive()
	x.goesOn(1)
	x.end()
	y.end()
	recovered(t, n, 1, west, east)
}

// nats-server is killed under load and started again with its store.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "with its store", true: "without its store"}[lost], func(t *testing.T) {
			t.Parallel()
			n := startNATS(t, "")
			west, east := twoHerds(t, n, mode("share"))
			x, y := west.traffic("Hamilton", "west", 500), east.traffic("Ball", "east", 500)
			moving := east.traffic("Holiday", "west", 50) // these clients tell both herds
			x.goesOn(30)
			y.goesOn(30)
			n.kill()
			west.untilDown("Alford", "no servers available")
			east.untilDown("Ball", "no servers available")
			x.goesOn(30)
			west.serves()
			if lost {
				if err := os.RemoveAll(n.store()); err != nil {
					t.Fatal(err)
				}
			}
			n.start()
			west.untilLive()
			east.untilLive()
			x.goesOn(10)
			y.goesOn(10)
			x.end()
			y.end()
			moving.end()
			recovered(t, n, 1, west, east)
		})
	}
}

// nats-server does not answer for some time, and then it does. Until the bridge gives up, it is only late.
func TestSlow(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		t.Run(map[bool]string{false: "seconds", true: "until the bridges are down"}[long], func(t *testing.T) {
			t.Parallel()
			n := startNATS(t, "")
			west, east := twoHerds(t, n, mode("share"))
			x, y := west.traffic("Hamilton", "west", 500), east.traffic("Ball", "east", 500)
			x.goesOn(10)
			n.suspend()
			defer n.resume()
			west.until("Alford", "behind by all of its clients", func(b *herd.BridgeStatus) bool { return b.Behind >= 500 })
			times := 0
			if long {
				times = 1
				west.untilDown("Alford", "")
			}
			west.serves()
			n.resume()
			west.untilLive()
			x.goesOn(10)
			x.end()
			y.end()
			settled(t, n, []*cell{west, east})
			west.outages("Alford", times)
		})
	}
}

// The bucket is deleted while bridges use it, and emptied by another program.
func TestDeleted(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	west, east := twoHerds(t, n, mode("share"))
	for i := range 20 {
		west.iamat("Hamilton", fmt.Sprintf("west%d", i))
		east.iamat("Ball", fmt.Sprintf("east%d", i))
	}
	settled(t, n, []*cell{west, east})
	n.manage(func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteKeyValue(ctx, bucketName) })
	x := west.traffic("Hamilton", "west", 50)
	x.goesOn(10)
	west.serves()
	x.end()
	settled(t, n, []*cell{west, east})
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, "KV_"+bucketName)
		if err != nil {
			return err
		}
		return s.Purge(ctx)
	})
	n.kill() // what the herds notice at once: otherwise within ten minutes
	n.start()
	settled(t, n, []*cell{west, east})
}

// The bucket is full. Clients that it knows are updated, new ones are published when it has room again.
func TestFull(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	size := func(bytes int64) jetstream.KeyValueConfig {
		return jetstream.KeyValueConfig{Bucket: bucketName, History: 1, MaxBytes: bytes}
	}
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateKeyValue(ctx, size(64<<10))
		return err
	})
	west, east := twoHerds(t, n, mode("share"))
	west.iamat("Hamilton", "kiwi")
	settled(t, n, []*cell{west, east})
	x, y := west.traffic("Hamilton", "west", 500), east.traffic("Ball", "east", 500)
	for name, c := range map[string]*cell{"Alford": west, "Ball": east} {
		c.until(name, "records refused", func(b *herd.BridgeStatus) bool {
			return b.Refused > 0 && strings.Contains(b.Error, "refuses")
		})
	}
	x.goesOn(30)
	y.goesOn(30)
	west.serves()
	x.end()
	y.end()
	west.within("/readyz says so", func() bool {
		code, text := west.readyz("Alford")
		return code == http.StatusOK && strings.Contains(text, "bridge: live: the bucket refuses records")
	})
	west.logged("Alford", "bridge: records refused", 1)
	east.logged("Ball", "bridge: records refused", 1)
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.UpdateKeyValue(ctx, size(-1))
		return err
	})
	settled(t, n, []*cell{west, east}) // at the next pass, a minute after the last one
	west.until("Alford", "no error", func(b *herd.BridgeStatus) bool { return b.Error == "" })
	west.logged("Alford", "bridge down", 0)
}

// In mode ask NATS is gone. What a herd knows itself is found, and nobody waits for the rest.
func TestAskedWhileGone(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	west, east := twoHerds(t, n, mode("ask"))
	west.iamat("Hamilton", "kiwi")
	found := func() bool { return strings.HasPrefix(east.whatsat("Holiday", "kiwi"), "AT Hamilton ") }
	east.within("it is found", found)
	n.kill()
	east.within("the asks of Holiday fail", func() bool {
		east.whatsat("Holiday", "kiwi")
		s := east.Status("Holiday")
		return !s.Asks.OK && s.Asks.Failed > 2
	})
	if reply := east.whatsat("Holiday", "kiwi"); strings.HasPrefix(reply, "AT ") {
		t.Errorf("%q", reply)
	}
	east.serves()
	east.logged("Holiday", "bucket does not answer", 1)
	n.start()
	east.within("it is found again", found)
	east.logged("Holiday", "bucket answers again", 1)
	east.logged("Holiday", "bucket does not answer", 1)
}
