package serverherd_test

import (
	"strings"
	"testing"
)

// Each rule of the architecture is violated once and respected once: a test of the test.
func TestArchitectureRulesCanFail(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, path, imports, body string
		want                      []string // a part of each violation, in order; none: it is allowed
	}{
		{"nothing wrong", "herd", `"time"`, "func f(t time.Time) time.Time { return t }", nil},
		{"ours in protocol", "protocol", `_ "serverherd/places"`, "",
			[]string{"imports serverherd/places: of this module protocol may import only [protocol/bom]"}},
		{"protocol in the feed", "herd/feed", `_ "serverherd/protocol"`, "", nil},
		{"herd in the feed", "herd/feed", `_ "serverherd/herd"`, "",
			[]string{"imports serverherd/herd: of this module herd/feed may import only [protocol]"}},
		{"the feed in a link", "herd/link", `_ "serverherd/herd/feed"`, "", nil},
		{"the reactor in a link", "herd/link", `_ "serverherd/reactor"`, "",
			[]string{"imports serverherd/reactor: of this module herd/link may import only [protocol herd/feed]"}},
		{"a log in a link", "herd/link", `_ "go.uber.org/zap"`, "", []string{"imports go.uber.org/zap"}},
		{"the reactor in the feed", "herd/feed", `_ "serverherd/reactor"`, "",
			[]string{"imports serverherd/reactor: of this module herd/feed may import only [protocol]"}},
		{"places in the configuration", "herd/config", "_ \"serverherd/places\"\n_ \"os\"", "", nil},
		{"herd in the configuration", "herd/config", `_ "serverherd/herd"`, "",
			[]string{"imports serverherd/herd: of this module herd/config may import only"}},
		{"the feed in the configuration", "herd/config", `_ "serverherd/herd/feed"`, "",
			[]string{"imports serverherd/herd/feed: of this module herd/config may import only"}},
		{"the configuration in access", "herd/access", `_ "serverherd/herd/config"`, "",
			[]string{"imports serverherd/herd/config: of this module herd/access may import only"}},
		{"files in herd", "herd", `_ "os"`, "", []string{"imports os: a disk blocks"}},
		{"files in the feed", "herd/feed", `_ "os"`, "", []string{"imports os: a disk blocks"}},
		{"the engine in herd", "herd", `_ "serverherd/reactor/gnetreactor"`, "",
			[]string{"imports serverherd/reactor/gnetreactor: of this module herd may import only"}},
		{"gnet in herd", "herd", `_ "github.com/panjf2000/gnet/v2"`, "",
			[]string{"imports github.com/panjf2000/gnet/v2: only cmd/herd chooses the engine"}},
		{"gnet in the engine", "reactor/gnetreactor",
			"_ \"github.com/panjf2000/gnet/v2\"\n_ \"serverherd/reactor\"", "", nil},
		{"herd in an engine", "reactor/gnetreactor", `_ "serverherd/herd"`, "",
			[]string{"imports serverherd/herd: of this module reactor/gnetreactor may import only"}},
		{"another module in reactor", "reactor", `_ "github.com/cespare/xxhash/v2"`, "",
			[]string{"imports github.com/cespare/xxhash/v2: reactor may import only the standard library"}},
		{"net in reactor", "reactor", `_ "net"`, "", []string{"imports net: only engines"}},
		{"net in memreactor", "reactor/memreactor", `_ "net"`, "", []string{"imports net: only engines"}},
		{"herd in places", "places", `_ "serverherd/protocol"`, "",
			[]string{"imports serverherd/protocol: of this module places may import only [protocol/bom]"}},
		{"herd in a provider", "places/google", `_ "serverherd/protocol"`, "",
			[]string{"imports serverherd/protocol: of this module places/google"}},
		{"anything in cmd", "cmd/herd", "_ \"serverherd/herd\"\n_ \"sync\"\n_ \"net/http\"", "", nil},

		{"NATS in cmd", "cmd/herd", `_ "github.com/nats-io/nats.go"`, "",
			[]string{"imports github.com/nats-io/nats.go: only cmd/herd/jetstream may import github.com/nats-io/..."}},
		{"a part of it in herd", "herd", `_ "github.com/nats-io/nats.go/jetstream"`, "",
			[]string{"imports github.com/nats-io/nats.go/jetstream: only cmd/herd/jetstream"}},
		{"NATS in its package", "cmd/herd/jetstream", `_ "github.com/nats-io/nats.go"`, "", nil},

		{"sync in herd", "herd", `_ "sync"`, "", []string{"imports sync: one goroutine owns"}},
		{"atomics in herd", "herd", `_ "sync/atomic"`, "", []string{"imports sync/atomic: one"}},
		{"sync in an engine", "reactor/gnetreactor", `_ "sync"`, "", nil},
		{"a goroutine", "herd", "", "func f() { go f() }", []string{"starts a goroutine: one"}},
		{"a goroutine in the journal", "herd/journal", "", "func f() { go f() }", nil},
		{"select", "reactor", "", "func f() { select {} }", []string{"uses select: one goroutine"}},
		{"a channel", "herd", "", "var c chan int", []string{"has a channel: one goroutine owns"}},
		{"a channel by way of a method", "herd", `"context"`,
			"func f(ctx context.Context) { _ = ctx.Done }", nil},
		{"its result", "herd", `"context"`,
			"func f(ctx context.Context) { wait(ctx.Done()) }\nfunc wait(any) {}",
			[]string{"has a channel: one goroutine owns"}},

		{"the clock", "protocol", `"time"`, "var t = time.Now()", []string{"uses time.Now: time is"}},
		{"the clock by another name", "herd", `clock "time"`, "var now = clock.Now",
			[]string{"uses time.Now: time is"}},
		{"time that passes", "herd", `"time"`, "func f(t time.Time) any { return time.Since(t) }",
			[]string{"uses time.Since: time is"}},
		{"a timer", "herd", `"time"`, "func f() { time.AfterFunc(1, f) }",
			[]string{"uses time.AfterFunc: time is"}},
		{"a method called After", "herd", `"time"`,
			"func f(a, b time.Time) bool { return a.After(b) }", nil},
		{"the clock in an engine", "reactor/gnetreactor", `"time"`, "var t = time.Now()", nil},

		{"global randomness", "herd", `"math/rand/v2"`, "var n = rand.IntN(6)",
			[]string{"uses math/rand/v2.IntN: randomness is an input"}},
		{"generic global randomness", "herd", `"math/rand/v2"`, "var n = rand.N(6)",
			[]string{"uses math/rand/v2.N: randomness is an input"}},
		{"the old global randomness", "herd", `"math/rand"`, "var n = rand.Intn(6)",
			[]string{"uses math/rand.Intn: randomness is an input"}},
		{"a seeded generator", "herd", `"math/rand/v2"`,
			"var r = rand.New(rand.NewPCG(1, 2))\nvar n = r.IntN(6)", nil},
		{"real randomness", "herd", `_ "crypto/rand"`, "", []string{"imports crypto/rand: randomness is"}},
		{"randomness in hashes", "herd", `_ "hash/maphash"`, "", []string{"imports hash/maphash: randomness"}},

		{"a map's order", "herd", "", "func f(m map[int]int) { for range m { f(m) } }",
			[]string{"ranges over a map: the order of a map differs"}},
		{"a named map's", "herd", "", "type m map[int]int\nfunc f(x m) { for k := range x { _ = k } }",
			[]string{"ranges over a map"}},
		{"a type parameter's", "herd", "",
			"func f[M ~map[int]int](x M) { for k := range x { _ = k } }", []string{"ranges over a map"}},
		{"a slice's", "herd", "", "func f(s []int) { for range s { f(s) } }", nil},
		{"excused on the line", "herd", "",
			"func f(m map[int]int) {\n\tfor range m { // order: only their number counts\n\t}\n}", nil},
		{"excused on the line before", "herd", "",
			"func f(m map[int]int) {\n\t// order: only their\n\t// number counts\n\tfor range m {\n\t}\n}", nil},
		{"excused without a reason", "herd", "",
			"func f(m map[int]int) {\n\t// order:\n\tfor range m {\n\t}\n}", []string{"ranges over a map"}},
		{"excused from afar", "herd", "",
			"func f(m map[int]int) {\n\t// order: no matter\n\n\tfor range m {\n\t}\n}",
			[]string{"ranges over a map"}},
		{"its keys", "herd", `"maps"`, "func f(m map[int]int) { for range maps.Keys(m) { f(m) } }",
			[]string{"iterates over a map with maps.Keys: the order of a map differs"}},
		{"its keys, sorted", "herd", "\"maps\"\n\"slices\"",
			"func f(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }", nil},
		{"a map's order in cmd", "cmd/herd", "", "func f(m map[int]int) { for range m { f(m) } }", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "package p\nimport (\n" + c.imports + "\n)\n" + c.body + "\n"
			s := w.load(t, c.path, map[string][]byte{"fixture.go": []byte(text)})
			expect(t, s.violations(layerOf(c.path), w.std), c.path+"/fixture.go:", c.want)
		})
	}
}

