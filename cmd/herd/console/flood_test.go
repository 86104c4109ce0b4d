package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/trace"
)

// flooded is /flood.json of a console whose own server is Alford, and another one's console, Ball, that handler is.
func flooded(t *testing.T, handler http.HandlerFunc, ids ...string) func(id string) (int, string, FloodStatus) {
	t.Helper()
	l, o := newServer(t, 1000)
	for i, id := range ids {
		apply(t, l.srv, id, 1520023934+i)
	}
	ball := neighborConsole(t, "Ball", handler)
	ball.Address, ball.Neighbors = "Alford:2", []string{"Alford"}
	o.Name, o.Config = "Alford", &config.Config{Servers: []config.Server{
		{Name: "Alford", Address: "Alford:1", Console: "127.0.0.1:1", Neighbors: []string{"Ball"}}, ball, {Name: "Silent", Address: "Alford:3"},
	}}
	addr := start(t, o)
	return func(id string) (int, string, FloodStatus) {
		code, body := fetch(t, addr, "", "/flood.json?id="+url.QueryEscape(id))
		var f FloodStatus
		if err := json.Unmarshal([]byte(body), &f); err != nil {
			t.Errorf("%q: %.500s: %v", id, body, err)
		}
		if strings.ContainsAny(body, "\x1b<>") {
			t.Errorf("%q: hostile bytes in %.1000s", id, body)
		}
		return code, body, f
	}
}

// A flood of clients with any id, of whom the other server's console has heard or not.
func TestFloodOfAnyClient(t *testing.T) {
	get := flooded(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/trace.json" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, `{"server":"Ball"}`)
	}, hostile...)
	for _, id := range hostile {
		code, body, f := get(id)
		if code != 200 || string(f.Base64) != id || len(f.Nodes) != 3 || f.Nodes[0].Server != "Alford" || !f.Nodes[0].Holds {
			t.Errorf("%q: %d %.1000s", id, code, body)
			continue
		}
		if f.Nodes[1].Outcome != trace.Behind || f.Nodes[2].Why != "no console in herd.toml" || f.Replay != nil {
			t.Errorf("%q: %+v, %+v", id, f.Nodes, f.Replay) // the store was written to behind the recorder's back
		}
	}
	if code, body, _ := get("nobody"); code != 404 || errorOf(body) != "nobody: no server knows this client; Silent did not answer" {
		t.Errorf("%d %s", code, body)
	}
}

// Another console may answer anything.
func TestFloodOfBadConsoles(t *testing.T) {
	at := `"QVQgQmFsbCArMC4xIGtpd2kgKzErMSA5OTk5OTk5OTk5"` // AT Ball +0.1 kiwi +1+1 9999999999
	latest := `"hash":"00000000000000ff","latest":{"at_b64":` + at + `,"hash":"00000000000000ff","seq":7,"source":"client"}`
	for name, test := range map[string]struct {
		answer string
		steps  int
		want   string // in the answer
	}{
		"well":          {`{"server":"Ball","now":"2026-01-01T00:00:00Z",` + latest + `,"events":[{"at_ns":1,"kind":"stored","hash":"00000000000000ff","seq":7},{"at_ns":2,"kind":"sent","neighbor":"Alford","first":7,"last":7}]}`, 1, `"id_b64": "a2l3aQ=="`},
		"hostile names": {`{"server":"Ball","now":"2026-01-01T00:00:00Z",` + latest + `,"events":[{"at_ns":1,"kind":"applied","neighbor":"\u001b<b>\u202e","hash":"00000000000000ff","seq":7},{"at_ns":2,"kind":"sent","neighbor":"<i>","first":0,"last":99}]}`, 1, `"steps"`},
		"the year 9999": {`{"server":"Ball","now":"9999-12-31T23:59:59Z",` + latest + `,"events":[{"at_ns":9223372036854775807,"kind":"stored","hash":"00000000000000ff","seq":7}]}`, 0, `"replay": null`},
		"no time":       {`{"server":"Ball",` + latest + `,"events":[{"at_ns":-9223372036854775808,"kind":"stored","hash":"00000000000000ff","seq":7}]}`, 0, `"replay": null`},
		"many events": {`{"server":"Ball","now":"2026-01-01T00:00:00Z",` + latest + `,"events":[{"at_ns":1,"kind":"stored","hash":"00000000000000ff","seq":7}` +
			strings.Repeat(`,{"at_ns":2,"kind":"duplicate","neighbor":"Alford","hash":"00000000000000ff"}`, 3000) + `]}`, 4, `"steps"`},
		"garbage": {"<html>", 0, `no server knows this client; Ball did not answer`},
	} {
		t.Run(name, func(t *testing.T) {
			code, body, f := flooded(t, answering(test.answer))("kiwi")
			n := 0
			if f.Replay != nil {
				n = len(f.Replay.Steps)
			}
			if n != test.steps || !strings.Contains(body, test.want) || code != 200 && code != 404 {
				t.Errorf("%d, %d steps: %.2000s", code, n, body)
			}
		})
	}
}

// A loop that is stuck is one of the servers that do not answer.
func TestFloodOfAStuckLoop(t *testing.T) {
	addr := start(t, Options{Status: fixed(herd.Status{}), Do: NewLoop(func(func()) {}, nil), Name: "Alford",
		Config: &config.Config{Servers: []config.Server{{Name: "Alford", Console: "127.0.0.1:1"}}}})
	if code, body := fetch(t, addr, "", "/flood.json?id=kiwi"); code != 404 || errorOf(body) != "kiwi: no server knows this client; Alford did not answer" {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := fetch(t, addr, "", "/flood.json"); code != 400 {
		t.Errorf("without an id: %d", code)
	}
}
