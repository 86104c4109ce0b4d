package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"serverherd/herd"
	"serverherd/herd/config"
)

func testBucket(partitions int) *Bucket {
	b := &Bucket{o: Options{Config: config.JetStream{Bucket: "places", Partitions: partitions}}, redact: strings.NewReplacer()}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

func TestURLs(t *testing.T) {
	urls, redact, err := parseURLs("nats://a:4222, tls://bob:p%40ss@b:4222,nats://s3cr3t@c")
	if err != nil || urls != "nats://a:4222,tls://bob:p%40ss@b:4222,nats://s3cr3t@c" {
		t.Fatal(urls, err)
	}
	if got := redact.Replace(urls + " p@ss"); got != "nats://a:4222,tls://bob:xxxxx@b:4222,nats://xxxxx@c xxxxx" {
		t.Error(got)
	}
	for _, text := range []string{"", "nats://a,", "hunter2", "nats://bob:hunter2@a:b:c"} {
		if _, _, err := parseURLs(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestExplain(t *testing.T) {
	b := testBucket(1)
	_, b.redact, _ = parseURLs("nats://bob:hunter2@a")
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("connect: %w", nats.ErrAuthorization), "connect: nats: Authorization Violation: check the file creds"},
		{errors.Join(errors.New("dial bob:hunter2@a"), context.DeadlineExceeded),
			"dial bob:xxxxx@a; context deadline exceeded: no reply"},
		{jetstream.ErrJetStreamNotEnabled, "enabled: start nats-server with -js"},
		{jetstream.ErrJetStreamNotEnabledForAccount, "enabled for account: enable it, or use an account that has it"},
		{fmt.Errorf("%w: publish to \"x\"", nats.ErrPermissionViolation), "allow it for the user of the file creds"},
	} {
		if got := b.explain(c.err).Error(); !strings.Contains(strings.ToLower(got), strings.ToLower(c.want)) {
			t.Errorf("%q instead of %q", got, c.want)
		}
	}
}

// What a NATS server says may be long and have any bytes. The log and /readyz show a line of bounded length.
func TestServersText(t *testing.T) {
	b := testBucket(1)
	_, b.redact, _ = parseURLs("nats://bob:hunter2@a")
	long := strings.Repeat("x", maxErrorText-8)
	for _, c := range []struct{ text, want string }{
		{"bad\x1b[31m\x00\xff\r\nnews é", "bad?[31m???; news é"},
		{strings.Repeat("y", 1<<20), strings.Repeat("y", maxErrorText-3) + "..."},
		{long + "hunter2 and more", long + "xxxxx..."},
	} {
		header := nats.Header{"Status": {"500"}, "Description": {c.text}}
		_, err := answer(&nats.Msg{Header: header})
		if got := b.explain(errors.New(c.text)).Error(); got != c.want || len(err.Error()) > maxErrorText ||
			strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%.80q became %.80q and %.80q, want %.80q", c.text, got, err, c.want)
		}
	}
}

// What the reply to a put means.
func TestResult(t *testing.T) {
	p := &publisher{}
	to := &part{bucket: "places", target: 7}
	for _, c := range []struct {
		header nats.Header
		text   string
		want   herd.BucketResult
		err    string
	}{
		{nil, `{"stream":"KV_places","seq":8}`, herd.BucketStored, ""},
		{nil, `{"stream":"KV_places","seq":7}`, 0, "deleted and created again, or restored: revision 7 follows 7"},
		{nil, `{"error":{"code":400,"err_code":10071}}`, herd.BucketConflict, ""},
		{nil, `{"error":{"code":400,"err_code":10164}}`, herd.BucketConflict, ""},
		{nil, `{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`, herd.BucketRefused, ""},
		{nil, `{"error":{"code":500,"err_code":10047}}`, herd.BucketRefused, ""},
		{nil, `{"error":{"code":400,"err_code":10054}}`, herd.BucketRefused, ""},
		{nats.Header{"Status": {"503"}}, "", 0, "no leader, or was deleted"},
		{nil, "", 0, "ACK"},
	} {
		got, err := p.result(&nats.Msg{Header: c.header, Data: []byte(c.text)}, to)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v", c.text, got, err)
		}
	}
}

