package logging

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/herd"
)

func fixedNow() time.Time { return time.Date(2018, 3, 2, 20, 58, 54, 918963997, time.UTC) }

// Entries of lines are what zap would have written, byte for byte.
func TestLinesAreAsZapWritesThem(t *testing.T) {
	for _, text := range []bool{false, true} {
		for _, line := range []string{"", "IAMAT kiwi +34.0-118.0 1", `quote " and \ slash`, "tab\tcr\r", "Zürich 東京", "\x01\x7f"[:1]} {
			var got, want bytes.Buffer
			l := &Lines{out: &got, now: fixedNow, text: text}
			l.LineReceived(7, []byte(line))
			z := zap.New(zapcore.NewCore(encoder(text), zapcore.AddSync(&want), zap.InfoLevel),
				zap.WithClock(clock(fixedNow)))
			z.Info("line received", zap.Uint64("conn", 7), zap.String("line", line), zap.Int("length", len(line)))
			if got.String() != want.String() {
				t.Errorf("text %v, %q:\ngot  %swant %s", text, line, &got, &want)
			}
		}
	}
}

// Whatever a client sends, an entry is one line and all of it prints.
func TestLinesArePrintable(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for _, line := range []string{string(all), "\x1b[31mred", "\u202egnp.exe", "\u2028\u2029\ufeff", "\U000e0001\U0001f600"} {
		var out bytes.Buffer
		l := &Lines{out: &out, now: fixedNow}
		l.LineSent(1, []byte(line))
		entry := strings.TrimSuffix(out.String(), "\n")
		for _, r := range entry {
			if r < ' ' || r == 0x7f || r == '\u202e' || r == '\u2028' || r == '\ufeff' || r == '\U000e0001' {
				t.Errorf("entry for %q holds %U: %s", line, r, entry)
			}
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var out bytes.Buffer
	l := &Lines{out: &out, now: fixedNow}
	l.LineReceived(1, bytes.Repeat([]byte{'x'}, 5000))
	if n := strings.Count(out.String(), "x"); n != maxLine || !strings.Contains(out.String(), `"length":5000`) {
		t.Errorf("%d bytes kept, want %d, and the length: %s", n, maxLine, out.String())
	}
}

// stalled is a disk that does not answer until it is released.
type stalled struct {
	entered, release chan struct{}
	once             sync.Once
	bytes.Buffer
}

func (s *stalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	return s.Buffer.Write(p)
}

func TestAStalledDiskCostsEntriesAndNoTime(t *testing.T) {
	disk := &stalled{entered: make(chan struct{}), release: make(chan struct{})}
	b := NewBuffer(disk, 1000, func(n uint64) []byte { return fmt.Appendf(nil, "dropped %d\n", n) })
	b.Write([]byte("first\n"))
	<-disk.entered // the goroutine is stuck now
	entry := []byte("0123456789012345678\n")
	for range 100 {
		b.Write(entry) // would block for ever if the caller waited for the disk
	}
	if n := b.Dropped(); n != 50 {
		t.Errorf("%d entries dropped, want 50 of 100 that are 20 bytes each", n)
	}
	close(disk.release)
	b.Close(time.Minute)
	want := "first\n" + strings.Repeat(string(entry), 50) + "dropped 50\n"
	if got := disk.String(); got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
}

func TestOpenWritesEntriesAndLines(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	l, err := Open(Options{
		Config: herd.Log{Dir: dir + "/logs", Lines: true, Level: "info", Format: "json"},
		Server: "Ball", Now: fixedNow, Stderr: &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Info("started")
	l.Lines.LineReceived(1, []byte("help"))
	l.Close()
	if got := stderr.String(); !strings.Contains(got, "started") || strings.Contains(got, "help") {
		t.Errorf("stderr: %q, want the entry and no line", got)
	}
}

func BenchmarkLineEntry(b *testing.B) {
	l := &Lines{out: NewBuffer(io.Discard, BufferSize, func(uint64) []byte { return nil }), now: time.Now}
	line := []byte("IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997")
	b.ReportAllocs()
	for b.Loop() {
		l.LineReceived(12345, line)
	}
	if n := l.out.(*Buffer).Dropped(); n > 0 {
		b.ReportMetric(float64(n)/float64(b.N), "dropped/op")
	}
}
