package link

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// Whatever is delivered and whatever room there is, everything is sent in feed order, no line more than twice, nothing
// back to where it came from, and of a series of connections each carries one line.
func TestLegacy(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		store := feed.NewStore("ucla", 1000)
		oneLine := r.IntN(2) == 0
		l := NewLegacy(&Self{Name: "Alford"}, store, oneLine)
		l.Begin(7)
		l.Connected()
		var out Output
		var sent []string // clients, of lines that were delivered or given up
		var want []string
		again := "" // was not delivered
		times := map[string]int{}
		for step := range 200 {
			if r.IntN(3) == 0 {
				client, from := fmt.Sprint("c", step), protocol.Epoch(r.IntN(2)*7)
				l, err := protocol.ParseLink(fmt.Appendf(nil, "AT Alford +0.1 %s +1-1 100 Ball", client))
				if err != nil {
					t.Fatal(err)
				}
				store.Apply(l.Record, from)
				if from != 7 {
					want = append(want, client)
				}
			}
			room := r.IntN(200) - 20
			l.Pump(room, out.Reset())
			lines := strings.Split(strings.TrimSuffix(string(out.Lines), "\r\n"), "\r\n")
			if len(out.Lines) == 0 {
				lines = nil
			}
			if len(lines) > 0 && again != "" && !strings.Contains(lines[0], " "+again+" ") {
				t.Fatalf("seed %d: %q is sent, not %s again", seed, lines[0], again)
			}
			for _, line := range lines {
				client := strings.Fields(line)[3]
				if times[client]++; times[client] > 1+map[bool]int{true: 1}[oneLine] {
					t.Fatalf("seed %d: %q is sent %d times", seed, line, times[client])
				}
				if !slices.Contains(sent, client) {
					sent = append(sent, client)
				}
			}
			if oneLine && len(lines) > 1 || l.Carries() != (oneLine && len(lines) == 1) {
				t.Fatalf("seed %d: %d lines on a connection that carries %v", seed, len(lines), l.Carries())
			}
			if l.Carries() {
				delivered := r.IntN(3) > 0
				client := strings.Fields(lines[0])[3]
				switch goesOn := l.Next(delivered); {
				case goesOn != (delivered || again == ""):
					t.Fatalf("seed %d: goes on: %v", seed, goesOn)
				case !goesOn:
					l.Next(true) // the owner would begin anew
					again = ""
				case delivered:
					again = ""
				default:
					again = client
				}
				l.Connected()
			}
		}
		if n := len(sent); n == 0 || !slices.Equal(sent, want[:n]) {
			t.Fatalf("seed %d: sent %q, want %q", seed, sent, want)
		}
	}
}
