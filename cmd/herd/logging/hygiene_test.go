package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/cmd/herd/hygiene"
	"serverherd/herd"
)

// Whatever is in an entry or a line, the log has printable characters only, and one line for each.
func FuzzHygiene(f *testing.F) {
	for _, text := range hygiene.Texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, text := range []bool{false, true} {
			var out bytes.Buffer
			z := zap.New(zapcore.NewCore(encoder(text), zapcore.AddSync(&out), zap.InfoLevel), zap.WithClock(clock(fixedNow)))
			z.With(zap.String("with", s)).Warn(s, zap.String("s", s), zap.Error(errors.New(s)), zap.ByteString("b", []byte(s)),
				zap.Strings("all", []string{s}), zap.Any("any", map[string]string{s: s}), zap.Binary("binary", []byte(s)),
				zap.Errors("errors", []error{errors.New(s)}), zap.Stringer("stringer", stringer(s)))
			l := newLines(NewBuffer(&out, herd.LogBuffer, text, nil), fixedNow, zap.NewAtomicLevelAt(zap.DebugLevel))
			l.LineReceived(1, []byte(s))
			l.LineSent(1, []byte(s))
			l.LookupSent(1, []byte(s), s, 1, []byte(s))
			l.out.Close(time.Minute)
			if err := hygiene.Unescaped(out.Bytes()); err != nil {
				t.Fatalf("text %v, %q: %v", text, s, err)
			}
			if n := strings.Count(out.String(), "\n"); n != 4 {
				t.Fatalf("text %v, %q: %d lines in %q", text, s, n, &out)
			}
			if text {
				if n := strings.Count(out.String(), "\t"); n != 4*3 {
					t.Fatalf("%q: %d tabs in %q", s, n, &out)
				}
				continue
			}
			for line := range strings.Lines(out.String()) {
				if !json.Valid([]byte(line)) {
					t.Fatalf("%q: %q", s, line)
				}
			}
		}
	})
}

type stringer string

func (s stringer) String() string { return string(s) }
