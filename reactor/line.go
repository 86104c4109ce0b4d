package reactor

import "bytes"

// LineHandler is what a LineReceiver calls.
type LineHandler interface {
	// LineReceived is called for each line, without its LF and one CR before that. The slice is
	// valid during the call only.
	LineReceived(line []byte)
	// LineLengthExceeded is called once, with the first bytes of a line that is too long, as many
	// as a line may have. Everything after it is dropped. The slice is valid during the call only.
	LineLengthExceeded(prefix []byte)
}

// LineReceiver cuts a stream of bytes into lines: a line ends at LF, and one CR before it belongs
// to the terminator. Where the stream was cut on its way changes nothing. Whole lines are handed
// over where they are, without a copy; only an unfinished one is kept. Loop only.
//
// A handler may call Pause, Resume, Stop and SetMaxLength while it is called: they hold for the
// lines after the one in hand.
type LineReceiver struct {
	handler LineHandler
	max     int
	tail    []byte // an unfinished line: at most max bytes, and a CR that may belong to an LF
	rest    []byte // what came after the line that paused, from restAt on
	restAt  int

	delivering bool
	paused     bool
	stopped    bool
	finished   bool // no more input follows: the tail is a line
}

// keepTail is how large a buffer is kept while no line is unfinished, so that one long line does
// not cost an idle connection memory ever after.
const keepTail = 512

// NewLineReceiver returns a receiver of lines of at most maxLength bytes, terminator not counted.
func NewLineReceiver(maxLength int, h LineHandler) *LineReceiver {
	return &LineReceiver{handler: h, max: maxLength}
}

// SetMaxLength changes the limit for all lines that are not complete yet.
func (r *LineReceiver) SetMaxLength(n int) { r.max = n }

// Pending is the number of bytes of an unfinished line.
func (r *LineReceiver) Pending() int { return len(r.tail) }

// Unfinished is those bytes. They are valid until the next call.
func (r *LineReceiver) Unfinished() []byte { return r.tail }

// Discard drops the first n of them.
func (r *LineReceiver) Discard(n int) { r.tail = r.tail[:copy(r.tail, r.tail[n:])] }

// Continue says that the line in hand, or the end of it that is given, is not over: its LF belongs to
// it, and the next line goes on with it. Call it from LineReceived.
func (r *LineReceiver) Continue(line []byte) { r.tail = append(bytes.Clone(line), '\n') }

// Held is the number of bytes that came and were not looked at because of Pause.
func (r *LineReceiver) Held() int { return len(r.rest) - r.restAt }

// Memory is the capacity, in bytes, of the buffers for both.
func (r *LineReceiver) Memory() int { return cap(r.tail) + cap(r.rest) }

// Pause holds lines, from the next one on, also those of the chunk at hand. It goes together with
// the Transport's PauseReceiving, which keeps further chunks from coming and so bounds what is
// held here to one.
func (r *LineReceiver) Pause() { r.paused = true }

// Resume hands over what was held, before it returns unless a line is being handed over right
// now: then that call goes on with it. Another Pause on the way is obeyed.
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

// Stop drops what is held, the unfinished line, and everything that comes.
func (r *LineReceiver) Stop() {
	r.stopped = true
	r.tail, r.rest, r.restAt = nil, nil, 0
}

// Drop drops an unfinished line, and nothing else.
func (r *LineReceiver) Drop() { r.tail = nil }

// Finish says that no more input follows, and hands over an unfinished last line as if it had
// been terminated, after whatever is held. Who takes such a line for torn calls Stop.
func (r *LineReceiver) Finish() {
	r.finished = true
	r.deliverTail()
}

// DataReceived takes the next bytes of the stream. They are not used after it has returned.
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
		panic("reactor: a LineReceiver was paused and its Transport was not")
	}
	r.rest = append(r.rest, p...)
}

// deliver hands over the lines of p and keeps its unfinished end. It returns how many bytes it
// has dealt with: all, unless the handler paused.
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

// line hands over one line, of which the beginning may be in the tail.
func (r *LineReceiver) line(line []byte) {
	if len(r.tail) == 0 {
		r.handOver(line)
		return
	}
	if len(r.tail)+len(line) > r.max+1 {
		r.exceeded(line)
		return
	}
	line = append(r.tail, line...)
	r.tail = nil
	r.handOver(line)
	if !r.stopped && r.tail == nil && cap(line) <= keepTail {
		r.tail = line[:0]
	}
}

func (r *LineReceiver) handOver(line []byte) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > r.max {
		r.exceeded(line)
		return
	}
	r.handler.LineReceived(line)
}

// keep puts the beginning of a line aside. The limit holds for it as for a whole line, or a peer
// that never sends LF would fill the memory.
func (r *LineReceiver) keep(p []byte) {
	n := len(r.tail) + len(p)
	if n > r.max+1 || n == r.max+1 && p[len(p)-1] != '\r' {
		r.exceeded(p)
		return
	}
	r.tail = append(r.tail, p...)
}

// exceeded reports a line that begins with the tail and goes on with p.
func (r *LineReceiver) exceeded(p []byte) {
	prefix := append(r.tail, p[:max(0, min(len(p), r.max-len(r.tail)))]...)
	r.Stop()
	r.handler.LineLengthExceeded(prefix[:min(len(prefix), r.max)])
}

// deliverTail hands over the last line if the stream has ended and nothing is held before it.
func (r *LineReceiver) deliverTail() {
	if !r.finished || r.paused || r.stopped || r.Held() > 0 || len(r.tail) == 0 {
		return
	}
	line := r.tail
	r.tail = nil
	r.delivering = true
	r.handOver(line)
	r.delivering = false
}
