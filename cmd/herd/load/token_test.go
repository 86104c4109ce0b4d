package load

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/protocol"
)

const testToken = "herd_0123456789"

// guarded wraps a server's answers: its first line must be TOKEN with the token. In cs131 nothing answers it.
func guarded(d protocol.Dialect, answer func(n int, line string) []byte) (func(n int, line string) []byte, func() int) {
	var mu sync.Mutex
	missing := 0
	return func(n int, line string) []byte {
			switch {
			case n == 0 && line == "TOKEN "+testToken:
				return d.AppendWelcome([]byte{}, "loader")
			case n == 0:
				mu.Lock()
				defer mu.Unlock()
				missing++
				return d.AppendRefusal(nil, []byte(line), protocol.TokenRequired)
			case line == "help":
				return d.AppendHelp(nil, []byte(line))
			}
			reply := answer(n, line)
			if d == protocol.CS131 && !bytes.Contains(reply, []byte("{")) {
				reply = append(bytes.TrimRight(reply, "\n"), '\n')
			}
			return reply
		}, func() int {
			mu.Lock()
			defer mu.Unlock()
			return missing
		}
}

// Every kind of connection presents the token first. The exchange is counted apart.
func TestLoadWithAToken(t *testing.T) {
	t.Parallel()
	for _, d := range []protocol.Dialect{protocol.Paper, protocol.CS131} {
		t.Run(d.String(), func(t *testing.T) {
			answer, missing := guarded(d, well)
			o := small(scripted(t, answer))
			o.Dialect, o.Token, o.Idle, o.SlowReaders, o.Churn, o.IAMAT, o.WHATSAT = d, testToken, 2, 1, 200, 1, 1
			r := mustRun(t, o)
			if r.All.Errors+r.All.Unanswered != 0 || r.All.Replies == 0 || r.All.Replies != r.All.Sent || missing() > 0 {
				t.Errorf("%d lines without a token; %+v", missing(), r.All)
			}
			// Visitors of the end may have come without a reply to their token.
			if least := int64(o.Connections + o.Idle); r.Token.Count < least || r.Token.Count > least+int64(r.All.Came) {
				t.Errorf("%d tokens presented, %d connections, %d visitors", r.Token.Count, least, r.All.Came)
			}
			if r.Latency.Count != int64(r.All.Replies) {
				t.Errorf("%d latencies of %d replies", r.Latency.Count, r.All.Replies)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "  token") {
				t.Errorf("%v\n%s", err, &text)
			}
		})
	}
}

// A token that is refused ends the run before it begins, with the server's reason and without the token.
func TestLoadWithAWrongToken(t *testing.T) {
	t.Parallel()
	refuse := func(d protocol.Dialect) func(n int, line string) []byte {
		return func(n int, line string) []byte {
			if n == 0 {
				return d.AppendRefusal(nil, []byte(line), protocol.TokenRefused)
			}
			return nil
		}
	}
	for _, c := range []struct {
		name    string
		dialect protocol.Dialect
		answer  func(n int, line string) []byte
		want    string
	}{
		{"paper", protocol.Paper, refuse(protocol.Paper), "the server refused the token: unknown or expired"},
		{"cs131", protocol.CS131, refuse(protocol.CS131), "the server refused the token"},
		{"silent", protocol.Paper, func(int, string) []byte { return []byte{} }, "no reply to the token within 50ms"},
		{"closed", protocol.Paper, func(int, string) []byte { return nil }, "the server closed the connection before a complete reply"},
		{"endless", protocol.Paper, func(int, string) []byte { return bytes.Repeat([]byte(">"), maxShort+2) }, "the reply to the token is too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(scripted(t, c.answer))
			o.Dialect, o.Token, o.Connections = c.dialect, testToken, 1
			if c.name == "silent" {
				o.Timeout = 50 * time.Millisecond
			}
			_, err := Run(t.Context(), o)
			if err == nil || err.Error() != "Alford, connection 1: "+c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if c.name == "silent" || c.name == "endless" { // another reader, with its own words
				return
			}
			if o.Targets = append(o.Targets, o.Targets[0]); true {
				if _, err := Replication(t.Context(), o); err == nil || err.Error() != "Alford: "+c.want {
					t.Errorf("replication: error %v, want %q", err, c.want)
				}
			}
			o.Targets, o.WHATSAT = o.Targets[:1], 1
			if _, err := Run(t.Context(), o); err == nil || err.Error() != "Alford: preload clients: "+c.want {
				t.Errorf("preload: error %v, want %q", err, c.want)
			}
		})
	}
}

