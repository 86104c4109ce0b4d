package cells

import (
	"net/http"
	"strings"
	"testing"

	"serverherd/herd"
)

// A herd has two bridges. One is killed while it publishes, or between a put and its ACK, and started again.
func TestTwoBridges(t *testing.T) {
	t.Parallel()
	for _, suspended := range []bool{false, true} {
		t.Run(map[bool]string{false: "publishing", true: "before the ACK"}[suspended], func(t *testing.T) {
			t.Parallel()
			n := startNATS(t, "")
			west, east := newTwoHerds(t, n.url(), mode("share"))
			west.bridge("Alford", "Hamilton")
			west.startAll()
			east.startAll()
			west.untilLive()
			east.untilLive()
			for _, killed := range []string{"Alford", "Hamilton"} {
				other := map[string]string{"Alford": "Hamilton", "Hamilton": "Alford"}[killed]
				x := west.traffic(other, "west", 500)
				x.goesOn(10)
				if suspended {
					n.suspend()
					defer n.resume()
					west.until(killed, "it waits for ACKs", func(b *herd.BridgeStatus) bool { return b.Behind >= 500 })
				}
				west.Kill(killed)
				n.resume()
				x.goesOn(30)
				west.serves()
				x.end()
				settled(t, n, []*cell{west, east})
				west.logged(other, "bridge down", 0)
				west.startAll()
				west.untilLive()
				settled(t, n, []*cell{west, east})
			}
		})
	}
}

// All servers of a herd are killed. They have no journal, and get their records from the bucket before they are ready.
func TestRestored(t *testing.T) {
	for _, m := range []string{"publish", "share"} {
		t.Run(m, func(t *testing.T) {
			t.Parallel()
			n := startNATS(t, "")
			west, east := twoHerds(t, n, mode(m))
			x := west.traffic("Hamilton", "west", 500)
			x.goesOn(30)
			x.end()
			settledPart(t, n, west)
			before, err := west.records("Hamilton")
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range west.Servers {
				west.Kill(s.Name)
			}
			n.suspend()
			defer n.resume()
			west.startAll()
			west.within("it waits for the bucket", func() bool {
				code, text := west.readyz("Alford")
				return code == http.StatusServiceUnavailable && strings.Contains(text, "records in the bucket")
			})
			n.resume()
			west.within("it is ready", func() bool {
				code, _ := west.readyz("Alford")
				return code == http.StatusOK
			})
			if b := west.Status("Alford").Bridge; !b.Restored {
				t.Errorf("ready without what is in the bucket: %+v", b)
			}
			for _, s := range west.Servers {
				last := ""
				west.within(s.Name+" has all records", func() bool {
					last = west.differs(s.Name, before)
					return last == ""
				})
			}
			west.serves()
			east.serves()
			west.logged("Alford", "records restored", 2) // at the first start there were none
		})
	}
}
