package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
	"serverherd/herd/recorder"
)

// The flight recorder is read in pages, and by client, whatever bytes its id has.
func TestFlightRecorder(t *testing.T) {
	l, o := newServer(t, 10_000)
	addr := start(t, o)
	ids := append([]string{"kiwi"}, hostile...)
	for i, id := range ids {
		apply(t, l.srv, id, 1520023934+i)
	}
	for _, id := range ids {
		code, body := fetch(t, addr, "", "/trace.json?id="+url.QueryEscape(id))
		var f herd.Flood
		if err := json.Unmarshal([]byte(body), &f); code != 200 || err != nil || f.Server != "Alford" || f.Latest == nil ||
			f.Hash != f.Latest.Hash || !strings.Contains(string(f.Latest.AT), " "+id+" ") {
			t.Errorf("%q: %d %s %v", id, code, body, err)
		}
		code, body = fetch(t, addr, "", "/trace.json?id="+url.QueryEscape(id)+"&hash=00000000000000ff")
		if err := json.Unmarshal([]byte(body), &f); code != 200 || err != nil || f.Hash != "00000000000000ff" {
			t.Errorf("%q by hash: %d %s %v", id, code, body, err)
		}
	}
	if code, body := fetch(t, addr, "", "/trace.json?id=nobody"); code != 200 || strings.Contains(body, "latest") || !strings.Contains(body, `"hash": ""`) {
		t.Errorf("an unknown client: %d %s", code, body)
	}
	for _, bad := range []struct{ path, error string }{
		{"/trace.json", "id is missing"},
		{"/trace.json?id=", "id: empty"},
		{"/trace.json?id=a&id=b", "id is given twice"},
		{"/trace.json?id=a&hash=", `hash must be 16 hex digits, got ""`},
		{"/trace.json?id=a&hash=0000000000000000", `hash must be 16 hex digits, got "0000000000000000"`},
		{"/trace.json?id=a&hash=" + strings.Repeat("f", 1000), `hash must be 16 hex digits, got "ffff`},
		{"/events?since=x", `since must be a number, got "x"`},
		{"/events?since=-1", `since must be a number, got "-1"`},
		{"/events?ring=all", `ring must be sampled or recent, got "all"`},
		{"/events?id=a", `unknown parameter "id"; known: since, ring`},
	} {
		if code, body := fetch(t, addr, "", bad.path); code != 400 || !strings.HasPrefix(errorOf(body), bad.error) {
			t.Errorf("%s: %d %q, want 400 and %q", bad.path, code, body, bad.error)
		}
	}
}

// Pages of events are bounded, follow each other, and say what was missed.
func TestEventPages(t *testing.T) {
	l, o := newServer(t, 10)
	addr := start(t, o)
	const events = recorder.Size + 2000
	c := l.world.Dial("Alford:1")
	for i := range events {
		c.SendString(fmt.Sprintf("IAMAT kiwi +1+1 %d\n", 1_000_000_000+i))
		if i%50 == 0 {
			l.world.RunFor(time.Second)
		}
	}
	l.world.RunFor(time.Second)
	if c.Closed() {
		t.Fatal("the client was disconnected")
	}
	var seqs []uint64
	next := uint64(0)
	for page := 0; ; page++ {
		_, body := fetch(t, addr, "", fmt.Sprintf("/events?ring=recent&since=%d", next))
		var p herd.EventPage
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]uint64{true: 2000}[page == 0]; p.Missed != want || len(p.Events) > herd.MaxEvents || p.Ring != "recent" {
			t.Fatalf("page %d: %d missed, want %d; %d events", page, p.Missed, want, len(p.Events))
		}
		if len(p.Events) == 0 {
			break
		}
		for _, e := range p.Events {
			seqs = append(seqs, e.Position)
		}
		next = p.Next
	}
	want := make([]uint64, recorder.Size)
	for i := range want {
		want[i] = uint64(i) + 2001
	}
	if !reflect.DeepEqual(seqs, want) {
		t.Errorf("%d events, from %d to %d", len(seqs), seqs[0], seqs[len(seqs)-1])
	}
	_, body := fetch(t, addr, "", "/events")
	var p herd.EventPage
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Ring != "sampled" || len(p.Events) == 0 {
		t.Errorf("sampled: %v, K %d, %d events, %.200s", err, p.K, len(p.Events), body)
	}
}

// Answers wait for others that are being encoded, and are given up with their request. Health checks do not wait.
func TestFewAnswersAreEncodedAtOnce(t *testing.T) {
	c := &console{encoders: make(chan struct{}, 1)}
	c.encoders <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	w, gone := httptest.NewRecorder(), make(chan struct{})
	go func() {
		c.answer(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx), 7)
		close(gone)
	}()
	cancel()
	if <-gone; w.Body.Len() > 0 {
		t.Errorf("answered %q though another one was being encoded", w.Body)
	}
	waiting := make(chan struct{})
	go func() {
		c.answer(w, httptest.NewRequest("GET", "/", nil), 7)
		close(waiting)
	}()
	c.healthz(httptest.NewRecorder(), nil)
	<-c.encoders
	if <-waiting; w.Body.String() != "7\n" || len(c.encoders) != 0 {
		t.Errorf("answered %q, %d are being encoded", w.Body, len(c.encoders))
	}
}
