package herd

import (
	"testing"

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
