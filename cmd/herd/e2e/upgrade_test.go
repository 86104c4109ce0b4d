package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
)

// upgrade is a herd whose servers get another binary, one after the other, under load.
type upgrade struct {
	*visits
	watchers       *watchers
	stops, readies []time.Duration
}

// replace stops a server in good order and starts it with a binary, on the same journal.
func (u *upgrade) replace(name, binary string) {
	c := u.c
	c.T.Helper()
	u.loaded()
	u.watchers.all[name].restarting.Store(true)
	records := c.now(name).Records
	u.visitors[name].restarting.Store(true)
	code, took := c.terminate(name)
	if u.stops = append(u.stops, took); code != 0 {
		c.T.Errorf("%s: exit code %d", name, code)
	}
	before := len(logOf(c.Herd, name))
	c.Program = binary
	begun := time.Now()
	process := c.Start(name)
	processtest.Eventually(c.T, name+" is ready", func() bool {
		select {
		case <-process.Done:
			c.T.Fatalf("%s does not start: %s", name, process.Stderr)
		default:
		}
		st := c.Status(name)
		return st != nil && st.Ready
	})
	u.readies = append(u.readies, time.Since(begun))
	u.visitors[name].restarting.Store(false)
	u.watchers.all[name].restarting.Store(false)
	if loaded := journalLoaded(logOf(c.Herd, name)[before:]); loaded < records {
		c.T.Errorf("%s: %d records in its journal, and it had %d before it stopped", name, loaded, records)
	}
	u.linked()
}

// journalLoaded is how many records a server had in its journal, as its log says.
func journalLoaded(log string) (n uint64) {
	for line := range strings.Lines(log) {
		var e struct {
			Msg     string
			Records uint64
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == "journal loaded" {
			n = e.Records
		}
	}
	return n
}

// linked waits until all servers are linked in both directions, with the handshake.
func (u *upgrade) linked() {
	u.c.T.Helper()
	processtest.Eventually(u.c.T, "all links are live", func() bool {
		for name := range u.c.Running {
			st := u.c.Status(name)
			if st == nil {
				return false
			}
			for _, l := range st.Links {
				if l.State != "live" || !l.Receiving {
					return false
				}
			}
		}
		return true
	})
}

// commands checks that a binary's commands understand all servers, whichever version they have.
func (u *upgrade) commands(binary string) {
	c := u.c
	c.T.Helper()
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", "Alford"}, {"ready"}, {"top", "--once", "--json"},
		{"client", "watcher-Ball", "--at", "Alford"}, {"trace", "watcher-Ball"}} {
		argv := append(append([]string{binary}, args...), "--config", c.Config())
		var out, errOut string
		var code int
		processtest.Eventually(c.T, "herd "+strings.Join(args, " "), func() bool {
			out, errOut, code = processtest.Run(c.T, c.Dir, "", argv...)
			return code == 0 || code == 1 && args[0] == "trace" // updates under way: a server may be behind
		})
		if out == "" || errOut != "" && code == 0 {
			c.T.Errorf("%v: exit code %d, %q, %q", argv, code, out, errOut)
		}
	}
}

// consoles checks that each console understands all others.
func (u *upgrade) consoles() {
	c := u.c
	c.T.Helper()
	for _, name := range names {
		processtest.Eventually(c.T, name+"'s console sees all", func() bool {
			var seen struct {
				Answered, Of int
				Problems     []any
			}
			return json.Unmarshal(c.page(name, "/herd.json"), &seen) == nil && seen.Answered == len(names) &&
				seen.Of == len(names) && len(seen.Problems) == 0
		})
	}
}

// page is the answer of a server's console, nil if there is none.
func (c *cluster) page(name, path string) []byte {
	c.T.Helper()
	client, url := c.Console(name)
	r, err := client.Get(url + path)
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return nil
	}
	return text
}

// shown are the names of everything that a server's status and metrics have: fields, metrics, and their labels.
func (c *cluster) shown(name string) map[string]bool {
	c.T.Helper()
	all := map[string]bool{}
	var status any
	if err := json.Unmarshal(c.page(name, "/status.json"), &status); err == nil {
		fields(all, "status", status)
	}
	for _, m := range sample.FindAllSubmatch(c.page(name, "/metrics"), -1) {
		if !bytes.HasPrefix(m[1], []byte("herd_")) {
			continue // of the Go runtime, which has its own versions
		}
		all["metric "+string(m[1])] = true
		for _, l := range label.FindAllSubmatch(m[2], -1) {
			all[fmt.Sprintf("metric %s{%s}", m[1], l[1])] = true
		}
	}
	return all
}

