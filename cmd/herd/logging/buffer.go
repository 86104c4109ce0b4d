package logging

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"time"
)

const (
	// chunks is into how many pieces a Buffer's memory is cut.
	chunks = 32
	// keptChunks are kept when a burst is over; the others go back to the heap.
	keptChunks = 4
	// flushEvery is how long an entry waits at most, if the disk is well; a full chunk does not wait.
	flushEvery = 100 * time.Millisecond
)

// Buffer stands between a loop that must never wait and a disk that may stall: entries are
// appended to memory, and a goroutine writes them out. Lines are kept as they are, and made into
// entries by that goroutine, which has the time. What does not fit, and what the disk refuses, is
// dropped and counted, and the next thing written says how many. Any goroutine.
type Buffer struct {
	out     io.Writer
	tend    func()                // called at least every flushEvery by the goroutine; or nil
	size    int                   // of a chunk, in bytes
	dropped func(n uint64) []byte // the entry that says so

	mu      sync.Mutex
	last    []byte   // the chunk that records go into
	full    [][]byte // chunks before it, in order
	free    [][]byte
	used    int    // bytes of all chunks that are not free, those being written included
	lost    uint64 // entries dropped since the last entry that said so
	total   uint64 // entries dropped in all
	closing bool

	// The goroutine's own.
	torn    bool // the disk has taken a part of an entry
	entries lineEncoder

	wake     chan struct{} // closing, or a full chunk
	finished chan struct{}
}

// NewBuffer returns a running buffer of limit bytes in front of out. Lines become entries in zap's
// console form if text, else in JSON. dropped makes the entry for n entries that were dropped.
func NewBuffer(out io.Writer, limit int, text bool, dropped func(n uint64) []byte) *Buffer {
	b := newBuffer(out, limit, text, dropped)
	go b.run()
	return b
}

// newBuffer is NewBuffer without its goroutine: nothing is written before the caller starts run.
func newBuffer(out io.Writer, limit int, text bool, dropped func(n uint64) []byte) *Buffer {
	return &Buffer{
		out: out, size: limit / chunks, dropped: dropped, entries: lineEncoder{text: text},
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
	}
}

// Write implements io.Writer with one whole entry. It never blocks and never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.add(entry, 0, time.Time{}, p, len(p))
	return len(p), nil
}

// add appends a record, or counts it as dropped.
func (b *Buffer) add(k kind, conn uint64, at time.Time, text []byte, length int) {
	n := header + len(text)
	b.mu.Lock()
	full := false
	if len(b.last)+n > cap(b.last) {
		full = b.grow(n)
	}
	if b.closing || len(b.last)+n > cap(b.last) {
		b.lost++
		b.total++
	} else {
		b.last = appendRecord(b.last, k, conn, at, text, length)
	}
	b.mu.Unlock()
	if full {
		b.signal()
	}
}

// grow starts a chunk with room for n bytes, if there may be one more, and says whether there is a
// full one now. A record longer than a chunk gets one of its own length.
func (b *Buffer) grow(n int) (full bool) {
	n = max(n, b.size)
	if b.used+n > b.size*chunks {
		return false
	}
	if len(b.last) > 0 {
		b.full = append(b.full, b.last)
	}
	if k := len(b.free) - 1; k >= 0 && n == b.size {
		b.last, b.free = b.free[k], b.free[:k]
	} else {
		b.last = make([]byte, 0, n)
	}
	b.used += n
	return len(b.full) > 0
}

// Sync implements zapcore.WriteSyncer. It does nothing: nobody on the loop may wait for a disk.
func (b *Buffer) Sync() error { return nil }

// Dropped is how many entries were lost: there was no room for them, or the disk refused them.
func (b *Buffer) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// Close writes what is pending and ends the goroutine, waiting at most patience for the disk, and
// reports whether that was enough: if not, the goroutine may still be writing to it. Entries that
// come later are dropped.
func (b *Buffer) Close(patience time.Duration) (ended bool) {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	b.signal()
	select {
	case <-b.finished:
		return true
	case <-time.After(patience):
		return false
	}
}

func (b *Buffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine. A disk that refuses costs the entries that were to be written, which are
// counted as dropped, and nothing else.
func (b *Buffer) run() {
	defer close(b.finished)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.trim()
		case <-b.wake:
		}
		batch, lost, closing := b.take()
		if b.tend != nil {
			b.tend() // behind take: what was added after a call of CheckFile is written after it
		}
		for _, chunk := range batch {
			b.writeChunk(chunk)
			b.release(chunk)
		}
		if lost > 0 && b.write(b.dropped(lost)) > 0 {
			b.refused(lost, 0) // they are in the total, and told of with the next
		}
		if closing {
			return
		}
	}
}

// writeChunk makes entries of records and writes them, so many at a time as fill a chunk.
func (b *Buffer) writeChunk(chunk []byte) {
	e := &b.entries
	for len(chunk) > 0 {
		n := header + int(binary.LittleEndian.Uint32(chunk))
		e.record(chunk[:n])
		chunk = chunk[n:]
		if len(e.buf) < b.size && len(chunk) > 0 {
			continue
		}
		if refused := b.write(e.buf); refused > 0 {
			b.refused(refused, refused)
		}
		e.buf = e.buf[:0]
	}
}

// write writes whole entries and returns how many of them the disk refused. What follows an entry
// that was torn begins on a line of its own.
func (b *Buffer) write(entries []byte) (refused uint64) {
	if b.torn {
		if _, err := b.out.Write([]byte{'\n'}); err != nil {
			return uint64(bytes.Count(entries, []byte{'\n'}))
		}
		b.torn = false
	}
	n, err := b.out.Write(entries)
	if err == nil {
		return 0
	}
	n = max(0, min(n, len(entries)))
	b.torn = n > 0 && entries[n-1] != '\n'
	return uint64(bytes.Count(entries[n:], []byte{'\n'}))
}

// refused counts entries as dropped: lost of them are to be told of, total of them are new.
func (b *Buffer) refused(lost, total uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost += lost
	b.total += total
}

// take removes all that is pending.
func (b *Buffer) take() (batch [][]byte, lost uint64, closing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch = b.full
	if len(b.last) > 0 {
		batch = append(batch, b.last)
		b.last = nil
	}
	lost = b.lost
	b.full, b.lost = nil, 0
	return batch, lost, b.closing
}

// trim gives back what a burst needed, a chunk at a time: it may not be over.
func (b *Buffer) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := len(b.free) - 1; k >= keptChunks {
		b.free[k], b.free = nil, b.free[:k]
	}
}

// release gives a written chunk's memory back.
func (b *Buffer) release(chunk []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= cap(chunk)
	if cap(chunk) == b.size {
		b.free = append(b.free, chunk[:0])
	}
}
