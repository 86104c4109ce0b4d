package natstest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"serverherd/herd"
)

// The file creds may have a user and a password. A wrong one is refused, and not shown.
func TestUserAndPassword(t *testing.T) {
	s := Start(t, &server.Options{Users: []*server.User{{Username: "herd", Password: "pass:word"}}})
	o := settings(s)
	o.Config.Creds = filepath.Join(t.TempDir(), "creds")
	write := func(text string) {
		if err := os.WriteFile(o.Config.Creds, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("herd:wrong-one\n")
	b := newBridge(t, o)
	if text := b.open().over(); !strings.Contains(text, "Authorization Violation: check the file creds") || strings.Contains(text, "wrong-one") {
		t.Error(text)
	}
	write("herd:pass:word\n")
	b.open().whole() // read again
}

// The permissions that the README names are enough, for a bridge that creates the bucket and for an asker, and each is needed.
func TestPermissions(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "publish:   [")
	list, _, _ = strings.Cut(list, "]")
	var publish []string
	for subject := range strings.SplitSeq(list, ",") {
		subject = strings.Trim(subject, " \n\"")
		publish = append(publish, strings.ReplaceAll(subject, "herd", "places"))
	}
	try := func(allowed []string) (wrong string) {
		s := Start(t, &server.Options{Users: []*server.User{{Username: "herd", Password: "x", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: allowed},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}})
		o := settings(s)
		o.Config.Mode, o.Config.Creds = "ask", filepath.Join(t.TempDir(), "creds")
		if err := os.WriteFile(o.Config.Creds, []byte("herd:x"), 0o600); err != nil {
			t.Fatal(err)
		}
		until := func(b *bridge, holds func() bool) (ended string) {
			b.loop.until(t, "what is wanted, or the end", func() bool {
				if b.ended != nil {
					ended = b.ended[0].Error()
				}
				return b.ended != nil || holds()
			})
			return ended
		}
		b := newBridge(t, o).open()
		if ended := until(b, func() bool { return b.complete }); ended != "" {
			return ended
		}
		if _, err := b.tryPublish([]herd.BucketPut{record("kiwi", 1)}); err != nil {
			return err.Error()
		}
		if ended := until(b, func() bool { return len(b.last) > 0 }); ended != "" {
			return ended
		}
		west := o
		west.Herd, west.Server, west.Names = "west", "Welsh", []string{"Welsh"}
		other := newBridge(t, west).open() // it reads the names of the first one
		if ended := until(other, func() bool { return other.complete }); ended != "" {
			return ended
		}
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			a := b.ask(time.Second, "kiwi")[0]
			if a.err == nil && a.value != "" {
				return ""
			}
			if a.err != nil && strings.Contains(a.err.Error(), "Permissions Violation") {
				return a.err.Error()
			}
		}
		return "no answer"
	}
	if ended := try(publish); ended != "" {
		t.Errorf("with %q: %s", publish, ended)
	}
	for i, left := range publish {
		if try(slices.Delete(slices.Clone(publish), i, i+1)) == "" {
			t.Errorf("%s is not needed", left)
		}
	}
}
