package herd

import (
	"strings"
	"testing"
	"time"

	"serverherd/protocol"
)

// Sender knows the processes that neighbors have now, and no others.
func TestSenderOfARecord(t *testing.T) {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.dial("Ball").SendString("IAMAT kiwi +34.06-118.44 1520023924\n")
	w.until("Alford has it", func() bool { return w.servers["Alford"].store.Len() == 1 })
	srv := w.servers["Alford"]
	item, _ := srv.store.Lookup([]byte("kiwi"))
	if got := srv.Sender(item.From); got != "Welsh" {
		t.Errorf("from %q, want Welsh", got)
	}
	if item.Applied != srv.reactor.Now().UnixNano() {
		t.Errorf("applied at %d, now it is %d", item.Applied, srv.reactor.Now().UnixNano())
	}
	for _, from := range []protocol.Epoch{0, item.From + 1} {
		if got := srv.Sender(from); got != "" {
			t.Errorf("from %v: %q", from, got)
		}
	}
}

// Source tells clients, neighbors and the journal apart.
func TestSourceOfARecord(t *testing.T) {
	w, d := journaled(t)
	w.updates("Alford", 0, 2, stamp)
	w.until("all on the disk", func() bool { return len(d.kept) == 2 })
	w.crash("Alford")
	d.kept["c1"] = strings.Replace(d.kept["c1"], "Alford", "Nobody", 1)
	srv := w.start("Alford")
	w.net.RunFor(time.Millisecond)
	w.updates("Alford", 2, 3, stamp)
	srv.store.Apply(at(t, "c3", stamp), 7)
	for client, want := range map[string]string{"c0": "journal", "c1": "journal", "c2": "client", "c3": "neighbor"} {
		item, ok := srv.store.Lookup([]byte(client))
		if source, _ := srv.Source(item); !ok || source != want {
			t.Errorf("%s: %q, want %s", client, source, want)
		}
	}
}

// Servers whose herd.toml says the same about the herd have the same hash in their status.
func TestStatusHasTheConfiguration(t *testing.T) {
	w := newWorld(t, testConfig(ring...))
	a := w.start("Alford").Status().ConfigHash
	if b := w.start("Ball").Status().ConfigHash; a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
	other := testConfig(ring...)
	other.Limits.MaxClients++
	if b := w.startWith("Welsh", other).Status().ConfigHash; a == b {
		t.Errorf("%q although the limits differ", b)
	}
}
