package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/herdtest"
)

// each runs a test for each peer, and reports those that cannot run here.
func each(t *testing.T, test func(t *testing.T, p *Peer)) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			if why := p.Missing(); why != "" {
				fmt.Fprintf(os.Stderr, "NOT RUN: %s: %s\n", t.Name(), why)
				t.Skip(why)
			}
			test(t, p)
		})
	}
}

// start starts servers and checks that they end without errors.
func start(t *testing.T, p *Peer, o Options) []*Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processtest.Patience)
	t.Cleanup(cancel)
	o.Dir = t.TempDir()
	servers, err := p.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range servers {
			if err := s.Stop(); err != nil && !s.killed {
				t.Error(err)
			}
			for line := range strings.Lines(s.Stderr()) {
				if !strings.HasPrefix(line, "lines for ") { // another server may stop first
					t.Errorf("%s printed %s", s.Name, line)
				}
			}
		}
	})
	return servers
}

// ask sends bytes, closes its side, and returns everything received.
func ask(t *testing.T, s *Server, text string) string {
	t.Helper()
	c := dial(t, s)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

func dial(t *testing.T, s *Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(processtest.Patience))
	return c.(*net.TCPConn)
}

// A single server gives clients the same replies as the herd's server.
func TestServer(t *testing.T) {
	each(t, func(t *testing.T, p *Peer) {
		s := start(t, p, Options{Lines: true})[0]
		// All lines of the transcripts get the same bytes as from the herd.
		t.Run("transcripts", func(t *testing.T) {
			herdtest.Play(t, "../../../testdata/transcripts", "paper",
				func(t *testing.T) herdtest.Conn { return processtest.Dial(t, s.Addr) })
		})
		t.Run("chunks", func(t *testing.T) { chunks(t, s) })
		t.Run("long lines", func(t *testing.T) { longLines(t, s) })
		t.Run("slow reader", func(t *testing.T) { slowReader(t, s) })
	})
}

// Neighbors flood updates as in the paper, and agree.
func TestHerd(t *testing.T) {
	each(t, func(t *testing.T, p *Peer) {
		servers := start(t, p, Options{Names: processtest.Names, Neighbors: processtest.Ring, Lines: true})
		t.Run("torn lines", func(t *testing.T) { tornLines(t, servers[0]) })
		t.Run("ties", func(t *testing.T) { ties(t, servers) })
		t.Run("flood", func(t *testing.T) { flood(t, servers) })
	})
}

// received matches AT lines received, in the log of any peer.
var received = regexp.MustCompile(` received b?['"]AT `)

// atLines counts the AT lines for a client that the servers received from each other.
func atLines(t *testing.T, servers []*Server) (n int) {
	t.Helper()
	for _, s := range servers {
		text, err := os.ReadFile(s.Log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " client") && received.MatchString(line) {
				n++
			}
		}
	}
	return n
}

