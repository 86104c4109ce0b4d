package cells

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
)

// cell is a herd with a bucket.
type cell struct {
	*processtest.Herd
	bridges []string
	fleet   *fleet
	web     http.Client // for consoles
}

// fleet knows the clients of all herds of a test.
type fleet struct {
	mu    sync.Mutex
	times map[string]string // of each client: the greatest time that a server has acknowledged
}

func newFleet() *fleet { return &fleet{times: map[string]string{}} }

// acknowledged notes that a server has a client's record.
func (f *fleet) acknowledged(id, time string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times[id] = max(f.times[id], time)
}

// newCell writes the herd.toml of a herd, whose first server is the bridge. more is in [jetstream].
func newCell(t *testing.T, f *fleet, name, url, more string, servers ...string) *cell {
	t.Helper()
	h, listeners := processtest.NewHerd(t, head("", name, url, more), servers...)
	for _, each := range listeners {
		for _, l := range each {
			l.Close() // the host is this herd's
		}
	}
	c := &cell{Herd: h, fleet: f, web: browser(nil)}
	c.bridge(servers[0])
	return c
}

// head is the beginning of a herd.toml. secret is a file; "": none.
func head(secret, name, url, more string) string {
	return fmt.Sprintf("[herd]\nname = %q\nsecret_file = %q\n[log]\nlines = false\n[jetstream]\nurl = %q\n%s\n", name, secret, url, more)
}

// bridge makes servers the bridges, before they are started.
func (c *cell) bridge(names ...string) {
	c.bridges = names
	for i := range c.Servers {
		c.Servers[i].Bridge = false
		for _, name := range names {
			c.Servers[i].Bridge = c.Servers[i].Bridge || name == c.Servers[i].Name
		}
	}
	c.Write(c.Servers...)
}

// startAll starts all servers that do not run, and waits until they listen.
func (c *cell) startAll() *cell {
	c.T.Helper()
	for _, s := range c.Servers {
		if c.Running[s.Name] == nil {
			c.Start(s.Name)
		}
	}
	for name := range c.Running {
		c.within(name+" listens", func() bool { return c.Status(name) != nil })
	}
	return c
}

// mode is what [jetstream] says about it.
func mode(name string) string { return fmt.Sprintf("mode = %q\nask_after = \"1s\"", name) }

// twoHerds starts west and east and waits until their bridges are live.
func twoHerds(t *testing.T, n *natsServer, more string) (west, east *cell) {
	t.Helper()
	west, east = newTwoHerds(t, n.url(), more)
	west.startAll()
	east.startAll()
	west.untilLive()
	east.untilLive()
	return west, east
}

func newTwoHerds(t *testing.T, url, more string) (west, east *cell) {
	t.Helper()
	f := newFleet()
	west = newCell(t, f, "west", url, more, "Alford", "Hamilton")
	east = newCell(t, f, "east", url, more, "Ball", "Holiday")
	return west, east
}

// untilLive waits until all links and bridges are live.
func (c *cell) untilLive() {
	c.T.Helper()
	c.UntilLive()
	for _, name := range c.bridges {
		c.until(name, "live", func(b *herd.BridgeStatus) bool { return b.State == herd.BridgeLive })
	}
}

// until waits until a condition holds for a server's bridge.
func (c *cell) until(name, what string, holds func(b *herd.BridgeStatus) bool) {
	c.T.Helper()
	var last herd.BridgeStatus
	defer func() {
		if c.T.Failed() {
			c.T.Logf("%s: %+v\n%s", name, last, c.log(name))
		}
	}()
	c.within(fmt.Sprintf("the bridge of %s: %s", name, what), func() bool {
		s := c.Status(name)
		if s == nil || s.Bridge == nil {
			return false
		}
		last = *s.Bridge
		return holds(&last)
	})
}

// untilDown waits until a server's bridge is down and has been tried again, and checks that this is shown, and logged once.
func (c *cell) untilDown(name, why string) {
	c.T.Helper()
	tried := uint64(0)
	c.until(name, "down, because "+why, func(b *herd.BridgeStatus) bool {
		if b.State == herd.BridgeLive || !strings.Contains(b.Error, why) {
			return false
		}
		if tried == 0 {
			tried = b.Sessions
		}
		return b.Sessions >= tried+2
	})
	c.within("/readyz shows the error", func() bool {
		code, text := c.readyz(name)
		return code == http.StatusOK && strings.Contains(text, "bridge: ")
	})
	c.within("herd status shows it", func() bool {
		out, errOut, _ := c.Command("", "status", name)
		return strings.Contains(out+errOut, "bridge ")
	})
	c.logged(name, "bridge down", 1)
}

