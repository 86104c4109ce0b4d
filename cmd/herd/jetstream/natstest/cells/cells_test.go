// Package cells tests what the herds of one bucket promise, with real processes of herds and of nats-server: whatever happens
// to NATS, clients are served, and afterwards nothing is missing.
package cells

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
)

// natsBinary is the program natstest/server.
var natsBinary string

// built runs the tests when natsBinary was built, too.
type built struct{ m *testing.M }

// Run implements processtest.Runner.
func (b built) Run() int {
	natsBinary = filepath.Join(filepath.Dir(processtest.Binary), "nats-server")
	if out, err := exec.Command("go", "build", "-o", natsBinary, "../server").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return b.m.Run()
}

func TestMain(m *testing.M) { processtest.Main(built{m}) }

// What any server of one herd was told is found by all servers of the other one, also when the client has changed herds.
func TestFound(t *testing.T) {
	for _, m := range []string{"share", "ask"} {
		t.Run(m, func(t *testing.T) {
			t.Parallel()
			west, east := twoHerds(t, startNATS(t, ""), mode(m))
			finds := func(here, there *cell) {
				t.Helper()
				for _, told := range here.Servers {
					id := "client-" + told.Name
					here.iamat(told.Name, id)
					for _, asked := range there.Servers {
						there.within(fmt.Sprintf("%s finds what %s was told", asked.Name, told.Name), func() bool {
							return strings.HasPrefix(there.whatsat(asked.Name, id), "AT "+told.Name+" ")
						})
					}
				}
			}
			finds(west, east)
			finds(east, west)
			for _, s := range west.Servers { // to the other herd
				id := "client-" + s.Name
				east.iamat("Holiday", id)
				for _, asked := range west.Servers {
					west.within(asked.Name+" finds a client that has moved", func() bool {
						return strings.HasPrefix(west.whatsat(asked.Name, id), "AT Holiday ")
					})
				}
			}
			if records := west.Status("Hamilton").Records; m == "ask" && records != 2 || m == "share" && records != 4 {
				t.Errorf("Hamilton has %d records", records)
			}
		})
	}
}

// In mode publish the bucket has what a herd was told, and the other herd has not.
func TestPublish(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	west, east := twoHerds(t, n, mode("publish"))
	west.iamat("Hamilton", "kiwi")
	within(t, "the bucket has it", func() bool {
		entries, err := n.entries()
		return err == nil && strings.HasPrefix(entries["kiwi"], "AT Hamilton ")
	})
	east.until("Ball", "has seen it", func(b *herd.BridgeStatus) bool { return b.Foreign == 1 && b.Applied == 0 })
	for _, s := range east.Servers {
		if reply := east.whatsat(s.Name, "kiwi"); strings.HasPrefix(reply, "AT ") {
			t.Errorf("%s: %q", s.Name, reply)
		}
	}
}