// The only file that may use goroutines may not use the clock, and other files may not use goroutines.
func TestArchitectureOfTheQueue(t *testing.T) {
	w := newWorld(t)
	const text = "package p\nimport (\n\"sync\"\n\"time\"\n)\n" +
		"var mu sync.Mutex\nfunc f(c chan int) { go f(c); c <- 1; _ = time.Now() }\n"
	for name, want := range map[string][]string{
		"queue.go": {"uses time.Now"},
		"loop.go":  {"imports sync", "has a channel", "starts a goroutine", "uses time.Now"},
	} {
		s := w.load(t, "reactor", map[string][]byte{name: []byte(text)})
		expect(t, unplaced(s.violations(layerOf("reactor"), w.std)), "", want)
	}
}

// Packages that are in the herd binary, also by indirect imports.
func TestArchitectureOfPrograms(t *testing.T) {
	for _, c := range []struct {
		name    string
		imports map[string]string // of each package, one or more
		want    []string
	}{
		{"nothing wrong", map[string]string{"serverherd/cmd/herd": "os serverherd/herd"}, nil},
		{"the simulation", map[string]string{"serverherd/cmd/herd": "serverherd/herd/sim"},
			[]string{"cmd/herd -> herd/sim: only the study and tests"}},
		{"the simulation, indirectly", map[string]string{
			"serverherd/cmd/herd": "serverherd/cmd/herd/load", "serverherd/cmd/herd/load": "os serverherd/herd/sim",
			"serverherd/herd/sim": "serverherd/reactor/memreactor",
		}, []string{"cmd/herd -> cmd/herd/load -> herd/sim: only the study"}},
		{"the in-memory reactor", map[string]string{"serverherd/cmd/herd": "serverherd/reactor/memreactor"},
			[]string{"cmd/herd -> reactor/memreactor: only the study"}},
		{"plotting, indirectly module", map[string]string{
			"serverherd/cmd/herd": "example.org/charts", "example.org/charts": "gonum.org/v1/plot/vg/vgsvg",
		}, []string{"cmd/herd -> example.org/charts -> gonum.org/v1/plot/vg/vgsvg: only the study"}},
		{"the study", map[string]string{"serverherd/cmd/herd": "serverherd/cmd/study/lab"},
			[]string{"cmd/herd -> cmd/study/lab: only the study"}},
		{"tests, and a circle", map[string]string{
			"serverherd/cmd/herd": "a b", "a": "b testing", "b": "a",
		}, []string{"cmd/herd -> a -> testing: only the study"}},
		{"nats-server", map[string]string{
			"serverherd/cmd/herd":           "serverherd/cmd/herd/jetstream",
			"serverherd/cmd/herd/jetstream": "github.com/nats-io/nats-server/v2/server",
		}, []string{"cmd/herd -> cmd/herd/jetstream -> github.com/nats-io/nats-server/v2/server: only tests and demon"}},
		{"in another program", map[string]string{
			"serverherd/cmd/study": "gonum.org/v1/plot", "serverherd/cmd/herd": "os"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			packages := map[string]listed{}
			for path, imports := range c.imports {
				packages[path] = listed{Imports: strings.Fields(imports)}
			}
			expect(t, programs[0].violations(packages), "", c.want)
		})
	}
}

