// Command throughput measures one server over loopback, each in a process of its own: the herd's
// with line logs on and off, beside the same parser and map on a bare gnet loop and on a plain
// goroutine-per-connection net server. The rounds are interleaved, so that a noisy machine is
// noisy for all of them; it prints medians with their spread as a Markdown table.
//
//	go run ./cmd/throughput -herd bin/herd
//
// Server and loader share the machine's cores: compare the rows with each other, not with a
// figure from elsewhere.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("throughput: ")
	var (
		herd   = flag.String("herd", "bin/herd", "the herd binary")
		conns  = flag.Int("connections", 50, "connections")
		depths = flag.String("pipelines", "1,16", "lines in flight on a connection, a table column each")
		rounds = flag.Int("rounds", 5, "interleaved rounds")
		length = flag.Duration("duration", 2*time.Second, "length of one measurement")
		serve  = flag.String("serve", "", "serve as a baseline: gnet or net")
		at     = flag.String("at", "", "the baseline's address")
	)
	flag.Parse()
	if *serve != "" {
		if err := serveBaseline(*serve, *at); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := measure(*herd, *conns, *depths, *rounds, *length); err != nil {
		log.Fatal(err)
	}
}

// subject is one server that is measured.
type subject struct {
	name  string
	start func(dir string) (*server, error)
}

func subjects(herd string) []subject {
	return []subject{
		{"herd, lines logged", func(dir string) (*server, error) { return startHerd(herd, dir, "loop", true) }},
		{"the same, engine goroutines", func(dir string) (*server, error) { return startHerd(herd, dir, "goroutines", true) }},
		{"the same, engine owner", func(dir string) (*server, error) { return startHerd(herd, dir, "owner", true) }},
		{"herd, lines not logged", func(dir string) (*server, error) { return startHerd(herd, dir, "loop", false) }},
		{"the same, engine goroutines", func(dir string) (*server, error) { return startHerd(herd, dir, "goroutines", false) }},
		{"the same, engine owner", func(dir string) (*server, error) { return startHerd(herd, dir, "owner", false) }},
		{"bare gnet loop, parser and map", func(string) (*server, error) { return startBaseline("gnet") }},
		{"goroutine per connection, mutex, net", func(string) (*server, error) { return startBaseline("net") }},
	}
}

// figures are what the rounds of one subject at one depth gave.
type figures struct {
	perSecond, microseconds []float64
	void                    int // measurements that were thrown away
}

// A measurement in which the server dropped log entries says nothing about a server that logs: it
// is repeated, up to maxVoid times for each row and column, and the report says how often.
var errVoid = errors.New("the measurement is void: log entries were dropped")

const maxVoid = 20

func measure(herd string, conns int, depths string, rounds int, length time.Duration) error {
	var columns []int
	for _, d := range strings.Split(depths, ",") {
		var depth int
		if _, err := fmt.Sscan(d, &depth); err != nil || depth < 1 {
			return fmt.Errorf("-pipelines %q: not a list of whole numbers from 1", depths)
		}
		columns = append(columns, depth)
	}
	all := subjects(herd)
	results := make([][]figures, len(all))
	for i := range results {
		results[i] = make([]figures, len(columns))
	}
	for round := range rounds {
		for i, s := range all {
			for j, depth := range columns {
				perSecond, microseconds, err := one(s, conns, depth, length)
				f := &results[i][j]
				for ; errors.Is(err, errVoid) && f.void < maxVoid; f.void++ {
					perSecond, microseconds, err = one(s, conns, depth, length)
				}
				if err != nil {
					return fmt.Errorf("%s, pipeline %d: %w", s.name, depth, err)
				}
				f.perSecond = append(f.perSecond, perSecond)
				f.microseconds = append(f.microseconds, microseconds)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
	}
	print(all, columns, results, conns, rounds, length)
	return nil
}

// one starts a subject, loads it and stops it.
func one(s subject, conns, depth int, length time.Duration) (perSecond, microseconds float64, err error) {
	dir, err := os.MkdirTemp("", "throughput")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	srv, err := s.start(dir)
	if err != nil {
		return 0, 0, err
	}
	defer srv.stop()
	if _, err := load(srv.addr, conns, depth, length/4); err != nil { // warm-up
		return 0, 0, err
	}
	cpu, err := srv.cpu()
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	replies, err := load(srv.addr, conns, depth, length)
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(begun)
	after, err := srv.cpu()
	if err != nil {
		return 0, 0, err
	}
	if dropped, err := srv.dropped(); err != nil {
		return 0, 0, err
	} else if dropped > 0 {
		return 0, 0, errVoid
	}
	return float64(replies) / took.Seconds(), float64((after - cpu).Microseconds()) / float64(replies), nil
}

func print(all []subject, columns []int, results [][]figures, conns, rounds int, length time.Duration) {
	fmt.Printf("%d connections, %d rounds of %v, median [least, most], %d cores shared with the loader, %s\n\n",
		conns, rounds, length, runtime.NumCPU(), runtime.Version())
	fmt.Print("| one server, IAMAT -> AT |")
	for _, d := range columns {
		fmt.Printf(" pipeline %d: replies/s | CPU us/reply | of bare gnet |", d)
	}
	fmt.Println()
	fmt.Println("|---|" + strings.Repeat("---|", 3*len(columns)))
	const bare = 2 // the row that the last column compares with
	for i, s := range all {
		fmt.Printf("| %s |", s.name)
		for j := range columns {
			f, base := results[i][j], results[bare][j]
			var ratio []float64
			for k := range f.perSecond {
				ratio = append(ratio, f.perSecond[k]/base.perSecond[k])
			}
			fmt.Printf(" %s | %s | %s |", spread(f.perSecond, "%.0f"), spread(f.microseconds, "%.2f"),
				spread(ratio, "%.2f"))
		}
		fmt.Println()
	}
	for i, s := range all {
		for j, d := range columns {
			if n := results[i][j].void; n > 0 {
				fmt.Printf("\n%s, pipeline %d: %d measurements dropped log entries and were repeated.\n", s.name, d, n)
			}
		}
	}
}

// spread prints a median with the least and the greatest.
func spread(v []float64, format string) string {
	v = slices.Sorted(slices.Values(v))
	return fmt.Sprintf(strings.ReplaceAll("% [%, %]", "%", format), v[len(v)/2], v[0], v[len(v)-1])
}
