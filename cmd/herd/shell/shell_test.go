package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a connection that answers each line with "= " and the line, unless answer says otherwise.
type fake struct {
	answer func(line string) (string, error)
	closed atomic.Bool
}

func (f *fake) Ask(line string) (string, error) {
	if f.answer != nil {
		return f.answer(line)
	}
	return "= " + line, nil
}

func (f *fake) Close() error {
	f.closed.Store(true)
	return nil
}

func server(c *fake) Server {
	return Server{Name: "Alford", Dial: func(context.Context) (Conn, error) { return c, nil }}
}

var (
	errLost    = errors.New("lost")
	errRefused = errors.New("refused")
	options    = Options{
		Failed:    func(_, reply string) bool { return strings.HasPrefix(reply, "? ") },
		Lost:      func(err error) bool { return errors.Is(err, errLost) },
		Secret:    func(line string) bool { return strings.HasPrefix(line, "SECRET") },
		Refused:   func(err error) bool { return errors.Is(err, errRefused) },
		Reconnect: time.Minute,
	}
)

func TestPipe(t *testing.T) {
	echo := func(line string) (string, error) {
		switch line {
		case "lost":
			return "", errLost
		case "wrong":
			return "? wrong", nil
		case "silent":
			return "", nil
		}
		return "= " + line, nil
	}
	for _, c := range []struct{ name, in, out, err string }{
		{"nothing", "", "", ""},
		{"lines", "a\r\n\n  \nb  c\nd", "= a\n= b  c\n= d\n", ""},
		{"bytes", "\x00\xff\x1b\n", "= \x00\xff\x1b\n", ""},
		{"an error goes on", "a\nwrong\nb\n", "= a\n? wrong\n= b\n", ErrReplies.Error()},
		{"no reply", "a\nlost\nb\n", "= a\n", "standard input, line 2: lost"},
		{"a line without a reply", "a\nsilent\nb\n", "= a\n= b\n", ""},
		{"quit", "a\nquit\nb\n", "= a\n= quit\n", ""},
		{"quit after an error", "wrong\nquit\nb\n", "? wrong\n= quit\n", ErrReplies.Error()},
		{"a long line", "a\n" + strings.Repeat("x", MaxLine) + "\n", "= a\n", "standard input, line 2: longer than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			conn := &fake{answer: echo}
			err := Pipe(t.Context(), strings.NewReader(c.in), &out, server(conn), options)
			if fmt.Sprint(err) != cmpOr(c.err) || out.String() != c.out || !conn.closed.Load() {
				t.Errorf("%v, %q; want %s, %q", err, out.String(), c.err, c.out)
			}
		})
	}
	full := errors.New("disk full")
	r, w := io.Pipe()
	r.CloseWithError(full)
	if err := Pipe(t.Context(), strings.NewReader("a\n"), w, server(&fake{}), options); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
}

func cmpOr(text string) string {
	if text == "" {
		return "<nil>"
	}
	return text
}

// A line whose connection is lost is sent once more, on a new one.
func TestReconnect(t *testing.T) {
	lost := func(string) (string, error) { return "", errLost }
	refused := &fake{} // the dial is
	for _, c := range []struct {
		name  string
		conns []*fake // nil: the dial fails
		reply string
		err   error
		said  string
	}{
		{"at once", []*fake{{answer: lost}, {}}, "= a", nil, "connection to Alford lost, reconnecting\n"},
		{"later", []*fake{{answer: lost}, nil, {}}, "= a", nil,
			"connection to Alford lost, reconnecting\nconnected to Alford again\n"},
		{"lost again: the line is why", []*fake{{answer: lost}, {answer: lost}}, "", errLost, "connection to Alford lost, reconnecting\n"},
		{"refused", []*fake{{answer: lost}, refused}, "", errRefused, "connection to Alford lost, reconnecting\n"},
		{"another error", []*fake{{answer: func(string) (string, error) { return "", io.ErrNoProgress }}}, "", io.ErrNoProgress, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said strings.Builder
			s := &session{o: options, say: func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }}
			conns := c.conns
			s.Server = Server{Name: "Alford", Dial: func(context.Context) (Conn, error) {
				next := conns[0]
				conns = conns[1:]
				switch next {
				case nil:
					return nil, io.EOF
				case refused:
					return nil, errRefused
				}
				return next, nil
			}}
			reply, err := s.ask(t.Context(), "a")
			if reply != c.reply || !errors.Is(err, c.err) || said.String() != c.said || len(conns) > 0 {
				t.Errorf("%q, %v, %q; %d dials too few", reply, err, said.String(), len(conns))
			}
		})
	}
}

