package natstest

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"serverherd/herd"
)

// What a bridge puts is read by itself, as its own, and by another one; any NATS client can read it.
func TestPublishAndRead(t *testing.T) {
	s := Start(t, nil)
	a := start(t, settings(s))
	results := a.publish(record("kiwi", 1), record("tui", 2))
	if !slices.Equal(results, []herd.BucketResult{herd.BucketStored, herd.BucketStored}) {
		t.Error(results)
	}
	if e := a.shown("kiwi", value("kiwi", 1)); !e.Own || e.Revision == 0 {
		t.Errorf("%+v", e)
	}
	b := start(t, settings(s))
	if e := b.shown("tui", value("tui", 2)); e.Own {
		t.Error("an entry of another session is taken for one of this one")
	}
	if b.before != 2 {
		t.Errorf("complete after %d entries", b.before)
	}
	b.publish(record("kiwi", 3))
	a.shown("kiwi", value("kiwi", 3))

	kv := operate(t, s.ClientURL()).existing("places")
	e := must[nats.KeyValueEntry](t)(kv.Get(key("kiwi")))
	if string(e.Value()) != value("kiwi", 3) {
		t.Errorf("%s", e.Value())
	}
	if names := must[nats.KeyValueEntry](t)(kv.Get("meta.east")); string(names.Value()) != "Alford Ball" {
		t.Errorf("%s", names.Value())
	}
	m := must[*nats.RawStreamMsg](t)(operate(t, s.ClientURL()).js.GetLastMsg("KV_places", "$KV.places."+key("kiwi")))
	if via := m.Header.Get("Herd-Via"); !strings.HasPrefix(via, "east/Alford/") {
		t.Errorf("via %q", via)
	}
	if err := kv.Delete(key("tui")); err != nil {
		t.Fatal(err)
	}
	a.shown("tui", "")
	if err := kv.Purge(key("kiwi")); err != nil {
		t.Fatal(err)
	}
	a.shown("kiwi", "")
}

// Of two that replace the same entry one succeeds.
func TestConflict(t *testing.T) {
	s := Start(t, nil)
	a, b := start(t, settings(s)), start(t, settings(s))
	a.publish(record("kiwi", 1))
	put := record("kiwi", 2)
	put.Revision = a.shown("kiwi", value("kiwi", 1)).Revision
	if r := a.publish(put); r[0] != herd.BucketStored {
		t.Error(r)
	}
	if r := b.publish(put); r[0] != herd.BucketConflict {
		t.Error(r)
	}
}

// A full bucket takes records of the clients that it knows, and refuses others, one by one.
func TestFull(t *testing.T) {
	for name, limit := range map[string]func(*nats.StreamConfig){
		"messages": func(c *nats.StreamConfig) { c.MaxMsgs = 3 }, // two, and the names
		"bytes":    func(c *nats.StreamConfig) { c.MaxBytes = 500 },
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, nil)
			o := operate(t, s.ClientURL())
			o.bucket(nats.KeyValueConfig{Bucket: "places"})
			config := must[*nats.StreamInfo](t)(o.js.StreamInfo("KV_places")).Config
			limit(&config)
			must[*nats.StreamInfo](t)(o.js.UpdateStream(&config))
			a := start(t, settings(s))
			a.publish(record("kiwi", 1), record("tui", 1))
			got := a.publish(record("kiwi", 2), record("weka", 2), record("tui", 2))
			if want := []herd.BucketResult{herd.BucketStored, herd.BucketRefused, herd.BucketStored}; !slices.Equal(got, want) {
				t.Error(got)
			}
			a.shown("tui", value("tui", 2))

			// A second herd does without its names there.
			west := settings(s)
			west.Herd, west.Server, west.Names = "west", "Hill", []string{"Hill"}
			b := start(t, west)
			if n := b.log.FilterMessage("bridge: names of servers refused").Len(); n != 1 {
				t.Errorf("logged %d times", n)
			}
			b.loop.do(func() { b.session.Close() })
			b.open().whole()
			if n := b.log.Len(); n != 1 {
				t.Errorf("logged again: %d times", n)
			}
		})
	}
}

