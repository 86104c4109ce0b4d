package load

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"testing"
)

// written are so many lines of each connection, in fields.
func written(t *testing.T, o Options, n int) (all [][][][]byte) {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	for k := range o.Connections {
		l := newLines(&o, k, o.Connections)
		var mine [][][]byte
		for range n {
			line, _ := l.appendNext(nil)
			mine = append(mine, bytes.Fields(line))
		}
		all = append(all, mine)
	}
	return all
}

// All updates of a client come by one connection, later ones later: however fast each connection is
// served, none is older than what the server has. Questions are about all of them.
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

// There are as many clients as connections at least, unless fewer are asked for.
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

// Client i of n comes as often as 1/(1+i)^s has it, in updates and in questions.
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
