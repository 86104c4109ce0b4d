package herd

import (
	"testing"
	"time"

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
	for _, dialect := range []string{"paper", "cs131"} {
		t.Run(dialect, func(t *testing.T) {
			herdtest.Play(t, "../testdata/transcripts", dialect, func(t *testing.T) herdtest.Conn {
				cfg := testConfig(ring...)
				cfg.Herd.Dialect = dialect
				w := newWorld(t, cfg)
				w.start("Alford")
				return memConn{w.dial("Alford")}
			})
		})
	}
}
