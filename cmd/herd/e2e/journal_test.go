package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

const journaled = unlogged + "[storage]\ndir = \"journal\"\n"

// untilWritten waits until a server's journal has no error and lacks no record, and returns how long that took.
func (c *cluster) untilWritten(name string) time.Duration {
	c.T.Helper()
	begun := time.Now()
	processtest.Eventually(c.T, "everything is on the disk", func() bool {
		j := c.now(name).Journal
		return j.OK && j.Behind == 0
	})
	return time.Since(begun)
}

// confirmed is an update that a server has acknowledged.
type confirmed struct {
	client, second int
	at             time.Time
}

// paced sends batches of updates, one every ten milliseconds, to a server for d or until it is gone, and returns what was
// acknowledged. Each update is for a random one of a million clients, and has a later time than all before.
func (c *cluster) paced(name string, each int, d time.Duration) []confirmed {
	conn, err := net.Dial("tcp", c.Server(name).Listen)
	if err != nil {
		c.T.Error(err)
		return nil
	}
	defer conn.Close()
	// The batches, in order, let the reader match replies with clients.
	type batch struct{ client, second int }
	sent := make(chan batch, 1<<20)
	go func() {
		defer close(sent)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		client := 1
		for second := 1; second <= int(d/(10*time.Millisecond)); second++ {
			var lines strings.Builder
			for range each {
				client = (client*1664525 + 1013904223) & 0xffffffff
				sent <- batch{client % 1_000_000, second}
				fmt.Fprintf(&lines, "IAMAT client%07d +34.068930-118.445127 %d\n", client%1_000_000, second)
			}
			if _, err := conn.Write([]byte(lines.String())); err != nil {
				return
			}
			<-tick.C
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	var all []confirmed
	in := bufio.NewReaderSize(conn, 64<<10)
	for b := range sent {
		line, err := in.ReadSlice('\n')
		if err != nil || len(line) < 2 {
			break
		}
		if _, err := in.ReadSlice('\n'); err != nil {
			break
		}
		all = append(all, confirmed{b.client, b.second, time.Now()})
	}
	for range sent { // what was sent and not acknowledged
	}
	return all
}

// Measures how far the disk is behind at 50,000 updates a second. A kill -9 must not lose what was acknowledged more than
// 1.5 s before.
func TestJournalAtFullSpeed(t *testing.T) {
	scenario(t)
	c := newCluster(t, journaled+processtest.Embedded, "Alford")
	c.Start("Alford")
	c.now("Alford")
	each := sized(20, 500)
	seconds := sized(3*time.Second, 20*time.Second)
	var stop atomic.Bool
	acks := make(chan []confirmed, 1)
	go func() {
		acks <- c.paced("Alford", each, seconds)
		stop.Store(true)
	}()
	var late []float64
	behind := uint64(0)
	for begun := time.Now(); !stop.Load() && time.Since(begun) < seconds-time.Second; {
		if s := c.Status("Alford"); s != nil {
			late = append(late, s.Journal.Late)
			behind = max(behind, s.Journal.Behind)
		}
	}
	c.Kill("Alford")
	killed := time.Now()
	all := <-acks
	if len(late) < 10 || len(all) == 0 {
		t.Fatalf("%d looks, %d updates", len(late), len(all))
	}
	slices.Sort(late)
	p99 := late[len(late)*99/100]
	rate := float64(len(all)) / all[len(all)-1].at.Sub(all[0].at).Seconds()
	figure(t, p99 < 1.5, "journal at 50,000 updates/s: lag below 1.5 s",
		"%.0f updates/s: the oldest unwritten p50 %.0f ms, p99 %.0f ms, most %.0f ms; %d records at most",
		rate, 1000*late[len(late)/2], 1000*p99, 1000*late[len(late)-1], behind)

	due := map[int]int{}
	for _, a := range all {
		if killed.Sub(a.at) > 1500*time.Millisecond {
			due[a.client] = a.second
		}
	}
	c.Start("Alford")
	c.now("Alford")
	asked := map[int]int{}
	for client, second := range due {
		if asked[client] = second; len(asked) == 2000 {
			break
		}
	}
	missing := 0
	for client, second := range c.times("Alford", asked) {
		if second < due[client] {
			missing++
		}
	}
	if missing > 0 || len(due) == 0 {
		t.Errorf("%d of %d clients have lost what was acknowledged 1.5 s before the kill", missing, len(asked))
	}
	if s := c.now("Alford"); s.Records < uint64(len(due)) {
		t.Errorf("%d records; %d clients were acknowledged in time", s.Records, len(due))
	}
	figure(t, missing == 0, "kill -9 then: nothing acknowledged 1.5 s before is missing", "%d of %d missing",
		missing, len(asked))
}

// times asks a server for the time of each client's record; 0 if it has none.
func (c *cluster) times(name string, clients map[int]int) map[int]int {
	c.T.Helper()
	conn := c.dial(name)
	defer conn.Close()
	go func() {
		w := bufio.NewWriter(conn)
		for client := range clients {
			fmt.Fprintf(w, "WHATSAT client%07d 0 0\n", client)
		}
		_ = w.Flush()
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	found := map[int]int{}
	for client := range clients {
		found[client] = 0
	}
	in := bufio.NewScanner(conn)
	for in.Scan() {
		var client, second int
		var server, diff, coords string
		n, _ := fmt.Sscanf(in.Text(), "AT %s %s client%d %s %d", &server, &diff, &client, &coords, &second)
		if n == 5 {
			found[client] = second
		}
	}
	return found
}

// Measures how long a server takes to start with a million records.
func TestJournalOfAMillion(t *testing.T) {
	scenario(t)
	c := newCluster(t, journaled+processtest.Embedded, "Alford")
	c.Start("Alford")
	c.now("Alford")
	n := sized(20_000, 1_000_000)
	c.update("Alford", 0, n, 1520023934)
	processtest.Within(t, 5*processtest.Patience, "all are on the disk", func() bool {
		return c.now("Alford").Journal.Behind == 0
	})
	c.Kill("Alford")
	begun := time.Now()
	c.Start("Alford")
	s := c.now("Alford")
	took := time.Since(begun)
	if s.Records != uint64(n) || s.Journal.Loaded != uint64(n) {
		t.Errorf("%d records, %d loaded, want %d", s.Records, s.Journal.Loaded, n)
	}
	figure(t, s.Journal.LoadTime <= 5, "1,000,000 records from the journal: 5 s",
		"%d records in %.2f s; from the start to the first answer %.2f s; %.0f bytes a record on the disk",
		n, s.Journal.LoadTime, took.Seconds(), float64(size(t, c.Dir+"/journal"))/float64(n))
}

// size returns the size of all files in a directory.
func size(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, e := d.Info(); e == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// A full disk only delays the journal, and when there is room again everything is written.
func TestJournalOnAFullDisk(t *testing.T) {
	const required = "a full disk: clients are served, everything is written once there is room"
	scenario(t)
	disk := t.TempDir()
	tmpfs(t, disk, required, 64<<20)
	c := newCluster(t, unlogged+fmt.Sprintf("[storage]\ndir = %q\n", disk), "Alford")
	c.startAll()
	c.update("Alford", 0, 1000, 1)
	processtest.Eventually(t, "the first are on the disk", func() bool { return c.now("Alford").Journal.Behind == 0 })

	filler := fill(t, disk)
	// Enough to exceed the space that the log has preallocated.
	second := 2
	processtest.Eventually(t, "the journal reports an error", func() bool {
		c.update("Alford", 0, 20_000, second)
		second++
		return strings.Contains(c.now("Alford").Journal.Error, "no space left on device")
	})
	c.update("Alford", 0, 20_000, second) // continues to work
	said, _, code := c.Command("", "status")
	if code != 1 || !strings.Contains(said, "Alford: journal behind by ") {
		t.Errorf("herd status with a journal that has failed: exit code %d, %q", code, said)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	took := c.untilWritten("Alford")
	c.Kill("Alford")
	c.Start("Alford")
	if s := c.now("Alford"); s.Records != 20_000 || s.Journal.Loaded != 20_000 {
		t.Errorf("%d records, %d loaded", s.Records, s.Journal.Loaded)
	}
	for client, got := range c.times("Alford", map[int]int{0: 0, 19_999: 0}) {
		if got != second {
			t.Errorf("client %d has second %d, want %d", client, got, second)
		}
	}
	figure(t, true, required, "written %.1f s after there was room", took.Seconds())
}
