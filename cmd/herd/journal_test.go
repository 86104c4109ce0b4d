package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

const storage = "[herd]\nname = \"ucla\"\n[log]\nlines = false\n[storage]\ndir = \"journal\"\n"

// acknowledged is an acknowledged update and the time of its acknowledgement.
type acknowledged struct {
	client string
	second int
	at     time.Time
}

// writer sends updates to one server in a closed loop until the server is gone, and returns the
// acknowledged ones.
func writer(t *testing.T, h *processtest.Herd, server string, acks *[]acknowledged) {
	c, err := net.Dial("tcp", h.Server(server).Address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for second := 1; ; second++ {
		const batch = 50
		var lines strings.Builder
		for i := range batch {
			fmt.Fprintf(&lines, "IAMAT %s%d +1-1 %d\n", server, i, second)
		}
		if _, err := c.Write([]byte(lines.String())); err != nil {
			return
		}
		for range batch {
			reply, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			*acks = append(*acks, acknowledged{strings.Fields(reply)[3], second, time.Now()})
		}
	}
}

// stored is the time of a client's record at a server, in seconds; 0 if it has none.
func stored(t *testing.T, h *processtest.Herd, server string, clients []string) map[string]int {
	var lines strings.Builder
	for _, client := range clients {
		fmt.Fprintf(&lines, "WHATSAT %s 0 0\n", client)
	}
	found := map[string]int{}
	for _, line := range strings.Split(h.Ask(server, lines.String()), "\n") {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "AT" {
			found[f[3]], _ = strconv.Atoi(f[5])
		}
	}
	return found
}

// All five servers are killed at once under load: updates acknowledged 1.5 s before are not lost.
func TestAWholeHerdIsKilledAndRemembers(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, storage, processtest.Names...)
	acks := make([][]acknowledged, len(processtest.Names))
	var writers sync.WaitGroup
	for i, name := range processtest.Names {
		writers.Go(func() { writer(t, h, name, &acks[i]) })
	}
	// Long enough for some updates to be older than 1.5 s.
	begun := time.Now()
	processtest.Eventually(t, "a few seconds of load", func() bool { return time.Since(begun) > 4*time.Second })
	for _, name := range processtest.Names {
		_ = h.Running[name].Cmd.Process.Kill()
	}
	killed := time.Now()
	for _, name := range processtest.Names {
		h.Kill(name)
	}
	writers.Wait()

	due := map[string]int{}
	for _, all := range acks {
		for _, a := range all {
			if killed.Sub(a.at) > 1500*time.Millisecond {
				due[a.client] = a.second
			}
		}
	}
	if len(due) != 50*len(processtest.Names) {
		t.Fatalf("%d clients were acknowledged in time", len(due))
	}
	for _, name := range processtest.Names {
		h.Start(name)
	}
	h.UntilLive()
	h.UntilEqual(len(due))
	var clients []string
	for client := range due {
		clients = append(clients, client)
	}
	for _, name := range processtest.Names {
		found := stored(t, h, name, clients)
		for client, second := range due {
			if found[client] < second {
				t.Errorf("%s has second %d of %s; %d was acknowledged in time", name, found[client], client, second)
			}
		}
		if s := h.Status(name); s.Journal == nil || s.Journal.Loaded == 0 || !s.Journal.OK {
			t.Errorf("%s: journal %+v", name, s.Journal)
		}
	}
}

func TestServeRefusesAJournalThatItCannotUse(t *testing.T) {
	h := processtest.StartHerd(t, storage, "Alford")
	journal := filepath.Join(h.Dir, "journal")
	if _, stderr, code := h.Command("", "serve", "Alford"); code != 1 ||
		!strings.Contains(stderr, filepath.Join(journal, "Alford")+": in use by another process") {
		t.Errorf("twice: exit code %d, %q", code, stderr)
	}
	h.Ask("Alford", "IAMAT kiwi +1+1 1\n")
	if code := h.Stop("Alford"); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	h.Start("Alford")
	h.UntilEqual(1)
	h.Stop("Alford")

	config, err := os.ReadFile(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(config), `"ucla"`, `"usc"`, 1)
	if err := os.WriteFile(h.Config(), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := h.Command("", "serve", "Alford"); code != 1 ||
		!strings.Contains(stderr, "belongs to server Alford of herd ucla, not to Alford of usc") {
		t.Errorf("another herd's: exit code %d, %q", code, stderr)
	}
	if err := os.RemoveAll(journal); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := h.Command("", "serve", "Alford"); code != 1 || !strings.Contains(stderr, "storage.dir") ||
		!strings.Contains(stderr, journal) {
		t.Errorf("a file: exit code %d, %q", code, stderr)
	}
}