// A record that the server's max_payload, or the bucket's limit, does not allow is refused, and no other one.
func TestTooLarge(t *testing.T) {
	s := Start(t, &server.Options{MaxPayload: 1000})
	operate(t, s.ClientURL()).bucket(nats.KeyValueConfig{Bucket: "places", MaxValueSize: 500})
	a := start(t, settings(s))
	got := a.publish(record(strings.Repeat("k", 1000), 1), record("kiwi", 1), record(strings.Repeat("k", 600), 1))
	if want := []herd.BucketResult{herd.BucketRefused, herd.BucketStored, herd.BucketRefused}; !slices.Equal(got, want) {
		t.Error(got)
	}
}

// Each client is in one of three buckets, and all are read before the session is complete.
func TestPartitions(t *testing.T) {
	s := Start(t, nil)
	o := settings(s)
	o.Config.Partitions = 3
	a := start(t, o)
	var puts []herd.BucketPut
	for i := range 300 {
		puts = append(puts, record(fmt.Sprint("kiwi", i), i+1))
	}
	a.publish(puts...)
	b := start(t, o)
	if b.before != 300 {
		t.Errorf("complete after %d entries", b.before)
	}
	for i := range 300 {
		client := fmt.Sprint("kiwi", i)
		if e := b.last[client]; string(e.Value) != value(client, i+1) {
			t.Fatalf("%s: %+v", client, e)
		}
	}
	// Conflicts are noticed in the right bucket.
	put := record("kiwi7", 1000)
	put.Revision = b.last["kiwi7"].Revision
	if r := a.publish(put, put); r[0] != herd.BucketStored || r[1] != herd.BucketConflict {
		t.Error(r)
	}
	user := operate(t, s.ClientURL())
	for _, name := range []string{"places-0", "places-1", "places-2"} {
		if n := must[nats.KeyValueStatus](t)(user.existing(name).Status()).Values(); n < 50 {
			t.Errorf("%s has %d entries", name, n)
		}
	}
	// One of the buckets is enough to end the session.
	if err := user.js.DeleteKeyValue("places-1"); err != nil {
		t.Fatal(err)
	}
	if why := b.over(); !strings.Contains(why, "places-1") {
		t.Error(why)
	}
}

// manyEntries is how many TestBackpressure reads.
var manyEntries = 100_000

// Many entries are read in batches, each when it is asked for, while others are put. The session is complete when all
// that there was has been read.
func TestBackpressure(t *testing.T) {
	n := manyEntries
	moved, last := n/10, fmt.Sprint("kiwi", n-10)
	s := Start(t, nil)
	a := start(t, settings(s))
	puts := make([]herd.BucketPut, n)
	for i := range puts {
		puts[i] = record(fmt.Sprint("kiwi", i), i+1)
	}
	a.loop.do(func() { a.held = true })
	for i, r := range a.publish(puts...) {
		if r != herd.BucketStored {
			t.Fatalf("record %d: %v", i, r)
		}
	}
	// What a was not asked to read waits at the server.
	a.loop.do(func() {
		if a.batches > 2 { // the names of servers are no entry, so the first one was empty
			t.Errorf("%d batches without a call of Next", a.batches)
		}
	})
	b := newBridge(t, settings(s))
	b.held = true
	b.open()
	b.loop.until(t, "the first batch", func() bool { return b.batches == 1 })
	for i := range moved { // they move to the end
		puts[i] = record(fmt.Sprint("kiwi", i*10), n+i+1)
	}
	a.publish(puts[:moved]...)
	b.loop.do(func() {
		if b.batches > 1 {
			t.Error("a second batch without a call of Next")
		}
		b.held = false
		b.session.Next()
	})
	b.whole()
	b.loop.do(func() {
		if b.largest > herd.BucketBatch || b.batches < (n-moved)/herd.BucketBatch {
			t.Errorf("%d batches of at most %d entries", b.batches, b.largest)
		}
		// Those are after the others, so the session is complete without them.
		if b.before < n-moved || len(b.last) < n-moved {
			t.Errorf("complete after %d entries of %d clients", b.before, len(b.last))
		}
	})
	b.shown(last, value(last, n+moved))
	b.loop.do(func() {
		for i := range n {
			client, second := fmt.Sprint("kiwi", i), i+1
			if i%10 == 0 {
				second = n + i/10 + 1
			}
			if e := b.last[client]; string(e.Value) != value(client, second) {
				t.Errorf("%s: %+v", client, e)
				break
			}
		}
	})
	a.loop.do(func() { a.held = false; a.session.Next() })
	a.shown(last, value(last, n+moved))
}

