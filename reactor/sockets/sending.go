package sockets

import "sync/atomic"

// Sending is the state of output that is written outside of the loop. Between Begin and End the output belongs to whoever
// writes it. Begin, Busy and Unsent are for the loop; Sent and End for the writer.
type Sending struct {
	active atomic.Bool
	wanted atomic.Bool  // the Conn waits for the end
	unsent atomic.Int64 // bytes that the kernel has not taken
}

// Begin is called when n bytes are going to be written.
func (s *Sending) Begin(n int) {
	s.unsent.Store(int64(n))
	s.active.Store(true)
}

// Busy reports whether output is being written. If so, End will say that the Conn has to be notified.
func (s *Sending) Busy() bool {
	if !s.active.Load() {
		return false
	}
	s.wanted.Store(true)
	if s.active.Load() {
		return true
	}
	s.wanted.Store(false) // it ended meanwhile; an extra call of Conn.Writable does no harm
	return false
}

// Unsent implements reactor.Socket.
func (s *Sending) Unsent(wait bool) int {
	if wait && !s.Busy() {
		return 0
	}
	return int(s.unsent.Load())
}

// Sent is called when the kernel has taken n bytes.
func (s *Sending) Sent(n int) { s.unsent.Add(-int64(n)) }

// End is called when everything is written. It reports whether Conn.Writable has to be called, on the loop. It is not
// called after an error: then the unsent bytes stay counted, and nothing more is taken.
func (s *Sending) End() (notify bool) {
	s.unsent.Store(0)
	s.active.Store(false)
	return s.wanted.Swap(false)
}
