package reactor

import "bytes"

// LineHandler is what a LineReceiver calls.
type LineHandler interface {
	// LineReceived is called for each line, without its LF and one preceding CR. The slice is valid during the call
	// only.
	LineReceived(line []byte)
	// LineLengthExceeded is called once, with the first bytes of a line that is too long, up to the maximum length.
	// Everything after them is dropped. The slice is valid during the call only.
	LineLengthExceeded(prefix []byte)
}

// LineReceiver splits a stream of bytes into lines. A line ends at LF; one CR before it belongs to the terminator. The
// result does not depend on how the stream was split into chunks. Complete lines are passed on without a copy; only
// an unfinished one is buffered. Loop only.
//
// A handler may call Pause, Resume, Stop and SetMaxLength: they take effect from the next line on.
type LineReceiver struct {
	handler LineHandler
	max     int
	tail    []byte // an unfinished line: at most max bytes, and a CR that may belong to the terminator
	rest    []byte // input after the line at which the handler paused, from restAt on
	restAt  int

	delivering bool
	paused     bool
	stopped    bool
	finished   bool // no more input follows: the tail is the last line
}

// keepTail is the maximum size of the buffer that is kept while no line is unfinished, so that one long line does not
// cost an idle connection memory.
const keepTail = 512

// NewLineReceiver returns a LineReceiver for lines of at most maxLength bytes, not counting the terminator.
func NewLineReceiver(maxLength int, h LineHandler) *LineReceiver {
	return &LineReceiver{handler: h, max: maxLength}
}

// SetMaxLength changes the maximum length of all lines that are not complete yet.
func (r *LineReceiver) SetMaxLength(n int) { r.max = n }

// Pending returns the number of bytes of an unfinished line.
func (r *LineReceiver) Pending() int { return len(r.tail) }

// Unfinished returns these bytes. They are valid until the next call.
func (r *LineReceiver) Unfinished() []byte { return r.tail }

// Discard drops the first n of them.
func (r *LineReceiver) Discard(n int) { r.tail = r.tail[:copy(r.tail, r.tail[n:])] }

// Continue declares the current line, or the given end of it, unfinished: its LF belongs to it, and the next line
// continues it. Call it from LineReceived.
func (r *LineReceiver) Continue(line []byte) { r.tail = append(bytes.Clone(line), '\n') }

// Held returns the number of bytes that were received but not processed because of Pause.
func (r *LineReceiver) Held() int { return len(r.rest) - r.restAt }

// Memory returns the capacity, in bytes, of the buffers for unfinished and held input.
func (r *LineReceiver) Memory() int { return cap(r.tail) + cap(r.rest) }

// Pause holds lines from the next one on, including those of the current chunk. Also call the Transport's
// PauseReceiving: it keeps further chunks from coming, and so limits what is held here to one chunk.
func (r *LineReceiver) Pause() { r.paused = true }

// Resume delivers held lines before it returns. If a line is being delivered, the running delivery continues with
// them instead. Another Pause by the handler is respected.
func (r *LineReceiver) Resume() {
	r.paused = false
	if r.delivering {
		return
	}
	n := r.deliver(r.rest[r.restAt:])
	if r.stopped {
		return
	}
	if r.restAt += n; r.restAt == len(r.rest) {
		r.rest, r.restAt = nil, 0
	}
	r.deliverTail()
}

// Stop drops held lines, the unfinished line, and all further input.
func (r *LineReceiver) Stop() {
	r.stopped = true
	r.tail, r.rest, r.restAt = nil, nil, 0
}

// Drop drops an unfinished line only.
func (r *LineReceiver) Drop() { r.tail = nil }

// Finish declares the end of input, and delivers an unfinished last line as if it were terminated, after held lines.
// To discard an unfinished line, call Stop instead.
func (r *LineReceiver) Finish() {
	r.finished = true
	r.deliverTail()
}

// DataReceived processes the next bytes of the stream. It does not keep p.
func (r *LineReceiver) DataReceived(p []byte) {
	if r.stopped {
		return
	}
	if !r.paused {
		p = p[r.deliver(p):]
	}
	if len(p) == 0 || r.stopped {
		return
	}
	if r.Held()+len(p) > MaxHeldInput {
		panic("reactor: LineReceiver is paused, but its Transport is not")
	}
	r.rest = append(r.rest, p...)
}

// deliver delivers the lines of p and buffers its unfinished end. It returns the number of bytes processed: all,
// unless the handler paused.
func (r *LineReceiver) deliver(p []byte) int {
	r.delivering = true
	n := 0
	for n < len(p) && !r.paused && !r.stopped {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 0 {
			r.keep(p[n:])
			n = len(p)
			break
		}
		line := p[n : n+end]
		n += end + 1
		r.line(line)
	}
	r.delivering = false
	if r.stopped {
		return len(p)
	}
	return n
}

// line delivers one line, whose beginning may be in the tail.
func (r *LineReceiver) line(line []byte) {
	if len(r.tail) == 0 {
		r.emit(line)
		return
	}
	if len(r.tail)+len(line) > r.max+1 {
		r.exceeded(line)
		return
	}
	line = append(r.tail, line...)
	r.tail = nil
	r.emit(line)
	if !r.stopped && r.tail == nil && cap(line) <= keepTail {
		r.tail = line[:0]
	}
}

func (r *LineReceiver) emit(line []byte) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > r.max {
		r.exceeded(line)
		return
	}
	r.handler.LineReceived(line)
}

// keep buffers the beginning of a line. The maximum length applies here, too: a peer that never sends LF must not fill
// the memory.
func (r *LineReceiver) keep(p []byte) {
	n := len(r.tail) + len(p)
	if n > r.max+1 || n == r.max+1 && p[len(p)-1] != '\r' {
		r.exceeded(p)
		return
	}
	r.tail = append(r.tail, p...)
}

// exceeded reports a line that consists of the tail and p.
func (r *LineReceiver) exceeded(p []byte) {
	prefix := append(r.tail, p[:max(0, min(len(p), r.max-len(r.tail)))]...)
	r.Stop()
	r.handler.LineLengthExceeded(prefix[:min(len(prefix), r.max)])
}

// deliverTail delivers the last line if the input has ended and nothing is held before it.
func (r *LineReceiver) deliverTail() {
	if !r.finished || r.paused || r.stopped || r.Held() > 0 || len(r.tail) == 0 {
		return
	}
	line := r.tail
	r.tail = nil
	r.delivering = true
	r.emit(line)
	r.delivering = false
}