// A reply behind that to the token, in the same chunk, is not lost.
func TestTokenInOneChunk(t *testing.T) {
	t.Parallel()
	answer, _ := guarded(protocol.Paper, well)
	o := small(scripted(t, func(n int, line string) []byte {
		reply := answer(n, line)
		if n == 0 {
			reply = append(reply, "> SERVER FULL\n\n"...)
		}
		return reply
	}))
	o.Token, o.Connections, o.Pipeline, o.Idle = testToken, 0, 0, 2
	r := mustRun(t, o)
	if r.All.Errors != 2 || !strings.HasPrefix(r.All.Failures[0].What, "Alford: idle connection rejected: > SERVER FULL") {
		t.Errorf("%+v", r.All)
	}
}

func TestReplicationWithAToken(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	last := ""
	from, missing := guarded(protocol.Paper, func(n int, line string) []byte {
		mu.Lock()
		defer mu.Unlock()
		last = strings.TrimPrefix(line, "IAMAT ")
		return well(n, line)
	})
	to, missingThere := guarded(protocol.Paper, func(int, string) []byte {
		mu.Lock()
		defer mu.Unlock()
		return []byte("AT Alford +0.1 " + last + "\n{}\n\n")
	})
	o := Options{Targets: []Target{scripted(t, from), scripted(t, to)}, Duration: 100 * time.Millisecond, Token: testToken}
	r, err := Replication(t.Context(), o)
	if err != nil || r.All.Replies == 0 || r.All.Errors > 0 || missing()+missingThere() > 0 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A feed presents its token on every connection, also on those that it makes again.
func TestFeedWithAToken(t *testing.T) {
	t.Parallel()
	answer, missing := guarded(protocol.Paper, func(n int, line string) []byte {
		if n == 50 {
			return nil
		}
		return well(n, line)
	})
	f := feedWith(t, FeedOptions{Timeout: patience, Token: testToken, Targets: []Target{scripted(t, answer)}})
	f.confirms(500)
	if err := f.ends(); err != nil || missing() > 0 {
		t.Errorf("%v, %d lines without a token, %q", err, missing(), f.notes)
	}
}

// A feed whose token is refused ends if that is so everywhere, and says so if it is later, of one server.
func TestFeedWithAWrongToken(t *testing.T) {
	t.Parallel()
	refuse := func(_ int, line string) []byte {
		return protocol.Paper.AppendRefusal(nil, []byte(line), protocol.TokenRefused)
	}
	f := feedWith(t, FeedOptions{Timeout: patience, Token: testToken, Targets: []Target{scripted(t, refuse)}})
	select {
	case err := <-f.done:
		if want := "no server can be reached; Alford: the server refused the token: unknown or expired"; err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	var mu sync.Mutex
	revoked := false
	answer, _ := guarded(protocol.Paper, func(n int, line string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if revoked = revoked || n == 20; revoked {
			return nil
		}
		return well(n, line)
	})
	other, _ := guarded(protocol.Paper, well)
	f = feedWith(t, FeedOptions{Timeout: patience, Token: testToken, Targets: []Target{
		named("Alford", scripted(t, other)), named("Ball", scripted(t, func(n int, line string) []byte {
			mu.Lock()
			gone := revoked
			mu.Unlock()
			if gone {
				return refuse(n, line)
			}
			return answer(n, line)
		})),
	}})
	f.says("Ball: the server refused the token: unknown or expired")
	f.confirms(50)
	if err := f.ends(); err != nil {
		t.Error(err)
	}
}

func TestRedisTakesNoToken(t *testing.T) {
	t.Parallel()
	o := small(Target{Name: "redis"})
	o.Redis, o.Token = true, testToken
	if err := o.Check(); err == nil || err.Error() != "a Redis server takes no token" {
		t.Error(err)
	}
	o.Redis, o.Token = false, "two words"
	if err := o.Check(); err == nil || strings.Contains(err.Error(), "words") {
		t.Error(err)
	}
}
