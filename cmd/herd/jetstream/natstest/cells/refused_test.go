package cells

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// accounts is a nats-server whose user herd may use JetStream and whose user other may not.
const accounts = `accounts {
  HERDS { jetstream: enabled, users: [ { user: herd, password: "pass:word" } ] }
  OTHER { users: [ { user: other, password: secret } ] }
}`

// The credentials are wrong, and are mended while the herd runs.
func TestCredentials(t *testing.T) {
	t.Parallel()
	n := newNATS(t, accounts)
	n.login = "herd:pass%3Aword@"
	n.start()
	for _, c := range []struct{ name, creds, why string }{
		{"wrong password", "herd:guess", "check the file creds"},
		{"an account without JetStream", "other:secret", "enable it, or use an account that has it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet()
			west := newCell(t, f, "west", n.url(), mode("ask")+"\ncreds = \"creds\"", "Alford", "Hamilton")
			creds := filepath.Join(west.Dir, "creds")
			write := func(text string) {
				if err := os.WriteFile(creds+".new", []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(creds+".new", creds); err != nil {
					t.Fatal(err)
				}
			}
			write(c.creds)
			west.startAll()
			x := west.traffic("Hamilton", "west", 100)
			west.untilDown("Alford", c.why)
			x.goesOn(1)
			west.serves()
			write("herd:pass:word")
			west.untilLive()
			x.end()
			west.outages("Alford", 1)
			settledPart(t, n, west)
		})
	}
}

// settledPart is settled for a bucket with entries that a herd does not have.
func settledPart(t *testing.T, n *natsServer, c *cell) {
	t.Helper()
	within(t, "the bucket has everything", func() bool {
		entries, err := n.entries()
		return err == nil && c.fleet.missing("the bucket", entries) == ""
	})
}

// A stream of the bucket's name is something else.
func TestForeignStream(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KV_" + bucketName, Subjects: []string{"orders.>"}})
		return err
	})
	west, east := newTwoHerds(t, n.url(), mode("share"))
	west.startAll()
	east.startAll()
	x := west.traffic("Hamilton", "west", 100)
	west.untilDown("Alford", "is not a key-value bucket")
	east.untilDown("Ball", "is not a key-value bucket")
	x.goesOn(1)
	west.serves()
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, "KV_"+bucketName)
		if err != nil {
			return err
		}
		if s.CachedInfo().State.Msgs > 0 {
			return fmt.Errorf("a bridge has written to the stream of somebody else")
		}
		return js.DeleteStream(ctx, "KV_"+bucketName)
	})
	west.untilLive()
	east.untilLive()
	x.end()
	recovered(t, n, 1, west, east)
}

// Of two herds with a server of the same name the second one is refused, until it is renamed.
func TestNameClash(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	f := newFleet()
	west := newCell(t, f, "west", n.url(), mode("share"), "Alford", "Hamilton").startAll()
	west.untilLive()
	east := newCell(t, newFleet(), "east", n.url(), mode("share"), "Hamilton", "Holiday").startAll()
	x := west.traffic("Hamilton", "west", 100)
	y := east.traffic("Holiday", "east", 100)
	east.untilDown("Hamilton", `"Hamilton" is also one of herd "west"`)
	x.goesOn(10)
	y.goesOn(1)
	west.serves()
	east.serves()
	x.end()
	y.end()
	settled(t, n, []*cell{west})
	west.outages("Alford", 0)
	for name := range east.Running {
		east.Stop(name)
	}
	east = newCell(t, f, "east", n.url(), mode("share"), "Ball", "Holiday").startAll()
	east.untilLive()
	settled(t, n, []*cell{west, east})
}
