package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"serverherd/herd"
)

// stalled is a writer that blocks until it is released.
type stalled struct {
	entered, release chan struct{}
	once             sync.Once
	bytes.Buffer
}

func newStalled() *stalled {
	return &stalled{entered: make(chan struct{}), release: make(chan struct{})}
}

func (s *stalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	return s.Buffer.Write(p)
}

func droppedEntry(n uint64) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }

func TestAStalledDiskCostsEntriesAndNoTime(t *testing.T) {
	disk := newStalled()
	b := NewBuffer(disk, chunks*5*(header+20), false, droppedEntry)
	b.Write([]byte("first\n"))
	<-disk.entered // the goroutine blocks now, with one chunk
	entry := []byte("0123456789012345678\n")
	for range 1000 {
		b.Write(entry) // would block if it waited for the disk
	}
	const fit = (chunks - 1) * 5
	if n := b.Dropped(); n != 1000-fit {
		t.Errorf("%d entries dropped, want %d of 1,000 of 20 bytes each", n, 1000-fit)
	}
	close(disk.release)
	b.Close(time.Minute)
	want := "first\n" + strings.Repeat(string(entry), fit) + fmt.Sprintf("dropped %d\n", 1000-fit)
	if got := disk.String(); got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
}

// lockable is a writer that blocks while its mutex is held.
type lockable struct {
	sync.Mutex
	bytes.Buffer
}

func (l *lockable) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

// After a stall the memory is free again, and every dropped entry has been reported once.
func TestRoomComesBack(t *testing.T) {
	disk := &lockable{}
	b := NewBuffer(disk, chunks*(header+10), false, droppedEntry)
	written := 0
	for stall := range 5 {
		disk.Lock()
		for range 1000 {
			b.Write([]byte("12345\n"))
			written++
		}
		disk.Unlock()
		for deadline := time.Now().Add(time.Minute); !b.empty(); b.signal() {
			if time.Now().After(deadline) {
				t.Fatalf("stall %d: %d bytes stay in use", stall, b.used)
			}
		}
	}
	b.Close(time.Minute)
	reported := uint64(0)
	for line := range strings.Lines(disk.String()) {
		var n uint64
		if _, err := fmt.Sscanf(line, "dropped %d\n", &n); err == nil {
			reported += n
		} else {
			written--
		}
	}
	if reported != b.Dropped() || reported != uint64(written) || reported == 0 {
		t.Errorf("%d dropped entries reported and %d counted, of %d", reported, b.Dropped(), written)
	}
}

func (b *Buffer) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used == 0
}

func TestEntriesOfAnyLengthKeepTheirOrder(t *testing.T) {
	var out bytes.Buffer
	b := NewBuffer(&out, chunks*(header+1000), false, droppedEntry)
	var want strings.Builder
	for i, n := range []int{1, 999, 1000, 1001, 5000, 3, 0, 998, 1000, 2} {
		entry := strings.Repeat(string(rune('a'+i)), n) + "\n"
		want.WriteString(entry)
		b.Write([]byte(entry))
	}
	b.Close(time.Minute)
	if out.String() != want.String() || b.used != 0 {
		t.Errorf("%d bytes written, want %d, in order; %d bytes stay in use", out.Len(), want.Len(), b.used)
	}
}

func TestWritersDoNotMix(t *testing.T) {
	var out bytes.Buffer
	b := NewBuffer(&out, herd.LogBuffer, false, droppedEntry)
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 1000 {
				fmt.Fprintf(b, "%d %d\n", w, i)
			}
		})
	}
	group.Wait()
	b.Close(time.Minute)
	var next [8]int
	for line := range strings.Lines(out.String()) {
		var w, i int
		if _, err := fmt.Sscanf(line, "%d %d\n", &w, &i); err != nil || next[w] != i {
			t.Fatalf("%q, %v; want %d of writer %d", line, err, next[w], w)
		}
		next[w]++
	}
}

// Close returns even if the disk stalls forever.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	disk := newStalled()
	b := NewBuffer(disk, herd.LogBuffer, false, droppedEntry)
	b.Write([]byte("x\n"))
	<-disk.entered
	if b.Close(time.Millisecond) {
		t.Error("everything is written, they say, to a disk that stalls")
	}
	b.Write([]byte("too late\n"))
	if b.Dropped() != 1 {
		t.Error("an entry after Close is not counted as dropped")
	}
	close(disk.release)
	<-b.finished
}

func BenchmarkLineEntry(b *testing.B) {
	line := []byte("IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997")
	b.Run("on the loop", func(b *testing.B) {
		// Dropping entries costs no more than writing them.
		l := newLines(NewBuffer(io.Discard, herd.LogBuffer, false, droppedEntry), fixedNow, zap.NewAtomicLevel())
		b.ReportAllocs()
		for b.Loop() {
			l.LineReceived(12345, line)
		}
		l.out.Close(time.Minute)
	})
	b.Run("beside it", func(b *testing.B) {
		var e lineEncoder
		record := appendRecord(nil, lineReceived, 12345, time.Now(), line, len(line))
		b.ReportAllocs()
		for b.Loop() {
			e.buf = e.buf[:0]
			e.record(record)
		}
	})
}

// fullDisk accepts a number of bytes and then fails, until it is healed.
type fullDisk struct {
	room    int
	healed  bool
	refused chan struct{} // receives a token for each failed write
	bytes.Buffer
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if n := len(p); d.healed || n <= d.room {
		d.room -= n
		return d.Buffer.Write(p)
	}
	n, _ := d.Buffer.Write(p[:d.room])
	d.room = 0
	// The disk heals after its first failure, in the goroutine that writes.
	d.healed = true
	d.refused <- struct{}{}
	return n, errors.New("no space left on device")
}

// Entries that fail on a full disk are counted and reported, and later entries are complete lines.
func TestAFullDiskIsCounted(t *testing.T) {
	disk := &fullDisk{room: 15, refused: make(chan struct{}, 1)}
	b := NewBuffer(disk, 256*chunks, false, func(n uint64) []byte { return fmt.Appendf(nil, "dropped %d\n", n) })
	b.Write([]byte(strings.Repeat("123456789\n", 5))) // in one write, so that no tick comes between them
	b.signal()
	<-disk.refused
	b.Write([]byte("afterwards\n"))
	b.Close(time.Minute)
	if n := b.Dropped(); n != 4 {
		t.Errorf("%d entries dropped, want 4", n)
	}
	if got, want := disk.String(), "123456789\n12345\nafterwards\ndropped 4\n"; got != want {
		t.Errorf("written %q, want %q", got, want)
	}
}
