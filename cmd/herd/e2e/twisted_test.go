package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// python is Debian's, for which its package of Twisted is installed.
const python = "/usr/bin/python3"

const twistedDir = "../../../testdata/peers/twisted"

// needTwisted skips a test, visibly, if the paper's server cannot run.
func needTwisted(t *testing.T, required string) {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import twisted, tomllib").CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		notRun(t, required, fmt.Sprintf("no Twisted for %s 3.11 (%v, %s): apt-get install python3-twisted",
			python, err, lines[len(lines)-1]))
	}
}

// twisted is a process of the paper's server, in place of one of a cluster's.
type twisted struct {
	c      *cluster
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer // its standard input: it exits at the end of it
	stderr processtest.Output
}

// startTwisted starts it and waits until it listens.
func (c *cluster) startTwisted(name string) *twisted {
	c.T.Helper()
	p := &twisted{c: c, name: name}
	p.cmd = exec.Command(python, "-B", filepath.Join(twistedDir, "main.py"), name, "--until-eof",
		"--config", c.Config(), "--logs", filepath.Join(c.Dir, "twisted"))
	p.cmd.Stdout, p.cmd.Stderr = &p.stderr, &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		c.T.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(p.kill)
	processtest.Eventually(c.T, "the paper's server listens; it says "+p.stderr.String(), func() bool {
		conn, err := net.Dial("tcp", c.Server(name).Listen)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
}

// kill kills it.
func (p *twisted) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	if said := p.stderr.String(); said != "" {
		p.c.T.Errorf("the paper's server: %s", said)
	}
}

// ask sends it lines, each with CR LF, and returns the first line of each reply.
func (p *twisted) ask(lines ...string) (replies []string) {
	p.c.T.Helper()
	conn := p.c.dial(p.name)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(processtest.Patience))
	go func() { _, _ = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n") }()
	r := bufio.NewReader(conn)
	for range lines {
		first := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				p.c.T.Fatalf("%v after %d replies to %d lines", err, len(replies), len(lines))
			}
			if line == "\n" {
				break
			}
			if first == "" {
				first = strings.TrimSuffix(line, "\n")
			}
		}
		replies = append(replies, first)
	}
	return replies
}

// holds reports whether it knows the clients numbered from to-1 with the given time in seconds.
func (p *twisted) holds(from, to, second int) bool {
	p.c.T.Helper()
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("WHATSAT client%07d 10 5", i))
	}
	for _, reply := range p.ask(lines...) {
		if !strings.HasPrefix(reply, "AT ") || !strings.HasSuffix(reply, fmt.Sprint(" ", second)) {
			return false
		}
	}
	return true
}

// update sends it updates.
func (p *twisted) update(from, to, second int) {
	p.c.T.Helper()
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("IAMAT client%07d +34.068930-118.445127 %d", i, second))
	}
	for _, reply := range p.ask(lines...) {
		if !strings.HasPrefix(reply, "AT "+p.name+" +") {
			p.c.T.Fatalf("the answer to IAMAT is %q", reply)
		}
	}
}

// atLines returns how many AT lines were sent over the herd's edges, including this server's.
func (p *twisted) atLines() (n uint64) {
	p.c.T.Helper()
	n = p.c.ATSent()
	for _, neighbor := range p.c.Server(p.name).Neighbors {
		n += p.c.link(neighbor, p.name).ATReceived
	}
	return n
}

// One of the ring's five servers is the paper's: updates pass through it in both directions, also when there is no other
// path, and after a crash it receives everything from its neighbors.
func TestTwistedPeer(t *testing.T) {
	const required = "the paper's server is one of five"
	needTwisted(t, required)
	scenario(t)
	const peer = "Welsh" // between Alford and Ball
	c := newCluster(t, "[peers]\nhandshake = \"optional\"\n\n"+quiet, names...)
	for _, name := range names {
		if name != peer {
			c.Start(name)
		}
	}
	p := c.startTwisted(peer)
	plain := func() bool {
		return c.link("Alford", peer).State == "plain" && c.link("Ball", peer).State == "plain"
	}
	processtest.Eventually(t, "it is served", plain)
	c.UntilLive()
	second := 1520023934

	// An update sent to it is the same line on all servers, and so is one sent to a distant server.
	answer := p.ask("IAMAT client0000000 +34.068930-118.445127 1520023934")[0]
	c.UntilEqual(1)
	if again := p.ask("WHATSAT client0000000 10 5")[0]; again != answer {
		t.Errorf("acknowledged with %q, and answers %q", answer, again)
	}
	answer, _, _ = strings.Cut(c.Ask("Holiday", "IAMAT client0000001 +34.068930-118.445127 1520023934\n"), "\n")
	processtest.Eventually(t, "it has Holiday's update, byte for byte", func() bool {
		return p.ask("WHATSAT client0000001 10 5")[0] == answer
	})
	c.UntilEqual(2)

	// Lines per update, whichever server receives it.
	n := sized(100, 10000)
	for i, name := range names {
		from, to := 2+i*n, 2+(i+1)*n
		if name == peer {
			p.update(from, to, second)
		} else {
			c.update(name, from, to, second)
		}
	}
	records := 2 + 5*n
	c.UntilEqual(records)
	processtest.Eventually(t, "it has all of them", func() bool { return p.holds(0, records, second) })
	lines := float64(p.atLines()) / float64(records)
	figure(t, lines <= 6, "6 AT lines for an update on the mixed ring", "%.3f", lines)
	if lines > 6.5 { // it would be 7 if one sender were not excluded
		t.Errorf("%.3f AT lines for an update", lines)
	}

	// When the ring is cut, all paths lead through it.
	c.net.cut("Hamilton", "Holiday")
	second++
	c.update("Hamilton", 0, n, second)
	c.update("Holiday", n, 2*n, second)
	p.update(records, records+n, second)
	records += n
	c.UntilEqual(records)
	processtest.Eventually(t, "it has what crossed it", func() bool {
		return p.holds(0, 2*n, second) && p.holds(records-n, records, second)
	})
	c.net.heal()

	// It is killed, misses updates, and is restarted.
	p.kill()
	second++
	c.update("Hamilton", 0, records, second)
	c.UntilEqual(records)
	begun := time.Now()
	p = c.startTwisted(peer)
	processtest.Eventually(t, "it has everything again", func() bool { return p.holds(0, records, second) })
	figure(t, true, required, "%d records are back after %.1f s", records, time.Since(begun).Seconds())
	second++
	p.update(records, records+n, second)
	records += n
	c.update("Hamilton", 0, n, second)
	c.UntilEqual(records)
	processtest.Eventually(t, "everything is as before", func() bool { return plain() && p.holds(0, n, second) })
	c.UntilLive()
}

// The server in testdata has its own tests.
func TestTwistedPeersOwnTests(t *testing.T) {
	needTwisted(t, "the paper's server passes its own tests")
	cmd := exec.Command(python, "-B", "-m", "twisted.trial", "--temp-directory",
		filepath.Join(t.TempDir(), "trial"), "test_server")
	cmd.Dir = twistedDir
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASSED")) {
		t.Errorf("%v\n%s", err, out)
	}
}
