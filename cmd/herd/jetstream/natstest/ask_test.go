package natstest

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// answer is what an ask was told.
type answer struct {
	value string
	err   error
}

// ask asks for several clients at once, and waits for all answers.
func (b *bridge) ask(timeout time.Duration, clients ...string) []answer {
	b.t.Helper()
	answers := make([]answer, len(clients))
	missing := len(clients)
	b.loop.do(func() {
		for i, client := range clients {
			called := false
			b.bucket.Ask([]byte(client), timeout, func(value []byte, err error) {
				if called {
					b.t.Errorf("%s: called twice", client)
				}
				called = true
				answers[i] = answer{string(value), err}
				missing--
			})
			if called {
				b.t.Errorf("%s: done was called within Ask", client)
			}
		}
	})
	b.loop.until(b.t, "answers", func() bool { return missing == 0 })
	return answers
}

// found asks until there is an answer without an error.
func (b *bridge) found(client string) string {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		a := b.ask(patience, client)[0]
		if a.err == nil {
			return a.value
		}
		if time.Now().After(deadline) {
			b.t.Fatal(a.err)
		}
	}
}

// asker is a bridge in mode ask.
func asker(t *testing.T, s *server.Server) *bridge {
	t.Helper()
	o := settings(s)
	o.Config.Mode = "ask"
	return newBridge(t, o)
}

func TestAsk(t *testing.T) {
	s := Start(t, nil)
	o := settings(s)
	o.Config.Mode, o.Config.Partitions = "ask", 3
	b := newBridge(t, o)
	b.open().whole() // the connection of asks is another one
	long := strings.Repeat("\xff", 1024)
	b.publish(record("kiwi", 1), record("tui", 2), record(long, 3), record("weka", 4))
	if got := b.found("kiwi"); got != value("kiwi", 1) {
		t.Error(got)
	}
	user := operate(t, s.ClientURL())
	for _, name := range []string{"places-0", "places-1", "places-2"} {
		user.existing(name).Delete(key("tui")) // where it was not, too
	}
	m := nats.NewMsg("")
	m.Header.Set("Status", "404") // not the server's
	for _, name := range []string{"places-0", "places-1", "places-2"} {
		m.Subject, m.Data = "$KV."+name+"."+key("kea"), []byte("foreign")
		if err := user.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		must[uint64](t)(user.existing(name).Put(key("large"), make([]byte, 1<<20-1024)))
	}
	for _, name := range []string{"places-0", "places-1", "places-2"} {
		deleted := nats.NewMsg("$KV." + name + "." + key("kakapo"))
		deleted.Header.Set("KV-Operation", "DEL")
		deleted.Data = []byte("of another client library")
		if err := user.PublishMsg(deleted); err != nil {
			t.Fatal(err)
		}
	}
	got := b.ask(patience, "kiwi", "tui", long, "weka", "moa", "kea", "kiwi", "large", "kakapo")
	for i, want := range []string{value("kiwi", 1), "", value(long, 3), value("weka", 4), "", "foreign", value("kiwi", 1),
		string(make([]byte, 1<<20-1024)), ""} {
		if got[i].err != nil || got[i].value != want {
			t.Errorf("%d: %.100q %v", i, got[i].value, got[i].err)
		}
	}
	// Many at once.
	var clients []string
	for i := range 1000 {
		clients = append(clients, []string{"moa", "kiwi"}[i%2])
	}
	for i, a := range b.ask(patience, clients...) {
		if want := []string{"", value("kiwi", 1)}[i%2]; a.err != nil || a.value != want {
			t.Fatalf("%d: %q %v", i, a.value, a.err)
		}
	}
	// There is no bucket, or it does not answer these requests.
	if err := user.js.DeleteKeyValue("places-0"); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, a := range b.ask(patience, "kiwi", "weka", "moa", "a", "b", "c", "d", "e", "f", "g") {
		if a.err != nil {
			failed++
			expect(t, a.err.Error(), "the bucket does not exist")
		} else if i > 1 && a.value != "" {
			t.Errorf("%d: %q", i, a.value)
		}
	}
	if failed == 0 || failed == 10 {
		t.Errorf("%d of 10 asks failed", failed)
	}
	if b.log.Len() > 0 {
		t.Errorf("logged: %v", b.log.All())
	}
}

// Without a connection asks fail at once, and when there is one again they do not.
func TestAskServerComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	s := Start(t, &server.Options{StoreDir: dir})
	port := s.Addr().(*net.TCPAddr).Port
	start(t, settings(s)).publish(record("kiwi", 1))
	Stop(s)
	b := asker(t, s)
	for range 2 {
		// Also while it is connecting.
		if a := b.ask(patience, "kiwi")[0]; a.err == nil {
			t.Error("no error")
		}
		expect(t, b.ask(patience, "kiwi")[0].err.Error(), ": ")
		s = Start(t, &server.Options{StoreDir: dir, Port: port})
		if got := b.found("kiwi"); got != value("kiwi", 1) {
			t.Error(got)
		}
		Stop(s)
	}
}

// Replies that do not come: each ask fails in time, and asks in progress fail when the connection is lost.
func TestAskIsNotAnswered(t *testing.T) {
	t.Parallel() // it waits for timeouts
	s := Start(t, nil)
	start(t, settings(s)).publish(record("kiwi", 1))
	p := startProxy(t, s)
	o := settings(s)
	o.Config.Mode, o.Config.URL = "ask", "nats://"+p.listener.Addr().String()
	b := newBridge(t, o)
	b.found("kiwi")
	p.stall()
	for _, a := range b.ask(time.Millisecond, "kiwi", "moa") {
		if a.err == nil {
			t.Error("no error")
		} else {
			expect(t, a.err.Error(), "no reply in time")
		}
	}
	// More than can be sent fail, too.
	var clients []string
	for range 5000 {
		clients = append(clients, strings.Repeat("k", 1024))
	}
	for _, a := range b.ask(patience, clients...) { // until the connection is found to be lost
		if a.err == nil {
			t.Fatal("no error")
		}
	}
}

// A server that is not in mode ask.
func TestNotAsk(t *testing.T) {
	b := newBridge(t, settings(Start(t, nil)))
	expect(t, b.ask(patience, "kiwi")[0].err.Error(), "mode is not ask")
}

// Close ends what asks need, whatever is in progress.
func TestCloseAsk(t *testing.T) {
	s := Start(t, nil)
	baseline := goroutines()
	for name, prepare := range map[string]func(b *bridge){
		"connecting": func(*bridge) {},
		"connected": func(b *bridge) {
			b.open().whole()
			b.found("kiwi")
			b.loop.do(func() { b.closed = true; b.session.Close() })
		},
		"asking": func(b *bridge) {
			b.open().whole()
			b.found("kiwi")
			b.loop.do(func() {
				b.closed = true
				b.session.Close()
				for range 1000 {
					b.bucket.Ask([]byte("kiwi"), patience, func([]byte, error) {})
				}
			})
		},
	} {
		b := asker(t, s)
		prepare(b)
		b.bucket.Close()
		settle(t, name, baseline)
	}
}
