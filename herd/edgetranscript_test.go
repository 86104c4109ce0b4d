package herd

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/herd/config"
	"serverherd/reactor/memreactor"
)

var update = flag.Bool("update", false, "rewrite testdata/transcripts/link; read the difference")

// edge is a herd of two servers, Alford and Ball, whose lines and log entries are written down side by
// side. Either may be played by a test instead: then its lines appear when Alford has received them.
type edge struct {
	*world
	conns map[connEnd]string // the name of each connection between the two, as the transcript has it
	hello map[string]string  // that of the connection on which this HELLO was sent
	dials map[string]int     // connections of each server so far
	names map[string]string  // short names of epochs, nonces and proofs
	count map[string]int     // of names, by kind
	rows  []row
}

type connEnd struct {
	server string
	conn   uint64
}

type row struct {
	at   time.Duration
	conn string
	side int // the column: 0 Alford, 1 Ball, -1 all
	text string
}

func newEdge(t *testing.T, change func(*config.Config)) *edge {
	cfg := testConfig(
		config.Server{Name: "Alford", Address: "Alford:1", Neighbors: []string{"Ball"}},
		config.Server{Name: "Ball", Address: "Ball:1", Neighbors: []string{"Alford"}})
	cfg.Limits.MaxClients = 100_000
	if change != nil {
		change(cfg)
	}
	e := &edge{world: newWorld(t, cfg), conns: map[connEnd]string{}, hello: map[string]string{},
		dials: map[string]int{}, names: map[string]string{}, count: map[string]int{}}
	e.net = memreactor.NewWorld(1, memreactor.Options{MinDelay: 5 * time.Millisecond, MaxDelay: 5 * time.Millisecond})
	return e
}

// note writes down what the test does.
func (e *edge) note(format string, args ...any) {
	e.rows = append(e.rows, row{e.net.Elapsed(), "", -1, "-- " + fmt.Sprintf(format, args...)})
}

// start starts a server.
func (e *edge) start(name string) *Server { return e.startWith(name, e.cfg) }

func (e *edge) startWith(name string, cfg *config.Config) *Server {
	e.t.Helper()
	e.note("%s starts", name)
	maps.DeleteFunc(e.conns, func(c connEnd, _ string) bool { return c.server == name }) // a former process's
	srv := e.world.startWith(name, cfg)
	side := edgeSide{e, name}
	srv.lines, srv.log = side, zap.New(edgeLog{side})
	return srv
}

// iamat is a client's update.
func (e *edge) iamat(server, client string, second int) {
	e.t.Helper()
	e.note("a client tells %s: IAMAT %s +1-1 %d", server, client, second)
	e.dial(server).SendString(fmt.Sprintf("IAMAT %s +1-1 %d\n", client, second))
}

// fill puts n records into a server.
func (e *edge) fill(server string, n int) {
	e.note("clients tell %s where %d of them are", server, n)
	for i := range n {
		e.servers[server].store.ApplyOwn(at(e.t, fmt.Sprint("c", i), stamp))
	}
	e.servers[server].pumpSoon()
}

// pass lets time pass.
func (e *edge) pass(d time.Duration) { e.net.RunFor(d) }

func (e *edge) linkOf(server string) *outbound { return e.servers[server].neighbors[0].link }

// ball is a connection on which the test plays Ball to Alford.
func (e *edge) ball(epoch string) (*impostor, string) {
	p := e.impostor("Alford", "Ball")
	return p, p.hello("HELLO herd/1 ucla Ball Alford 00000000000000" + epoch + " 000102030405060708090a0b0c0d0e" + epoch)
}

// add writes down a line or a log entry.
func (e *edge) add(conn string, side int, text string) {
	e.rows = append(e.rows, row{e.net.Elapsed(), conn, side, e.mask("AB"[side:side+1], text)})
}

