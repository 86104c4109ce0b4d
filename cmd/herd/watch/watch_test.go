package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"serverherd/cmd/herd/console"
)

// server is the other side: what each request gets.
type server struct {
	answers []func(w *io.PipeWriter) // in turn; then requests are refused
	opened  []time.Time
}

func (s *server) open(context.Context) (io.ReadCloser, error) {
	s.opened = append(s.opened, time.Now())
	if len(s.answers) == 0 || s.answers[0] == nil {
		s.answers = s.answers[min(1, len(s.answers)):]
		return nil, errors.New("refused")
	}
	r, w := io.Pipe()
	go s.answers[0](w)
	s.answers = s.answers[1:]
	return r, nil
}

const hello = `{"server":"Ball","epoch":"1","tail":7}` + "\n"

// update is a line.
func update(id string, seq int, present bool) string {
	l := console.WatchLine{Record: &console.Record{Seq: uint64(seq)}, AT: fmt.Sprintf("AT Ball +1 %s +1+1 %d", id, seq), Present: present}
	l.ID = id
	text, _ := json.Marshal(l)
	return string(text) + "\n"
}

// says is an answer that is closed behind a text.
func says(text string) func(w *io.PipeWriter) {
	return func(w *io.PipeWriter) {
		_, _ = io.WriteString(w, text)
		w.Close()
	}
}

// run runs Run until it ends or for a time, and returns the lines and notes in the order in which they came.
func run(t *testing.T, s *server, count int, limit time.Duration) (said []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err = Run(ctx, Options{
			Server: "Ball",
			Open:   s.open, Count: count, Begun: func() error { return nil },
			Line: func(l console.WatchLine) error {
				if l.Record == nil {
					said = append(said, fmt.Sprint("behind ", l.Behind))
				} else {
					said = append(said, fmt.Sprint(l.ID, l.Seq))
				}
				return nil
			},
			Note: func(text string) { said = append(said, text) },
		})
	})
	return said, err
}

