package herdtest

import (
	"testing"

	"serverherd/protocol"
)

// Record parses a record as received on a link: "<origin> <diff> <client> <coords> <time>".
func Record(t testing.TB, text string) protocol.Record {
	t.Helper()
	l, err := protocol.ParseLink([]byte("AT " + text + " Welsh"))
	if err != nil {
		t.Fatalf("record %q: %v", text, err)
	}
	return l.Record
}