// A message, or a message about a request, of a partition with 10 messages when the session began. The third is next.
func TestReadMessage(t *testing.T) {
	about := func(seq, number, pending int) string {
		return fmt.Sprintf("$JS.ACK.KV_places.c.1.%d.%d.1479413884000000000.%d", seq, number, pending)
	}
	status := func(code string, more ...string) nats.Header {
		h := nats.Header{"Status": {code}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for _, c := range []struct {
		name      string
		reply     string
		header    nats.Header
		err       string
		requested int
		complete  bool
	}{
		{"the next one", about(6, 3, 4), nil, "", 99, false},
		{"the last one", about(10, 3, 4), nil, "", 99, true},
		{"the last one of a stream that lost some", about(9, 3, 0), nil, "", 99, true},
		{"one is missing", about(6, 4, 4), nil, "received message 4 instead of 3", 99, false},
		{"an earlier revision", about(5, 3, 4), nil, "revision 5 follows 5", 99, false},
		{"no message", "x", nil, "invalid format", 100, false},
		{"heartbeat", "", status("100", "Nats-Last-Consumer", "2", "Nats-Last-Stream", "9"), "", 100, false},
		{"nothing more", "", status("100", "Nats-Last-Consumer", "2", "Nats-Last-Stream", "10"), "", 100, true},
		{"one is missing at the end", "", status("100", "Nats-Last-Consumer", "3", "Nats-Last-Stream", "10"),
			"received 2 messages of 3", 100, false},
		{"expired", "", status("408", "Description", "Request Timeout", "Nats-Pending-Messages", "40"), "", 60, false},
		{"too large", "", status("409", "Description", "Message Size Exceeds MaxBytes", "Nats-Pending-Messages", "100"), "", 0, false},
		{"batch", "", status("409", "Description", "Batch Completed", "Nats-Pending-Messages", "0"), "", 100, false},
		{"more than requested", "", status("408", "Nats-Pending-Messages", "1000"), "", 0, false},
		{"deleted", "", status("409", "Description", "Consumer Deleted"), "409 consumer deleted", 100, false},
		{"no consumer", "", status("503"), nats.ErrNoResponders.Error(), 100, false},
		{"unknown", "", nil, " ", 100, false},
	} {
		p := &part{bucket: "places", target: 10, delivered: 2, last: 5, requested: 100}
		r := newReader(&session{bucket: testBucket(1), parts: []*part{p}}, nil)
		m := &nats.Msg{Subject: "$KV.places.a2l3aQ", Reply: c.reply, Header: c.header, Sub: &nats.Subscription{}}
		var err error
		if c.reply == "" {
			err = r.status(p, m)
		} else {
			_, _, err = r.entry(p, m)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if p.requested != c.requested || p.complete != c.complete {
			t.Errorf("%s: %d requested, complete %v", c.name, p.requested, p.complete)
		}
	}
}

// Which client a key names, and what is no entry.
func TestReadEntry(t *testing.T) {
	for _, c := range []struct {
		partitions int
		subject    string
		header     nats.Header
		client     string
		value      string
		ok         bool
	}{
		{1, "$KV.places.a2l3aQ", nil, "kiwi", "v", true},
		{1, "$KV.places.a2l3aQ", nats.Header{"KV-Operation": {"DEL"}}, "kiwi", "", true},
		{1, "$KV.places.a2l3aQ", nats.Header{"KV-Operation": {"PURGE"}}, "kiwi", "", true},
		{1, "$KV.places.a2l3aQ", nats.Header{"Nats-Marker-Reason": {"MaxAge"}}, "kiwi", "", true},
		{1, "$KV.places.a2l3aR", nil, "", "v", true}, // another key for kiwi, if the last bits were ignored
		{1, "$KV.places.a2l3aQ==", nil, "", "v", true},
		{1, "$KV.places.kiwi.cs", nil, "", "v", true},
		{1, "$KV.places.meta.east", nil, "", "", false},
		{3, "$KV.places-2.a2l3aQ", nil, "", "v", true}, // it belongs in another one
		{3, "$KV.places-1.a2l3aQ", nil, "kiwi", "v", true},
	} {
		b := testBucket(c.partitions)
		p := &part{bucket: strings.Split(c.subject, ".")[1]}
		r := newReader(&session{bucket: b, parts: []*part{p}}, nil)
		m := &nats.Msg{
			Subject: c.subject, Reply: "$JS.ACK.s.c.1.1.1.1.1", Header: c.header, Data: []byte("v"), Sub: &nats.Subscription{},
		}
		e, ok, err := r.entry(p, m)
		if err != nil || ok != c.ok || string(e.Client) != c.client || ok && string(e.Value) != c.value {
			t.Errorf("%d %s: %+v %v %v", c.partitions, c.subject, e, ok, err)
		}
	}
}