// within waits for a condition, for longer than what a bridge does on purpose late.
func (c *cell) within(what string, holds func() bool) {
	c.T.Helper()
	within(c.T, what, holds)
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	processtest.Within(t, 3*processtest.Patience, what, holds)
}

// browser returns a client of consoles. A console may be asked many times, and the server restarted meanwhile.
func browser(dial func(ctx context.Context, network, addr string) (net.Conn, error)) http.Client {
	return http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}, Timeout: 10 * time.Second}
}

// readyz returns the answer of /readyz, or 0.
func (c *cell) readyz(name string) (code int, text string) {
	r, err := c.web.Get("http://" + c.Server(name).Console + "/readyz")
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

// log returns the log of a server.
func (c *cell) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(c.Dir, "logs", "server-"+name+".log"))
	return string(text)
}

// logged checks how often a server has logged a message. It is in the file some time after what it is about.
func (c *cell) logged(name, message string, times int) {
	c.T.Helper()
	count := func() int { return strings.Count(c.log(name), fmt.Sprintf(`"msg":%q`, message)) }
	c.within(fmt.Sprintf("%s has logged %q", name, message), func() bool { return count() >= times })
	if n := count(); n != times {
		c.T.Errorf("%s has logged %q %d times, want %d\n%s", name, message, n, times, c.log(name))
	}
}

// outages checks that a server has logged so many ends of bridges, and as many recoveries.
func (c *cell) outages(name string, n int) {
	c.T.Helper()
	c.within("the bridge of "+name+" has recovered", func() bool {
		s := c.Status(name)
		return s != nil && s.Bridge.Error == ""
	})
	c.logged(name, "bridge down", n)
	c.logged(name, "bridge recovered", n)
}

// recovered waits until everything is everywhere, and checks that each herd's first bridge was down so many times.
func recovered(t *testing.T, n *natsServer, times int, cells ...*cell) {
	t.Helper()
	settled(t, n, cells)
	for _, c := range cells {
		c.outages(c.bridges[0], times)
	}
}

// iamat sends an update, which must be acknowledged.
func (c *cell) iamat(server, id string) {
	c.T.Helper()
	now := stamp(time.Now())
	if reply := c.Ask(server, "IAMAT "+id+" +34.068930-118.445127 "+now+"\n"); !strings.HasPrefix(reply, "AT ") {
		c.T.Fatalf("%s: %q", server, reply)
	}
	c.fleet.acknowledged(id, now)
}

// whatsat asks for a client.
func (c *cell) whatsat(server, id string) string {
	c.T.Helper()
	return c.Ask(server, "WHATSAT "+id+" 10 1\n")
}

// serves checks that a herd serves clients: one server is told and each is asked.
func (c *cell) serves() {
	c.T.Helper()
	id := fmt.Sprintf("serves-%d", served.Add(1))
	told := ""
	for _, s := range c.Servers { // the last one, which usually is no bridge
		if c.Running[s.Name] != nil {
			told = s.Name
		}
	}
	c.iamat(told, id)
	for name := range c.Running {
		c.within(name+" finds what "+told+" was told", func() bool {
			return strings.HasPrefix(c.whatsat(name, id), "AT "+told+" ")
		})
	}
}

// served numbers the clients of serves.
var served atomic.Int64

// stamp returns a time as a client writes it. Those of a test are as long as each other, so they compare as texts.
func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// traffic is a client that tells a server about many others, and asks about them. Each line must be answered.
type traffic struct {
	t      *testing.T
	rounds atomic.Int64
	stop   chan struct{}
	done   chan error
}

const (
	batch = 20                    // lines without a reply
	pace  = 10 * time.Millisecond // of batches; so other tests have some of the machine
)

// traffic updates so many clients, whose ids begin with prefix, over and over.
func (c *cell) traffic(server, prefix string, clients int) *traffic {
	c.T.Helper()
	conn, err := client.Dial(context.Background(), c.Server(server).Listen, client.Options{Timeout: processtest.Patience})
	if err != nil {
		c.T.Fatal(err)
	}
	x := &traffic{t: c.T, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		defer conn.Close()
		x.done <- x.run(conn, c.fleet, prefix, clients)
	}()
	c.T.Cleanup(x.end)
	return x
}

