package load

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/protocol"
)

// All requests are valid, and each IAMAT has a unique time.
func TestLines(t *testing.T) {
	o := Options{Targets: make([]Target, 1), Connections: 2, Duration: 1, IAMAT: 2, WHATSAT: 1, Clients: 5, RadiusKM: 50, Bound: 20,
		Zipf: 1.5, Seed: 3, Epoch: time.Unix(1520023934, 0)}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	texts := [2]string{}
	seen := map[string]bool{}
	whatsats := 0
	for k := range 2 {
		l := newLines(&o, k, 2)
		for range 1000 {
			line, whatsat := l.appendNext(nil, 0)
			fields := bytes.Fields(line)
			if _, err := protocol.Paper.Parse(line, protocol.MaxClientID); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if whatsat {
				whatsats++
				continue
			}
			if stamp := string(fields[3]); seen[stamp] {
				t.Fatalf("the time %s stands in two lines", stamp)
			} else {
				seen[stamp] = true
			}
			texts[k] += string(line)
		}
	}
	if texts[0] == texts[1] || whatsats < 500 || whatsats > 850 {
		t.Errorf("connections say the same: %v; %d WHATSATs of 2,000, a third was wanted", texts[0] == texts[1], whatsats)
	}
}

// The same seed and epoch generate the same requests, byte for byte.
func TestASeedRepeatsItsLines(t *testing.T) {
	run := func(seed uint64) []string {
		var mu sync.Mutex
		var got []string
		o := small(scripted(t, func(n int, line string) []byte {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, line)
			return well(n, line)
		}))
		o.Connections, o.Seed, o.Epoch, o.IAMAT, o.WHATSAT = 1, seed, time.Unix(1520023934, 918963000), 3, 1
		mustRun(t, o)
		mu.Lock()
		defer mu.Unlock()
		return got
	}
	first, second, other := run(7), run(7), run(8)
	n := min(len(first), len(second), len(other))
	if n < 60 || !slices.Equal(first[:n], second[:n]) {
		t.Errorf("%d lines, the same in both runs: %v", n, slices.Equal(first[:n], second[:n]))
	}
	if slices.Equal(first[:n], other[:n]) {
		t.Error("another seed generates the same requests")
	}
}

// Without an epoch each IAMAT has the time at which it is sent, and nevertheless no two have the same.
func TestTimesAreCurrent(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"closed": func(*Options) {}, "open": func(o *Options) { o.Rate = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]bool{}
			o := small(scripted(t, func(n int, line string) []byte {
				mu.Lock()
				defer mu.Unlock()
				stamp := strings.Fields(line)[3]
				if seen[stamp] {
					t.Errorf("the time %s stands in two lines", stamp)
				}
				seen[stamp] = true
				return well(n, line)
			}))
			change(&o)
			before := time.Now()
			mustRun(t, o)
			mu.Lock()
			defer mu.Unlock()
			first, last := "9", ""
			for stamp := range seen { // all of one length
				first, last = min(first, stamp), max(last, stamp)
			}
			at := func(text string) time.Time {
				seconds, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				return time.UnixMicro(int64(math.Round(seconds * 1e6)))
			}
			if b, e := at(first), at(last); b.Before(before.Add(-time.Millisecond)) || e.After(time.Now()) || e.Sub(b) < o.Duration/4 {
				t.Errorf("times from %v to %v; it began at %v and took %v", b, e, before, o.Duration)
			}
		})
	}
}

// written returns the first requests of each connection, split into fields.
func written(t *testing.T, o Options, n int) (all [][][][]byte) {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	for k := range o.Connections {
		l := newLines(&o, k, o.Connections)
		var mine [][][]byte
		for range n {
			line, _ := l.appendNext(nil, 0)
			mine = append(mine, bytes.Fields(line))
		}
		all = append(all, mine)
	}
	return all
}

// All updates of a client use one connection, in the order of their times, so that none is outdated.
// WHATSATs use all ids.
func TestEveryUpdateIsNew(t *testing.T) {
	o := small(Target{})
	o.Connections, o.Clients, o.IAMAT, o.WHATSAT = 3, 50, 1, 1
	by, asked := map[string]int{}, map[string]bool{}
	for k, lines := range written(t, o, 2000) {
		latest := map[string]string{}
		for _, f := range lines {
			id := string(f[1])
			if string(f[0]) == "WHATSAT" {
				asked[strconv.Itoa(k)+id] = true
				continue
			}
			if other, known := by[id]; known && other != k {
				t.Fatalf("%s is updated by connections %d and %d", id, other, k)
			}
			by[id] = k
			if stamp := string(f[3]); stamp <= latest[id] { // of one length
				t.Fatalf("%s: %s comes behind %s", id, stamp, latest[id])
			} else {
				latest[id] = stamp
			}
		}
	}
	if len(by) != o.Clients || len(asked) != o.Clients*o.Connections {
		t.Errorf("%d clients of %d are updated, %d questions of %d are asked", len(by), o.Clients, len(asked),
			o.Clients*o.Connections)
	}
}

// By default there are at least as many clients as connections.
func TestHowManyClients(t *testing.T) {
	for _, c := range []struct{ connections, clients, want int }{{4, 0, 1000}, {1500, 0, 1500}, {5, 2, 2}, {1, 1, 1}} {
		o := small(Target{})
		o.Connections, o.Clients, o.Pipeline = c.connections, c.clients, 1
		ids := map[string]bool{}
		for _, lines := range written(t, o, 1+20*c.want/c.connections) {
			for _, f := range lines {
				ids[string(f[1])] = true
			}
		}
		if len(ids) > c.want || len(ids) < c.want*9/10 {
			t.Errorf("%d connections, %d clients: %d ids, want %d", c.connections, c.clients, len(ids), c.want)
		}
	}
}

// The frequency of client i is proportional to 1/(1+i)^s, in IAMATs and WHATSATs.
func TestZipf(t *testing.T) {
	const n, draws = 1000, 20_000
	for _, s := range []float64{1.1, 2} {
		o := small(Target{})
		o.Connections, o.Clients, o.Zipf, o.IAMAT, o.WHATSAT = 2, n, s, 3, 1
		count, total := make([]int, n), 0
		for _, f := range slices.Concat(written(t, o, draws)...) {
			id, err := strconv.Atoi(string(bytes.TrimPrefix(f[1], []byte("load"))))
			if err != nil || id >= n {
				t.Fatalf("%s, %v", f[1], err)
			}
			count[id]++
			total++
		}
		all := 0.0
		for i := range n {
			all += math.Pow(float64(1+i), -s)
		}
		for i := range 10 {
			p := math.Pow(float64(1+i), -s) / all
			want, spread := p*float64(total), 6*math.Sqrt(p*float64(total)) // the seed is always the same
			if math.Abs(float64(count[i])-want) > spread {
				t.Errorf("skew %g: client %d comes %d times of %d, want %.0f", s, i, count[i], total, want)
			}
		}
	}
	o := small(Target{})
	o.Clients, o.Zipf = 1, 1.5
	if id := string(written(t, o, 1)[0][0][1]); id != "load0000000" {
		t.Errorf("of one client, %s comes", id)
	}
}
