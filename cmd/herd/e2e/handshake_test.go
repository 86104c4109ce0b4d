package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

const secretly = placeless + "[herd]\nsecret_file = \"secret\"\n"

// writeSecret writes the secret file of a herd that was created with secretly.
func writeSecret(h *processtest.Herd, secret string) {
	h.T.Helper()
	if err := os.WriteFile(filepath.Join(h.Dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		h.T.Fatal(err)
	}
}

// logOf returns the content of a server's log file, "" before it exists.
func logOf(h *processtest.Herd, name string) string {
	text, _ := os.ReadFile(filepath.Join(h.Dir, "logs", "server-"+name+".log"))
	return string(text)
}

// waitForLog waits until a server's log contains a text.
func waitForLog(h *processtest.Herd, name, text string) {
	h.T.Helper()
	processtest.Eventually(h.T, name+"'s log says "+text, func() bool {
		return strings.Contains(logOf(h, name), text)
	})
}

// stranger writes the herd.toml of a foreign server that has another server, at address, as its neighbor.
func stranger(c *cluster, extra, name, neighbor, address string) *processtest.Herd {
	c.T.Helper()
	own := newCluster(c.T, "", name)
	self, other := own.Server(name), config.Server{Name: neighbor, Address: address}
	self.Neighbors, other.Neighbors = []string{neighbor}, []string{name}
	other.Listen, other.Console = "127.0.0.1:1", "127.0.0.1:2"
	return processtest.New(c.T, extra, self, other)
}

// Connections of foreign servers are refused, and both logs contain the reason.
func TestRefused(t *testing.T) {
	scenario(t)
	c := newCluster(t, secretly, names...)
	writeSecret(c.Herd, "the right secret")
	c.Start("Alford")
	address := c.Server("Alford").Address
	for _, test := range []struct {
		what, extra, name, neighbor, secret, want string
	}{
		{"a foreign herd", secretly + "name = \"usc\"\n", "Welsh", "Alford", "the right secret",
			"herd: usc instead of ucla"},
		{"a foreign name", secretly, "Kiwi", "Alford", "the right secret",
			"from: Kiwi is not a neighbor of Alford"},
		{"another's address", secretly, "Welsh", "Ball", "the right secret", "to: this is Alford, not Ball"},
		{"a wrong secret", secretly, "Welsh", "Alford", "the wrong secret", "proof"},
	} {
		h := stranger(c, test.extra, test.name, test.neighbor, address)
		writeSecret(h, test.secret)
		h.Start(test.name)
		waitForLog(c.Herd, "Alford", `"msg":"neighbor refused","reason":"`+test.want+`"`)
		waitForLog(h, test.name, `"reason":"refused by `+test.neighbor+": "+test.want+`"`)
		h.Kill(test.name)
	}
	// The address of the neighbor in herd.toml is the server's own.
	self := newCluster(t, quiet, "Hamilton", "Alford")
	misled := stranger(self, "", "Alford", "Hamilton", self.Server("Alford").Address)
	misled.Servers[0].Listen = self.Server("Alford").Listen
	self.Herd = processtest.New(t, quiet, misled.Servers...)
	self.Start("Alford")
	waitForLog(self.Herd, "Alford", `"msg":"neighbor refused","reason":"to: this is Alford, not Hamilton"`)
	waitForLog(self.Herd, "Alford", `"reason":"refused by Hamilton: to: this is Alford, not Hamilton"`)

	if s := c.now("Alford"); s.Counters.HandshakesFailed < 4 || s.Records > 0 {
		t.Errorf("%d handshakes failed, %d records", s.Counters.HandshakesFailed, s.Records)
	}
	for _, l := range c.now("Alford").Links {
		if l.Receiving {
			t.Errorf("%s is connected", l.Neighbor)
		}
	}
	figure(t, true, "refused, logged on both sides", "herd, name, address, self, secret")
}

// Two servers run with the same name.
func TestSecondServerOfOneName(t *testing.T) {
	scenario(t)
	c := newCluster(t, secretly, "Alford", "Welsh")
	writeSecret(c.Herd, "the right secret")
	c.Start("Alford")
	c.Start("Welsh")
	c.UntilLive()
	h := stranger(c, secretly, "Welsh", "Alford", c.Server("Alford").Address)
	writeSecret(h, "the right secret")
	h.Start("Welsh")
	refused := `"msg":"link down","neighbor":"Alford","address":"` + c.Server("Alford").Address +
		`","reason":"refused by Alford: duplicate: another process claims this server's name"`
	waitForLog(c.Herd, "Alford", `"msg":"neighbor refused","reason":"duplicate"`)
	waitForLog(c.Herd, "Alford", `"msg":"two processes claim one name","neighbor":"Welsh"`)
	waitForLog(h, "Welsh", refused)
	if l := c.link("Alford", "Welsh"); l.Duplicate != "refused" || l.State != "live" || !l.Receiving || l.TakenBack != 0 {
		t.Errorf("status %+v", l)
	}
	figure(t, true, "a second server of one name: refused, logged on both sides",
		"REFUSE duplicate")
	// When the first one has stopped, the second one is accepted. When the first one is started again, it is the
	// neighbor, because it is at the configured address.
	c.Kill("Welsh")
	processtest.Eventually(t, "the second is taken for a new Welsh", func() bool {
		return h.Status("Welsh").Links[0].State == "live"
	})
	c.Start("Welsh")
	started := time.Now()
	c.UntilLive()
	figure(t, time.Since(started) < 9*time.Second, "the server at the address is live although another one has its name",
		"%.2f s", time.Since(started).Seconds())
	processtest.Eventually(t, "the second is refused", func() bool {
		s := h.Status("Welsh").Links[0]
		return s.State == "down" && strings.HasPrefix(s.Error, "refused by Alford: duplicate")
	})
	if got := c.link("Alford", "Welsh").Duplicate; got != "refused" {
		t.Errorf("the warning is %q", got)
	}
	h.Kill("Welsh")
}

// Many connections send HELLO and nothing more, far more of them than there are servers.
func TestHalfOpenHandshakes(t *testing.T) {
	scenario(t)
	c := newCluster(t, quiet, "Alford", "Welsh")
	c.Start("Alford")
	processtest.Eventually(t, "Alford listens", func() bool { return c.Status("Alford") != nil })
	before := c.descriptors("Alford")
	n := sized(200, 1000)
	lasted := make([]time.Duration, n)
	var all sync.WaitGroup
	for i := range n {
		p := newPeer(c.dial("Alford"), "")
		all.Go(func() {
			if got := p.hello("Welsh", "Alford", "00000000000000aa"); !strings.HasPrefix(got, "CHALLENGE ") {
				t.Errorf("the answer to HELLO is %q", got)
			}
			begun := time.Now()
			for p.readLine() != "" {
			}
			lasted[i] = time.Since(begun)
		})
	}
	begun := time.Now()
	c.Start("Welsh")
	c.UntilLive()
	joined := time.Since(begun)
	all.Wait()
	first, last := lasted[0], lasted[0]
	for _, d := range lasted {
		first, last = min(first, d), max(last, d)
	}
	figure(t, first > 1500*time.Millisecond && last < 2500*time.Millisecond,
		"half-open handshakes cut at 2 s",
		"%d after %.2f to %.2f s; a real neighbor joined in %.2f s", n, first.Seconds(), last.Seconds(), joined.Seconds())
	processtest.Eventually(t, "their descriptors are closed", func() bool {
		return c.descriptors("Alford") < before+20
	})
	if got := c.now("Alford").Counters.HandshakesFailed; got < uint64(n) {
		t.Errorf("%d handshakes counted as failed, want %d", got, n)
	}
}

// A proof from one handshake is not valid in another one, nor in the other direction.
func TestReplayedAndReflectedHandshakes(t *testing.T) {
	scenario(t)
	c := newCluster(t, secretly, "Alford", "Welsh")
	writeSecret(c.Herd, "the right secret")
	l, err := net.Listen("tcp", c.Server("Welsh").Listen) // where Alford looks for Welsh
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.Start("Alford")
	accept := func() *peer {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return newPeer(conn, "")
	}
	// A man in the middle sends Alford's own challenge to Alford.
	dialed := accept()
	hello := strings.Fields(dialed.readLine())
	toAlford := newPeer(c.dial("Alford"), "")
	challenge := toAlford.hello("Welsh", "Alford", hello[5])
	dialed.say(challenge)
	proof := dialed.readLine()
	if !strings.HasPrefix(proof, "PROOF ") {
		t.Fatalf("Alford says %q to a challenge", proof)
	}
	toAlford.say(proof)
	if got := toAlford.readLine(); got != "REFUSE proof" {
		t.Errorf("the answer to its own proof is %q", got)
	}
	// It also sends Alford's own proof to Alford.
	dialed.say("WELCOME 00000000000000aa " + strings.Fields(proof)[1] + " - 0")
	for dialed.readLine() != "" {
		t.Error("Alford accepts its own proof")
	}
	waitForLog(c.Herd, "Alford", "neighbor's proof is wrong: secrets differ")
	// A real handshake is recorded and replayed.
	real := newPeer(c.dial("Alford"), "the right secret")
	real.hello("Welsh", "Alford", "00000000000000bb")
	proof = "PROOF " + real.mac(dialer, "PROOF")
	if got := real.prove(); !strings.HasPrefix(got, "WELCOME ") {
		t.Fatalf("the answer to the real one is %q", got)
	}
	replay := newPeer(c.dial("Alford"), "")
	replay.hello("Welsh", "Alford", "00000000000000bb")
	replay.say(proof)
	if got := replay.readLine(); got != "REFUSE proof" {
		t.Errorf("the answer to a replay is %q", got)
	}
	if s := c.now("Alford"); s.Records > 0 || !c.link("Alford", "Welsh").Receiving {
		t.Error("refused handshakes changed the status")
	}
	figure(t, true, "replayed or reflected handshakes refused", "REFUSE proof")
}