// What is in the bucket is removed while it is read: the session is complete nevertheless.
func TestPurgedWhileRead(t *testing.T) {
	t.Parallel() // it waits for a heartbeat
	s := Start(t, nil)
	a := start(t, settings(s))
	var puts []herd.BucketPut
	for i := range 5000 {
		puts = append(puts, record(fmt.Sprint("kiwi", i), 1))
	}
	a.publish(puts...)
	b := newBridge(t, settings(s))
	b.held = true
	b.open()
	b.loop.until(t, "the first batch", func() bool { return b.batches == 1 })
	if err := operate(t, s.ClientURL()).js.PurgeStream("KV_places"); err != nil {
		t.Fatal(err)
	}
	b.loop.do(func() { b.held = false; b.session.Next() })
	b.whole()
	if b.before == 5000 {
		t.Error("all was read: the test is void")
	}
}

// What others may put: it is passed as it is, and none of it ends the session.
func TestForeignEntries(t *testing.T) {
	s := Start(t, nil)
	o := operate(t, s.ClientURL())
	a := start(t, settings(s))
	kv := o.existing("places")
	long := make([]byte, 0, 1024)
	for i := range 1024 {
		if b := byte(i); strings.ContainsRune(" \t\r\n\v\f", rune(b)) {
			long = append(long, 'x')
		} else {
			long = append(long, b)
		}
	}
	a.publish(record(string(long), 1))
	a.shown(string(long), value(string(long), 1))

	large := bytes.Repeat([]byte("x"), 1<<20-1024)
	for range 20 { // more than is in flight
		must[uint64](t)(kv.Put(key("large"), large))
	}
	a.shown("large", string(large))
	must[uint64](t)(kv.Put("no.client", []byte("garbage")))
	a.shown("", "garbage")
	must[uint64](t)(kv.Put("YR", []byte("garbage 2"))) // a, if the last bits did not count
	a.shown("", "garbage 2")

	// A header that is none, as raw protocol: the server does not check it.
	conn := must[net.Conn](t)(net.Dial("tcp", s.Addr().String()))
	defer conn.Close()
	header := "NATS/1.0\r\nno header\r\n\r\n"
	fmt.Fprintf(conn, "CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB $KV.places.%s %d %d\r\n%sbad\r\n",
		key("weka"), len(header), len(header)+3, header)
	a.shown("weka", "bad")
	// One that looks like a message of the server.
	m := nats.NewMsg("$KV.places." + key("kea"))
	m.Header.Set("Status", "409")
	m.Header.Set("Description", "Consumer Deleted")
	if err := o.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	a.shown("kea", "")
	a.publish(record("kiwi", 1))
	a.shown("kiwi", value("kiwi", 1))
}

// Requests for messages expire, and are made again.
func TestIdle(t *testing.T) {
	t.Parallel() // it waits for that
	s := Start(t, nil)
	expired := make(chan struct{}, 100)
	o := operate(t, s.ClientURL())
	must[*nats.Subscription](t)(o.Subscribe("_INBOX.>", func(m *nats.Msg) {
		if m.Header.Get("Status") == "408" {
			expired <- struct{}{}
		}
	}))
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	b := start(t, settings(s))
	select {
	case <-expired:
	case <-time.After(patience):
		t.Fatal("no request expired")
	}
	b.publish(record("kiwi", 1))
	b.shown("kiwi", value("kiwi", 1))
}
