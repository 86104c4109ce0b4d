package natstest

import (
	"slices"
	"strings"
	"testing"

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
