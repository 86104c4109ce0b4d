package herd

import (
	"os"
	"testing"
	"time"

	"serverherd/herd/access"
	"serverherd/herd/config"
	"serverherd/herd/herdtest"
)

// memConn is a transcript's connection in virtual time.
type memConn struct{ client }

func (c memConn) Await(done func([]byte) bool) []byte {
	c.w.net.RunUntil(time.Minute, func() bool { return c.Client.Closed() || done(c.Received()) })
	return []byte(c.Take())
}

func (c memConn) Closed() bool   { return c.Client.EOF() }
func (c memConn) Now() time.Time { return c.w.net.Now() }

func TestTranscripts(t *testing.T) {
	const root = "../testdata/transcripts"
	text, err := os.ReadFile(root + "/tokens/tokens.toml")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Parse("tokens.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		dir    string
		change func(*config.Config)
		tokens *access.Tokens
	}{
		{"", func(*config.Config) {}, nil},
		{"/open", func(*config.Config) {}, nil},
		{"/tokens", func(c *config.Config) { c.Clients.Tokens = "tokens.toml" }, tokens},
		{"/limits", func(c *config.Config) {
			c.Limits.LinesPerAddress, c.Limits.UpdatesPerClient, c.Limits.WhatsatsPerAddress = 4, 2, 2
		}, nil},
	} {
		for _, dialect := range []string{"paper", "cs131"} {
			t.Run(dialect+of.dir, func(t *testing.T) {
				herdtest.Play(t, root+of.dir, dialect, func(t *testing.T) herdtest.Conn {
					cfg := testConfig(ring...)
					cfg.Herd.Dialect = dialect
					of.change(cfg)
					w := newWorld(t, cfg)
					w.tokens = of.tokens
					w.start("Alford")
					return memConn{w.dial("Alford")}
				})
			})
		}
	}
}