func (x *traffic) run(conn *client.Conn, f *fleet, prefix string, clients int) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; {
		select {
		case <-x.stop:
			return nil
		case <-tick.C:
		}
		var ids, times []string
		for range batch {
			ids, times = append(ids, fmt.Sprintf("%s%d", prefix, i)), append(times, stamp(time.Now()))
			if err := conn.Send("IAMAT " + ids[len(ids)-1] + " +34.068930-118.445127 " + times[len(times)-1]); err != nil {
				return err
			}
			i = (i + 1) % clients
		}
		for k := range ids {
			if reply, err := conn.Reply("IAMAT"); err != nil || !strings.HasPrefix(reply, "AT ") {
				return fmt.Errorf("IAMAT: %q, %v", reply, err)
			}
			f.acknowledged(ids[k], times[k])
		}
		if reply, err := conn.Ask("WHATSAT " + ids[0] + " 10 1"); err != nil || !strings.HasPrefix(reply, "AT ") {
			return fmt.Errorf("WHATSAT: %q, %v", reply, err)
		}
		x.rounds.Add(1)
	}
}

// goesOn waits until so many more batches were answered.
func (x *traffic) goesOn(batches int64) {
	x.t.Helper()
	want := x.rounds.Load() + batches
	within(x.t, "clients are served", func() bool {
		select {
		case err := <-x.done:
			x.done <- err
			x.t.Fatalf("not served: %v", err)
		default:
		}
		return x.rounds.Load() >= want
	})
}

// end ends it and checks that all was answered. It may be called again.
func (x *traffic) end() {
	x.t.Helper()
	select {
	case <-x.stop:
		return
	default:
	}
	close(x.stop)
	if err := <-x.done; err != nil {
		x.t.Errorf("not served: %v", err)
	}
}

// records returns the AT lines of all clients that a server has.
func (c *cell) records(server string) (lines map[string]string, err error) {
	r, err := c.web.Get("http://" + c.Server(server).Console + "/clients.ndjson")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, errors.New(r.Status)
	}
	lines = map[string]string{}
	complete := false
	in := bufio.NewScanner(r.Body)
	for in.Scan() {
		var line struct { // see /clients.ndjson
			Client   []byte `json:"id_b64"`
			Origin   string `json:"origin"`
			Diff     string `json:"diff"`
			Coords   string `json:"coords"`
			Time     string `json:"time"`
			Complete bool   `json:"complete"`
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, err
		}
		complete = line.Complete
		if id := string(line.Client); id != "" {
			lines[id] = strings.Join([]string{"AT", line.Origin, line.Diff, id, line.Coords, line.Time}, " ")
		}
	}
	if !complete {
		return nil, fmt.Errorf("after %d clients: not complete, %v", len(lines), in.Err())
	}
	return lines, nil
}

// settled waits until nothing is missing anywhere: the bucket and all running servers of the herds have the same record of each
// client, at least as new as what was acknowledged. foreign are clients that only the bucket has.
func settled(t *testing.T, n *natsServer, cells []*cell, foreign ...string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	within(t, "the bucket and all servers agree", func() bool {
		entries, err := n.entries()
		if err != nil {
			last = err.Error()
			return false
		}
		for _, id := range foreign {
			delete(entries, id)
		}
		last = cells[0].fleet.missing("the bucket", entries)
		for _, c := range cells {
			for name := range c.Running {
				if last != "" {
					return false
				}
				last = c.differs(name, entries)
			}
		}
		return last == ""
	})
}

// missing says what a map of AT lines lacks.
func (f *fleet) missing(where string, lines map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, time := range f.times {
		line := lines[id]
		if has := line[strings.LastIndexByte(line, ' ')+1:]; has < time {
			return fmt.Sprintf("%s has %.200q, which is before %s of %.80q; it has %d of %d clients", where, line, time, id,
				len(lines), len(f.times))
		}
	}
	return ""
}

// differs says in what a server differs from the AT lines wanted.
func (c *cell) differs(server string, wanted map[string]string) string {
	lines, err := c.records(server)
	if err != nil {
		return fmt.Sprintf("%s: %v", server, err)
	}
	for id, line := range wanted {
		if lines[id] != line {
			return fmt.Sprintf("%s has %.200q, the bucket %.200q", server, lines[id], line)
		}
	}
	if len(lines) != len(wanted) {
		return fmt.Sprintf("%s has %d clients, the bucket %d", server, len(lines), len(wanted))
	}
	return c.fleet.missing(server, lines)
}