// Each update reaches all servers unchanged, at most once per direction of an edge.
func flood(t *testing.T, servers []*Server) {
	const n = 200 // at each
	var updates, questions, acks strings.Builder
	for i := range n * len(servers) {
		fmt.Fprintf(&questions, "WHATSAT client%d 10 0\n", i)
	}
	for i, s := range servers {
		updates.Reset()
		for k := range n {
			fmt.Fprintf(&updates, "IAMAT client%d +34.068930-118.445127 1520023934.%09d\n", i*n+k, k)
		}
		acks.WriteString(ask(t, s, updates.String()))
	}
	want := strings.Split(strings.TrimSuffix(acks.String(), "\n\n"), "\n\n")
	for _, s := range servers {
		processtest.Eventually(t, s.Name+" has everything", func() bool {
			return slices.Equal(firstLines(ask(t, s, questions.String())), want)
		})
	}
	// Duplicate and outdated updates are not flooded.
	old := strings.ReplaceAll(updates.String(), "1520023934", "1520023933")
	ask(t, servers[0], old+updates.String())
	for _, s := range servers {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	lines := atLines(t, servers)
	if least, most := 4*n*len(servers), 6*n*len(servers); lines < least || lines > most {
		t.Errorf("%d AT lines for %d updates, want %d to %d", lines, n*len(servers), least, most)
	}
}

// firstLines returns the AT lines of replies to WHATSAT.
func firstLines(replies string) (lines []string) {
	for reply := range strings.SplitSeq(strings.TrimSuffix(replies, "\n\n"), "\n\n") {
		line, _, _ := strings.Cut(reply, "\n")
		lines = append(lines, line)
	}
	return lines
}

// Of two records with the same time, all servers keep the same one as the herd, whatever the order of
// arrival.
func ties(t *testing.T, servers []*Server) {
	alford, ball := servers[0], servers[1]
	var want []string
	for i, c := range []struct{ lesser, greater string }{
		{"Ball +9 %s +9-9 5.00", "Welsh +1 %s +1-1 5"},                              // the origin's name decides,
		{"Ball +9 %s +9-9 5", "Ball +1 %s +1-1 5.0"},                                // then the time's text,
		{"Ball +9 %s +1-1 5", "Ball +1 %s +2-1 5"},                                  // the coordinates',
		{"Ball +1 %s +1-1 5", "Ball +2 %s +1-1 5"},                                  // the difference's
		{"Welsh +9 %s +1-1 5.0000000001", "Ball +2 %s +1-1 5.00000000010000000001"}, // no tie
	} {
		lesser, greater := fmt.Sprintf(c.lesser, fmt.Sprint("tie", i)), fmt.Sprintf(c.greater, fmt.Sprint("tie", i))
		want = append(want, "AT "+greater)
		ask(t, alford, "AT "+lesser+" Welsh\r\n")
		ask(t, ball, "AT "+greater+" Holiday\r\n")
		lesser, greater = strings.Replace(lesser, "tie", "eit", 1), strings.Replace(greater, "tie", "eit", 1)
		want = append(want, "AT "+greater)
		ask(t, alford, "AT "+greater+" Welsh\r\nAT "+lesser+" Welsh\r\n")
		ask(t, ball, "AT "+lesser+" Holiday\r\nAT "+greater+" Holiday\r\n")
	}
	var questions strings.Builder
	for _, at := range want {
		fmt.Fprintf(&questions, "WHATSAT %s 10 0\n", strings.Fields(at)[3])
	}
	for _, s := range servers {
		var got []string
		processtest.Eventually(t, s.Name+" has the greater of each two", func() bool {
			got = firstLines(ask(t, s, questions.String()))
			return slices.Equal(got, want)
		})
	}
}

// Replies are the same for every split into chunks, and for many connections.
func chunks(t *testing.T, s *Server) {
	const lines = "IAMAT kiwi +1-1 99999999\r\n\r\nhelp\nWHATSAT kiwi 10 20\nx\r\r\n"
	whole := ask(t, s, lines)
	c := dial(t, s)
	for i := range len(lines) {
		if _, err := io.WriteString(c, lines[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.CloseWrite()
	split, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, wantRest, _ := strings.Cut(whole, "\n") // the difference in the first line varies
	if _, rest, _ := strings.Cut(string(split), "\n"); rest != wantRest || !strings.HasPrefix(whole, "AT Alford +") {
		t.Errorf("in single bytes %q, at once %q", split, whole)
	}
	const n = 20000
	if got := strings.Count(ask(t, s, strings.Repeat("IAMAT kiwi +1-1 99999999\n", n)), "\n\n"); got != n {
		t.Errorf("%d replies to %d lines", got, n)
	}
}

// A line that is too long gets a reply and closes the connection, at any position in a chunk and for every
// split, and nothing after it is executed.
func longLines(t *testing.T, s *Server) {
	const tooLong = "> LINE: longer than 16384 bytes\n\n"
	longest := strings.Repeat("y", 16384)
	for _, c := range []struct{ send, want string }{
		{longest + "\r\n", "? " + longest + "\n\n"},
		{longest, "? " + longest + "\n\n"}, // ended by the end of the connection
		{longest + "y\nIAMAT moa +1-1 5\n", tooLong},
		{longest + "yy", tooLong},
		{"x\n" + longest + "y\nIAMAT moa +1-1 5\n", "? x\n\n" + tooLong},
		{"quit\n" + longest + "y\n", "> Goodbye\n\n"},
		{strings.Repeat(longest, 64), tooLong},
		{"WHATSAT moa 1 1\n", "> WHATSAT REQUEST: There is no location data at server Alford for client moa\n\n"},
	} {
		conn := dial(t, s)
		if _, err := io.WriteString(conn, c.send); err != nil {
			t.Fatal(err)
		}
		if c.want != tooLong { // found before the end of the line
			_ = conn.CloseWrite()
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != c.want {
			t.Errorf("%.40q… is answered %.80q, %v", c.send, got, err)
		}
	}
}

// A client's last line needs no LF. A neighbor's line without LF is torn and not executed, and neither is
// an AT line that is not from a neighbor.
func tornLines(t *testing.T, s *Server) {
	const at = "AT Ball +0.1 kiwi +1-1 1520023934.5 "
	for _, c := range []struct{ send, want string }{
		{"AT Ball +0.1 moa +1-1 5 Welsh\r\nAT Ball +0.1 emu +1-1 5 Welsh", ""},
		{"WHATSAT emu 1 0", "> WHATSAT REQUEST: There is no location data at server Alford for client emu\n\n"},
		{at + "Ball\r\n", "? " + at + "Ball\n\n"},   // not a neighbor of Alford
		{at + "Alford\n", "? " + at + "Alford\n\n"}, // itself
		{"AT Nobody" + at[7:] + "Welsh\n", "? AT Nobody" + at[7:] + "Welsh\n\n"},
		{"AT Ball +0.1 kiwi +91-1 5 Welsh\n\nAT Ball nan kiwi +1-1 5 Welsh\n", "? \n\n"},
		{"WHATSAT kiwi 1 0\n", "> WHATSAT REQUEST: There is no location data at server Alford for client kiwi\n\n"},
	} {
		if got := ask(t, s, c.send); got != c.want {
			t.Errorf("%q is answered %q, want %q", c.send, got, c.want)
		}
	}
	if got := firstLines(ask(t, s, "WHATSAT moa 1 0\n"))[0]; got != "AT Ball +0.1 moa +1-1 5" {
		t.Errorf("a neighbor's record is %q", got)
	}
}

// A client that sends without reading gets all its replies later, and does not delay others. The server
// stops reading from it meanwhile.
func slowReader(t *testing.T, s *Server) {
	ask(t, s, "IAMAT kiwi +1-1 5\n")
	slow := dial(t, s)
	const n = 1000 // replies of 14 KB: more than the socket buffers
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(slow, strings.Repeat("WHATSAT kiwi 10 20\n", n))
		_ = slow.CloseWrite()
		sent <- err
	}()
	if got := ask(t, s, "help\n"); !strings.HasPrefix(got, "Available commands:\n") {
		t.Errorf("help is answered %q", got)
	}
	replies, err := io.ReadAll(slow)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if got := bytes.Count(replies, []byte("\n\n")); got != n {
		t.Errorf("%d replies to %d lines", got, n)
	}

	never := dial(t, s)
	_ = never.SetWriteDeadline(time.Now().Add(time.Second))
	line := strings.Repeat("y", 16000) + "\n"
	const held = 32 << 20 // twice the socket buffers of both directions
	if written, _ := io.WriteString(never, strings.Repeat(line, 2*held/len(line))); written > held {
		t.Errorf("%d MiB were taken from a client that does not read", written>>20)
	}
}

// Lines for a neighbor that is down are lost, which is reported once. Nothing else is affected.
func TestLostNeighbor(t *testing.T) {
	each(t, func(t *testing.T, p *Peer) {
		servers := start(t, p, Options{Names: []string{"Alford", "Welsh"},
			Neighbors: map[string][]string{"Alford": {"Welsh"}, "Welsh": {"Alford"}}})
		alford, welsh := servers[0], servers[1]
		ask(t, alford, "IAMAT kiwi +1-1 5\n")
		processtest.Eventually(t, "the neighbor has it", func() bool {
			return strings.HasPrefix(ask(t, welsh, "WHATSAT kiwi 1 0\n"), "AT ")
		})
		welsh.kill()
		second := 5
		processtest.Eventually(t, "the loss is reported", func() bool {
			second++
			ask(t, alford, fmt.Sprintf("IAMAT kiwi +1-1 %d\n", second))
			return strings.HasPrefix(alford.Stderr(), "lines for Welsh are lost: ")
		})
		for begun := time.Now(); time.Since(begun) < time.Second/2; { // it dials ten times per second
			second++
			ask(t, alford, fmt.Sprintf("IAMAT kiwi +1-1 %d\n", second))
		}
		if said := alford.Stderr(); strings.Contains(said, "\n") {
			t.Errorf("unexpected message %q", said)
		}
	})
}

// Without its interpreter a peer says how to install it.
func TestMissing(t *testing.T) {
	for _, check := range [][]string{
		{"/nowhere/python3"},
		{"/bin/sh", "-c", "echo 'ModuleNotFoundError: x' >&2; exit 1"},
	} {
		p := newPeer("moa", "apt-get install moa", []string{"moa"}, check)
		if why := p.Missing(); !strings.HasPrefix(why, "moa cannot run (") || !strings.HasSuffix(why, "apt-get install moa") {
			t.Errorf("Missing returned %q", why)
		}
		if s, err := p.Start(context.Background(), Options{Dir: t.TempDir()}); err == nil || s != nil {
			t.Errorf("it is started: %v, %v", s, err)
		}
		if v := p.Version(); v != "" {
			t.Errorf("its version is %q", v)
		}
	}
}