func TestRun(t *testing.T) {
	const closed, same = "the server closed the connection; connecting again", "connected again; updates were missed"
	const restarted = "connected again after a restart; updates were missed"
	second := strings.Replace(hello, `"epoch":"1"`, `"epoch":"2"`, 1)
	for _, c := range []struct {
		name    string
		answers []func(w *io.PipeWriter)
		count   int
		want    []string
		err     string
	}{
		{"updates", []func(*io.PipeWriter){says(hello + update("k", 1, true) + "{}\n" + `{"behind":3}` + "\n" + update("k", 9, false))}, 2,
			[]string{"k1", "behind 3", "k9"}, ""},
		{"no more than wanted", []func(*io.PipeWriter){says(hello + update("k", 1, false) + update("k", 2, false))}, 1, []string{"k1"}, ""},
		{"the first request fails", []func(*io.PipeWriter){nil, says(hello)}, 0, nil, "refused"},
		{"something else answers", []func(*io.PipeWriter){says("{}\n")}, 0, nil, "the answer does not begin as that of /watch"},
		{"another server answers", []func(*io.PipeWriter){says(strings.Replace(hello, "Ball", `Evil\u001b`, 1))}, 0, nil, `belongs to "Evil\x1b"`},
		{"not JSON", []func(*io.PipeWriter){says("<html>\n")}, 0, nil, "not a line of /watch"},
		{"a long line", []func(*io.PipeWriter){says(strings.Repeat("x", 1<<20))}, 0, nil, "a line is longer than 65536 bytes"},
		{"a restart", []func(*io.PipeWriter){says(hello + update("k", 1, false)), nil, nil, says(second + update("k", 1, true) + update("k", 2, false))}, 2,
			[]string{"k1", closed, restarted, "k2"}, ""},
		{"another record after a restart", []func(*io.PipeWriter){says(hello + update("k", 1, false)), says(second + update("k", 2, true))}, 2,
			[]string{"k1", closed, restarted, "k2"}, ""},
		{"a broken connection", []func(*io.PipeWriter){says(hello), says(hello + update("k", 2, false))}, 1, []string{closed, same, "k2"}, ""},
		{"a server that was killed", []func(*io.PipeWriter){func(w *io.PipeWriter) {
			_, _ = io.WriteString(w, hello)
			w.CloseWithError(io.ErrUnexpectedEOF)
		}, says(hello + update("k", 2, false))}, 1, []string{closed, same, "k2"}, ""},
		{"garbage later", []func(*io.PipeWriter){says(hello + "garbage\n"), says(hello + update("k", 2, false))}, 1,
			[]string{"not a line of /watch: invalid character 'g' looking for beginning of value; connecting again", same, "k2"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			said, err := run(t, &server{answers: c.answers}, c.count, time.Minute)
			if strings.Join(said, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%q\nwant %q", said, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// A server that stays away is tried again and again, at last every 5 s. It is said once.
func TestRetries(t *testing.T) {
	s := &server{answers: []func(*io.PipeWriter){says(hello)}}
	said, err := run(t, s, 0, time.Minute)
	if err != nil || len(said) != 1 {
		t.Errorf("%q, %v", said, err)
	}
	if n := len(s.opened); n < 14 || n > 18 {
		t.Errorf("%d requests in a minute", n)
	}
	last := s.opened[len(s.opened)-1].Sub(s.opened[len(s.opened)-2])
	if first := s.opened[1].Sub(s.opened[0]); first != minRetry || last != maxRetry {
		t.Errorf("pauses from %v to %v", first, last)
	}
}

// A console that begins well and then sends nothing usable is not asked four times a second for ever.
func TestRetriesOfAUselessAnswer(t *testing.T) {
	s := &server{}
	for range 1000 {
		s.answers = append(s.answers, says(hello+"garbage\n"))
	}
	if _, err := run(t, s, 0, time.Minute); err != nil {
		t.Error(err)
	}
	if n := len(s.opened); n < 14 || n > 18 {
		t.Errorf("%d requests in a minute", n)
	}
}

// A stream in which nothing comes any more is given up.
func TestSilence(t *testing.T) {
	s := &server{answers: []func(*io.PipeWriter){
		func(w *io.PipeWriter) {
			_, _ = io.WriteString(w, hello)
			for range 10 {
				time.Sleep(silence - time.Second)
				_, _ = io.WriteString(w, "{}\n")
			}
		},
		says(hello + update("k", 1, false)),
	}}
	said, err := run(t, s, 1, time.Hour)
	if err != nil || len(said) != 3 || said[0] != "nothing came for 15s; connecting again" {
		t.Errorf("%q, %v", said, err)
	}
	if after := s.opened[1].Sub(s.opened[0]); after < 10*(silence-time.Second)+silence {
		t.Errorf("given up after %v", after)
	}
}

// A console that does not let it in any more ends it.
func TestRefused(t *testing.T) {
	s := &server{answers: []func(*io.PipeWriter){says(hello + update("k", 1, false)), nil, says(hello)}}
	synctest.Test(t, func(t *testing.T) {
		err := Run(t.Context(), Options{
			Server: "Ball", Open: s.open, Begun: func() error { return nil }, Line: func(console.WatchLine) error { return nil },
			Note: func(string) {}, Refused: func(err error) bool { return err.Error() == "refused" },
		})
		if err == nil || err.Error() != "refused" || len(s.opened) != 2 {
			t.Errorf("%v after %d requests", err, len(s.opened))
		}
	})
}

// An output that fails ends it.
func TestOutputFails(t *testing.T) {
	s := &server{answers: []func(*io.PipeWriter){says(hello + update("k", 1, false))}}
	full := errors.New("disk full")
	err := Run(t.Context(), Options{Server: "Ball", Open: s.open, Begun: func() error { return nil }, Line: func(console.WatchLine) error { return full }, Note: func(string) {}})
	if !errors.Is(err, full) || len(s.opened) != 1 {
		t.Errorf("%v after %d requests", err, len(s.opened))
	}
}