// unplaced returns each violation once, without its line.
func unplaced(violations []string) []string {
	var kinds []string
	for _, b := range violations {
		if i := strings.Index(b, ": "); strings.Contains(b, ".go:") {
			b = b[i+2:]
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != b {
			kinds = append(kinds, b)
		}
	}
	return kinds
}

func expect(t *testing.T, got []string, place string, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d violations, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], place) || !strings.Contains(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s... %s", got[i], place, want[i])
		}
	}
}

func TestLayers(t *testing.T) {
	for path, want := range map[string]string{
		"protocol": "protocol", "reactor": "reactor", "reactor/memreactor": "reactor/memreactor",
		"reactor/netreactor": "reactor/...", "herd": "herd", "herd/feed": "herd/feed", "herd/link": "herd/link",
		"herd/config":  "herd/config",
		"herd/journal": "herd/journal/...", "herd/journal/disk": "herd/journal/...", "herd/sim": "herd/...",
		"herd/sim/mutants": "herd/sim/mutants", "cmd/herd/load": "cmd/...",
	} {
		if l := layerOf(path); l == nil || l.path != want {
			t.Errorf("%s is in layer %v, want %s", path, l, want)
		}
	}
	for _, path := range []string{"util", "protocolx", "reactors"} {
		if l := layerOf(path); l != nil {
			t.Errorf("%s is in layer %s", path, l.path)
		}
	}
}
