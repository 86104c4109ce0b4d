package logging

import (
	"io"
	"sync"
	"time"
)

const (
	// BufferSize bounds the bytes of entries that wait to be written.
	BufferSize = 8 << 20
	// flushEvery is how long an entry waits at most, if the disk is well.
	flushEvery = 100 * time.Millisecond
)

// Buffer stands between a loop that must never wait and a disk that may stall: entries are
// appended to memory, and a goroutine writes them out. What does not fit is dropped and counted,
// and the next thing written says how many. Any goroutine.
type Buffer struct {
	out     io.Writer
	limit   int
	dropped func(n uint64) []byte // the entry that says so

	mu       sync.Mutex
	pending  []byte
	lost     uint64 // entries dropped since the last such entry
	total    uint64 // entries dropped in all
	closing  bool
	wake     chan struct{} // closing, or half full
	finished chan struct{}
}

// NewBuffer returns a running buffer of limit bytes in front of out. dropped makes the entry for n
// entries that were dropped.
func NewBuffer(out io.Writer, limit int, dropped func(n uint64) []byte) *Buffer {
	b := &Buffer{
		out: out, limit: limit, dropped: dropped,
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	go b.run()
	return b
}

// Write implements io.Writer with one whole entry. It never blocks and never fails.
func (b *Buffer) Write(entry []byte) (int, error) {
	b.mu.Lock()
	if b.closing || len(b.pending)+len(entry) > b.limit {
		b.lost++
		b.total++
		b.mu.Unlock()
		return len(entry), nil
	}
	before := len(b.pending)
	b.pending = append(b.pending, entry...)
	half := before < b.limit/2 && len(b.pending) >= b.limit/2
	b.mu.Unlock()
	if half {
		b.signal()
	}
	return len(entry), nil
}

// Sync implements zapcore.WriteSyncer. It does nothing: nobody on the loop may wait for a disk.
func (b *Buffer) Sync() error { return nil }

// Dropped is how many entries there was no room for.
func (b *Buffer) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// Close writes what is pending and ends the goroutine, waiting at most patience for the disk.
func (b *Buffer) Close(patience time.Duration) {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	b.signal()
	select {
	case <-b.finished:
	case <-time.After(patience):
	}
}

func (b *Buffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine. While it writes one half of the memory, entries go into the other.
func (b *Buffer) run() {
	defer close(b.finished)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	var spare []byte
	for {
		select {
		case <-ticker.C:
		case <-b.wake:
		}
		b.mu.Lock()
		batch, lost, closing := b.pending, b.lost, b.closing
		b.pending, b.lost = spare[:0], 0
		b.mu.Unlock()
		if lost > 0 {
			batch = append(batch, b.dropped(lost)...)
		}
		if len(batch) > 0 {
			// A disk that refuses costs these entries and nothing else.
			_, _ = b.out.Write(batch)
		}
		spare = batch
		if len(batch) < cap(batch)/8 {
			spare = nil // a burst's memory is not kept for ever
		}
		if closing {
			return
		}
	}
}
