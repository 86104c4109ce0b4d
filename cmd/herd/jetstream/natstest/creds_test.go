package natstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
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