// random is a proof or a nonce.
var random = regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{32})\b`)

func (e *edge) mask(writer, line string) string {
	switch f := strings.Fields(line); f[0] {
	case "HELLO":
		e.called(f[5], "epoch-"+writer)
	case "WELCOME":
		e.called(f[1], "epoch-"+writer)
	case "MARK":
		return line // its digest looks like an epoch
	}
	line = random.ReplaceAllStringFunc(line, func(s string) string {
		return e.called(s, map[int]string{64: "proof-", 32: "nonce-"}[len(s)])
	})
	for long, short := range e.names { // order: they are disjoint
		line = strings.ReplaceAll(line, long, short)
	}
	return line
}

func (e *edge) called(long, kind string) string {
	if e.names[long] == "" {
		e.count[kind]++
		e.names[long] = fmt.Sprint(kind, e.count[kind])
	}
	return e.names[long]
}

// edgeSide is the LineLog of one server.
type edgeSide struct {
	e    *edge
	name string
}

func (s edgeSide) column() int { return strings.Index("AB", s.name[:1]) }

func (s edgeSide) other() string {
	return map[string]string{"Alford": "Ball", "Ball": "Alford"}[s.name]
}

// dialed names a connection that from has dialed.
func (s edgeSide) dialed(from string, conn uint64) string {
	e := s.e
	e.dials[from]++
	name := fmt.Sprintf("%s %d", from, e.dials[from])
	e.conns[connEnd{s.name, conn}] = name
	return name
}

// beginsLink says whether a connection on which this is the first line is between servers: a client's has
// has no HELLO, and the AT that answers it has no sender.
func beginsLink(line string) bool {
	return strings.HasPrefix(line, "HELLO ") || strings.HasPrefix(line, "AT ") && strings.Count(line, " ") == 6
}

// LineSent implements LineLog.
func (s edgeSide) LineSent(conn uint64, line []byte) {
	e, text := s.e, string(line)
	name := e.conns[connEnd{s.name, conn}]
	if name == "" && beginsLink(text) {
		name = s.dialed(s.name, conn)
		e.hello[text] = name
	}
	if name != "" {
		e.add(name, s.column(), text)
	}
}

// LineReceived implements LineLog.
func (s edgeSide) LineReceived(conn uint64, line []byte) {
	e, text := s.e, string(line)
	name := e.conns[connEnd{s.name, conn}]
	switch {
	case name != "":
	case e.hello[text] != "":
		name = e.hello[text]
		e.conns[connEnd{s.name, conn}] = name
	case beginsLink(text):
		name = s.dialed(s.other(), conn)
	}
	if name != "" && e.servers[s.other()] == nil {
		e.add(name, 1-s.column(), text)
	}
}

// LookupSent implements LineLog.
func (s edgeSide) LookupSent(uint64, []byte, string, int, []byte) {}

// edgeLog writes down log entries about the neighbor.
type edgeLog struct{ edgeSide }

func (edgeLog) Enabled(l zapcore.Level) bool        { return l >= zap.InfoLevel }
func (l edgeLog) With([]zapcore.Field) zapcore.Core { return l }
func (edgeLog) Sync() error                         { return nil }
func (l edgeLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, l)
}

func (l edgeLog) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	conn, _ := m.Fields["conn"].(uint64)
	name := l.e.conns[connEnd{l.name, conn}]
	if m.Fields["neighbor"] == nil && name == "" || entry.Message == "connection made" {
		return nil
	}
	text := entry.Message
	if reason, ok := m.Fields["reason"].(string); ok {
		text += ": " + reason
	}
	l.e.add(name, l.column(), "["+text+"]")
	return nil
}

// text is the transcript.
func (e *edge) text(what string) []byte {
	var b bytes.Buffer
	for _, line := range strings.Split(strings.TrimSpace(what), "\n") {
		fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
	}
	fmt.Fprintf(&b, "\n%9s  %-8s  %-54s%s\n", "seconds", "dialed by", "Alford", "Ball")
	for i := 0; i < len(e.rows); i++ {
		r := e.rows[i]
		last := i // of AT lines on end
		for strings.HasPrefix(r.text, "AT ") && last+1 < len(e.rows) && e.rows[last+1].conn == r.conn &&
			e.rows[last+1].side == r.side && strings.HasPrefix(e.rows[last+1].text, "AT ") {
			last++
		}
		line := fmt.Sprintf("%9.3f  %-9s  %s%s", r.at.Seconds(), r.conn,
			strings.Repeat(" ", 54*max(r.side, 0)), r.text)
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
		if last > i+3 {
			fmt.Fprintf(&b, "%9s  %-9s  %s(%d more AT lines)\n", "", "", strings.Repeat(" ", 54*max(r.side, 0)), last-i)
			i = last
		}
	}
	return b.Bytes()
}

func TestEdgeTranscripts(t *testing.T) {
	for _, s := range edgeScenes {
		t.Run(s.name, func(t *testing.T) {
			e := newEdge(t, s.config)
			s.play(e)
			file := filepath.Join("../testdata/transcripts/link", s.name+".txt")
			want, err := os.ReadFile(file)
			got := e.text(s.what)
			if bytes.Equal(got, want) {
				return
			}
			diff := difference(string(want), string(got))
			if !*update {
				t.Fatalf("%s differs (%v); -update rewrites it:\n%s", file, err, diff)
			}
			if os.Getenv("CI") != "" {
				t.Fatal("-update under CI: a transcript is read before it is committed")
			}
			t.Logf("%s\n%s", file, diff)
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// difference is the lines between the first and the last that differ, as they were and as they are.
func difference(old, new string) string {
	a, b := strings.SplitAfter(old, "\n"), strings.SplitAfter(new, "\n")
	from := 0
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b, from = a[1:], b[1:], from+1
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return fmt.Sprintf("from line %d:\n-%s+%s", from+1, strings.Join(a, "-"), strings.Join(b, "+"))
}