// Who interrupts a line gets no reply to it later: the connection is closed.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conn := &fake{answer: func(string) (string, error) {
		cancel()
		return "= late", nil
	}}
	s := &session{Server: server(conn), o: options, conn: conn}
	if reply, err := s.ask(ctx, "a"); !errors.Is(err, errInterrupted) || !conn.closed.Load() || s.conn != nil {
		t.Errorf("%q, %v", reply, err)
	}
	// Also while it dials.
	s.Dial = func(context.Context) (Conn, error) { return nil, io.EOF }
	if reply, err := s.ask(ctx, "a"); !errors.Is(err, errInterrupted) {
		t.Errorf("%q, %v", reply, err)
	}
}

func TestComplete(t *testing.T) {
	c := &completer{
		names: []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"},
		ids: func(_ context.Context, prefix string) []string {
			return []string{prefix + "1", "kiwi", "k\x1b", "k l", "k\xff", "other"}
		},
		now: func() time.Time { return time.Unix(1520023934, 918963997) },
	}
	c.note("IAMAT kiwi +1+1 1")
	c.note("WHATSAT kangaroo 1 1")
	c.note("IAMAT 東京 +1+1 1")
	c.note("IAMAT 東北 +1+1 1")
	c.note("foo koala")
	c.note("help")
	for _, test := range []struct {
		line, want string // | is the cursor
		list       []string
	}{
		{"w|", "WHATSAT |", nil},
		{"i|", "IAMAT |", nil},
		{".a|", ".at |", nil},
		{".|", ".|", []string{".at", ".help"}},
		{"|", "|", []string{".at", ".help", "IAMAT", "WHATSAT", "help", "quit"}},
		{"x|", "x|", nil},
		{"T|", "T|", nil}, // no TOKEN: it is typed rarely, and what is behind it is nobody's business
		{"IAMAT ka|", "IAMAT ka|", []string{"ka1", "kangaroo"}},
		{"IAMAT kan|", "IAMAT kan|", []string{"kan1", "kangaroo"}},
		{"IAMAT ki| +1+1 1", "IAMAT ki| +1+1 1", []string{"ki1", "kiwi"}},
		{"WHATSAT kang| 1 1", "WHATSAT kang| 1 1", []string{"kang1", "kangaroo"}},
		{"WHATSAT oth| 1 1", "WHATSAT oth| 1 1", []string{"oth1", "other"}},
		{"WHATSAT |", "WHATSAT |", []string{"1", "kangaroo", "kiwi", "other", "東京", "東北"}},
		{".at h|", ".at h|", nil},
		{".at ho|", ".at Holiday |", nil},
		{".at Ba| x", ".at Ball |x", nil},
		{"IAMAT kiwi +1+1 |", "IAMAT kiwi +1+1 1520023934.918963 |", nil},
		{"IAMAT kiwi +1+1 1|", "IAMAT kiwi +1+1 1|", nil},
		{"IAMAT kiwi |", "IAMAT kiwi |", nil},
		{"help |", "help |", nil},
	} {
		line, rest, _ := strings.Cut(test.line, "|")
		got, pos, list := c.complete(line+rest, len(line))
		if test.line == ".at h|" {
			test.want, test.list = ".at H|", nil // Hamilton, Holiday
		}
		if marked := got[:pos] + "|" + got[pos:]; marked != test.want || !slices.Equal(list, test.list) {
			t.Errorf("%q: %q, %q; want %q, %q", test.line, marked, list, test.want, test.list)
		}
	}
	c.ids = nil
	if got, pos, _ := c.complete("IAMAT \xe6", 7); got != "IAMAT 東" || pos != len(got) { // not half a character more
		t.Errorf("%q, %d", got, pos)
	}
	for i := range 2 * maxKnown {
		c.note(fmt.Sprintf("IAMAT client%d +1+1 1", i))
	}
	if len(c.known) != maxKnown {
		t.Errorf("%d known", len(c.known))
	}
}

func TestHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "herd", "history")
	h := openHistory(file, options.Secret)
	for _, line := range []string{"a", "", "  ", "b", "b", "b ", strings.Repeat("x", maxEntry+1), "c"} {
		h.Add(line)
	}
	h.Add("SECRET x")
	if h.err != nil || strings.Join(h.lines, ",") != "a,b,c" || h.At(0) != "c" || h.At(2) != "a" {
		t.Fatalf("%v, %q", h.err, h.lines)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
		}
	}
	if line, i := h.before(h.Len(), "SEC"); i >= 0 {
		t.Errorf("%q is found", line)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "SECRET") {
		t.Errorf("%q, %v", text, err)
	}
	// The next shell reads it, and finds lines, but no secret of a shell that kept them.
	if err := os.WriteFile(file, []byte("a\nb\nSECRET y\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h = openHistory(file, options.Secret)
	if h.Len() != 3 {
		t.Errorf("%q", h.lines)
	}
	if line, i := h.before(h.Len(), "b"); line != "b" || i != 1 {
		t.Errorf("%q at %d", line, i)
	}
	if _, i := h.before(1, "b"); i != -1 {
		t.Errorf("at %d, want none", i)
	}
	// It is bounded, on disk, too.
	for i := range 2*maxHistory + 1 {
		h.Add(fmt.Sprint(i))
	}
	h = openHistory(file, options.Secret)
	text, err := os.ReadFile(file)
	if h.Len() != maxHistory || h.err != nil || err != nil || strings.Count(string(text), "\n") != maxHistory || h.At(0) != fmt.Sprint(2*maxHistory) {
		t.Errorf("%d lines, %d on disk, %v, %v", h.Len(), strings.Count(string(text), "\n"), h.err, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// A file that cannot be used is reported, and the session has its history nevertheless.
	for _, bad := range []string{filepath.Join(file, "x"), filepath.Dir(file)} {
		h := openHistory(bad, options.Secret)
		h.Add("a")
		if h.err == nil || h.Len() != 1 {
			t.Errorf("%s: %v, %d lines", bad, h.err, h.Len())
		}
	}
	h = openHistory("", options.Secret)
	if h.Add("a"); h.err != nil || h.Len() != 1 {
		t.Errorf("%v, %d lines", h.err, h.Len())
	}
}

func TestStateFile(t *testing.T) {
	t.Setenv("HOME", "/home/kiwi")
	for xdg, want := range map[string]string{
		"": "/home/kiwi/.local/state/herd/history", "relative": "/home/kiwi/.local/state/herd/history", "/state": "/state/herd/history",
	} {
		t.Setenv("XDG_STATE_HOME", xdg)
		if got := StateFile(); got != want {
			t.Errorf("%q: %q, want %q", xdg, got, want)
		}
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	if got := StateFile(); got != "" {
		t.Errorf("without a home: %q", got)
	}
}

// Ctrl-C is an error of its own, and what was typed around it is not lost.
func TestKeys(t *testing.T) {
	k := &keys{in: strings.NewReader("ab\x03cd\x03\x03")}
	var got []string
	for p := make([]byte, 3); ; {
		n, err := k.Read(p)
		got = append(got, string(p[:n]))
		if err != nil {
			got = append(got, err.Error())
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	cleared := errCleared.Error()
	want := []string{"ab", "\x05", "", cleared, "cd", "\x05", "", cleared, "\x05", "", cleared, "", "EOF"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Words never break at the terminal's edge.
func TestColumns(t *testing.T) {
	words := []string{"demo/KLM1", "demo/KLM22", "東京", "a", "b", "c", "..."}
	for width, want := range map[int][]string{
		80: {"demo/KLM1  demo/KLM22  東京  a  b  c  ..."},
		26: {"demo/KLM1   東京  b  ...", "demo/KLM22  a     c"},
		25: {"demo/KLM1   東京  b  ...", "demo/KLM22  a     c"},
		24: {"demo/KLM1   a  ...", "demo/KLM22  b", "東京        c"},
		5:  words,
	} {
		if got := columns(words, width); !slices.Equal(got, want) {
			t.Errorf("%d: %q, want %q", width, got, want)
		}
	}
}
