package logging

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"time"
)

const (
	// chunks is the number of chunks of a Buffer's memory.
	chunks = 32
	// keptChunks are kept after a burst; the others are freed.
	keptChunks = 4
	// flushEvery is the maximum delay of an entry if the disk does not stall. A full chunk is written
	// immediately.
	flushEvery = 100 * time.Millisecond
)

// Buffer decouples a loop that must never wait from a disk that may stall: entries are appended to memory,
// and a goroutine writes them. Lines are stored unencoded, and that goroutine encodes them. Entries that do
// not fit or that cannot be written are dropped and counted, and the next entry written says how many. Any
// goroutine.
type Buffer struct {
	out      io.Writer
	maintain func()                // called by the goroutine at least every flushEvery; may be nil
	size     int                   // of a chunk, in bytes
	dropped  func(n uint64) []byte // makes the entry about n dropped entries

	mu      sync.Mutex
	last    []byte   // the chunk that records are appended to
	full    [][]byte // the chunks before it, in order
	free    [][]byte
	used    int    // bytes of all chunks that are not free, including those being written
	lost    uint64 // entries dropped since the last entry about it
	total   uint64 // all entries dropped
	closing bool

	// Used by the goroutine only.
	torn    bool // the last write ended within an entry
	entries lineEncoder

	wake     chan struct{} // signaled for closing or a full chunk
	finished chan struct{}
}

// NewBuffer returns a running buffer of limit bytes in front of out. Lines are encoded in zap's console
// form if text, else in JSON. Dropped makes the entry about n dropped entries.
func NewBuffer(out io.Writer, limit int, text bool, dropped func(n uint64) []byte) *Buffer {
	b := newBuffer(out, limit, text, dropped)
	go b.run()
	return b
}

// newBuffer is NewBuffer without starting the goroutine, run.
func newBuffer(out io.Writer, limit int, text bool, dropped func(n uint64) []byte) *Buffer {
	return &Buffer{
		out: out, size: limit / chunks, dropped: dropped, entries: lineEncoder{text: text},
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
	}
}

// Write implements io.Writer for one complete entry. It never blocks and never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.add(entry, 0, time.Time{}, p, len(p))
	return len(p), nil
}

// add appends a record or counts it as dropped.
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

// grow starts a new chunk with room for n bytes, unless the buffer is full, and reports whether there is a
// full chunk to write. A record longer than a chunk gets a chunk of its own size.
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

// Sync implements zapcore.WriteSyncer. It does nothing, because the loop must not wait for a disk.
func (b *Buffer) Sync() error { return nil }

// Dropped is how many entries were dropped, because the buffer was full or a write failed.
func (b *Buffer) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// Close writes pending entries and ends the goroutine. It waits for at most timeout and reports whether the
// goroutine ended: if not, it may still be writing. Later entries are dropped.
func (b *Buffer) Close(timeout time.Duration) (ended bool) {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	b.signal()
	select {
	case <-b.finished:
		return true
	case <-time.After(timeout):
		return false
	}
}

func (b *Buffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run is the goroutine. Entries of a failed write are counted as dropped; there is no retry.
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
		if b.maintain != nil {
			b.maintain() // after take: entries added after a call of CheckFile are written after it
		}
		for _, chunk := range batch {
			b.writeChunk(chunk)
			b.release(chunk)
		}
		if lost > 0 && b.write(b.dropped(lost)) > 0 {
			b.failed(lost, 0) // they are in the total already; report them again later
		}
		if closing {
			return
		}
	}
}

// writeChunk encodes the records of a chunk and writes them, about a chunk's size at a time.
func (b *Buffer) writeChunk(chunk []byte) {
	e := &b.entries
	for len(chunk) > 0 {
		n := header + int(binary.LittleEndian.Uint32(chunk))
		e.record(chunk[:n])
		chunk = chunk[n:]
		if len(e.buf) < b.size && len(chunk) > 0 {
			continue
		}
		if failed := b.write(e.buf); failed > 0 {
			b.failed(failed, failed)
		}
		e.buf = e.buf[:0]
	}
}

// write writes complete entries and returns how many failed. After a torn entry it first writes an LF.
func (b *Buffer) write(entries []byte) (failed uint64) {
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

// failed counts entries as dropped: lost of them are to be reported, total of them are new.
func (b *Buffer) failed(lost, total uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost += lost
	b.total += total
}

// take removes all pending chunks.
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

// trim frees a chunk that a burst needed. It frees only one per call, because the burst may continue.
func (b *Buffer) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := len(b.free) - 1; k >= keptChunks {
		b.free[k], b.free = nil, b.free[:k]
	}
}

// release returns the memory of a written chunk.
func (b *Buffer) release(chunk []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= cap(chunk)
	if cap(chunk) == b.size {
		b.free = append(b.free, chunk[:0])
	}
}