var (
	sample = regexp.MustCompile(`(?m)^([a-z_0-9]+)(?:\{(.*)\})? `)
	label  = regexp.MustCompile(`([a-z_]+)="`)
)

// fields adds the names of all fields of a JSON value.
func fields(all map[string]bool, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			all[path+"."+name] = true
			fields(all, path+"."+name, field)
		}
	case []any:
		for _, element := range v {
			fields(all, path+"[]", element)
		}
	}
}

// common is what all servers show now.
func (c *cluster) common() map[string]bool {
	c.T.Helper()
	all := c.shown(names[0])
	for _, name := range names[1:] {
		other := c.shown(name)
		maps.DeleteFunc(all, func(what string, _ bool) bool { return !other[what] })
	}
	return all
}

// mustStillShow checks that some server shows each of these, as long as it may take: some are there only at times.
func (c *cluster) mustStillShow(what map[string]bool) (lost []string) {
	c.T.Helper()
	missing := maps.Clone(what)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(processtest.Patience); len(missing) > 0 && time.Now().Before(end); <-tick.C {
		for _, name := range names {
			for now := range c.shown(name) {
				delete(missing, now)
			}
		}
	}
	lost = slices.Sorted(maps.Keys(missing))
	for _, name := range lost {
		c.T.Errorf("the former version shows %s, and this one does not", name)
	}
	return lost
}

// Five servers of an earlier version get this one's binary, one after the other, under load, and then the earlier one
// again: all that is acknowledged stays, in journals that one version writes and the other reads, and nobody else notices.
func TestRollingUpgrade(t *testing.T) {
	const required = "a rolling upgrade from an earlier version and back, under load: nothing missing"
	scenario(t)
	before, version := previousBinary(t, required)
	c := newCluster(t, journaled+"[herd]\nsecret_file = \"secret\"\n", names...)
	if err := os.WriteFile(filepath.Join(c.Dir, "secret"), []byte("a secret of all five\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Program = before
	for _, name := range names {
		c.Start(name)
	}
	c.UntilLive()
	u := &upgrade{visits: c.visit(names...), watchers: c.watchers()}
	t.Cleanup(func() { // before the servers are killed
		u.stopped.Store(true)
		u.watchers.stop()
	})
	u.loaded()
	u.watchers.measured(sized(50, 1000))
	u.commands(before)
	u.commands(processtest.Binary)
	shown := c.common()

	round := func(phase, binary string) {
		t.Helper()
		u.watchers.enter(phase)
		for i, name := range names {
			u.replace(name, binary)
			if i == 1 { // mixed pairs: Alford and Ball have the other version
				u.watchers.enter("commands") // which take CPU from the servers
				u.commands(before)
				u.commands(processtest.Binary)
				u.consoles()
				u.watchers.enter(phase)
			}
		}
		u.consoles()
	}
	round("upgrade", processtest.Binary)
	lost := c.mustStillShow(shown)
	round("rollback", before)
	u.watchers.enter("after")
	u.watchers.stop()
	acked, missing := u.end()
	for _, name := range names {
		for _, other := range names {
			if n := c.missing(other, u.visitors[name].mover); n > 0 {
				t.Errorf("%s lacks %d updates that %s has acknowledged", other, n, name)
			}
		}
		if s := logOf(c.Herd, name); strings.Contains(s, "neighbor joined, legacy") || strings.Contains(s, "neighbor refused") {
			t.Errorf("%s had a link without the handshake, or refused a neighbor", name)
		}
	}
	// Alone with their journals, which both versions have written, all servers have everything.
	records := c.now(names[0]).Records
	for _, name := range names {
		if code := c.Stop(name); code != 0 {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
	c.Program = ""
	for _, name := range names {
		c.Start(name)
	}
	c.UntilLive()
	c.UntilEqual(int(records))
	for _, name := range names {
		if n := c.missing(name, u.visitors["Ball"].mover); n > 0 {
			t.Errorf("%s lacks %d updates after all were stopped", name, n)
		}
	}

	figure(t, missing == 0 && len(lost) == 0, required,
		"from %s: %d of %d updates missing, each server stopped within %.2f s, ready again %.2f s later at most",
		version, missing, acked, slices.Max(u.stops).Seconds(), slices.Max(u.readies).Seconds())
	text := []string{}
	var worst time.Duration
	for _, phase := range []string{"before", "upgrade", "rollback"} {
		p50, p99, n := u.watchers.percentiles(phase)
		text = append(text, fmt.Sprintf("%s p50 %.2f ms, p99 %.1f ms (%d)", phase, ms(p50), ms(p99), n))
		worst = max(worst, p99)
	}
	figure(t, worst <= 50*time.Millisecond, "a client's wait meanwhile: p99 50 ms", "%s", strings.Join(text, "; "))
}
