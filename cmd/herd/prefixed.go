package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"serverherd/cmd/herd/logging"
	"serverherd/herd/config"
)

const (
	// reorder is how long a line waits for older ones of other servers, which write theirs every
	// 100 ms. A line that is later than that is printed out of order.
	reorder = 200 * time.Millisecond
	// outputBuffer bounds, in bytes, the lines that wait for whoever reads the output; more are
	// dropped and counted.
	outputBuffer = 1 << 20
	// outputWait is how long a blocked output may delay the end of the program.
	outputWait = time.Second
)

// prefixed merges the output of many servers into one, line by line, each with its name in front,
// in order of time. Nothing that writes to it waits for its reader: while the output is blocked,
// lines are dropped and counted. Any goroutine.
type prefixed struct {
	out   *logging.Buffer
	width int
	color map[string]string

	mu      sync.Mutex
	pending []outputLine
	bytes   int // of pending
	stop    chan struct{}
	stopped chan struct{} // closed when the goroutine has ended
}

// outputLine is one line that waits for older ones.
type outputLine struct {
	at     time.Time // when it was written
	came   time.Time // when it came here, by a clock that nobody sets
	entry  []byte
	wanted func() bool // asked when it is handed on; nil: it is
}

// colors are those of a terminal that are readable on dark and light ground.
var colors = []string{"36", "33", "32", "35", "34", "31"}

// selfName stands in front of the lines of up itself.
const selfName = "herd"

func newPrefixed(out io.Writer, servers []config.Server) *prefixed {
	p := &prefixed{
		width: len(selfName), color: map[string]string{}, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	inColor := colored(out)
	for i, s := range servers {
		p.width = max(p.width, len(s.Name))
		if inColor {
			p.color[s.Name] = colors[i%len(colors)]
		}
	}
	p.out = logging.NewBuffer(out, outputBuffer, true, func(n uint64) []byte {
		return p.entry(selfName, fmt.Sprintf("%d lines of output were dropped: the output was blocked", n))
	})
	go p.run()
	return p
}

// say prints a message of up itself.
func (p *prefixed) say(text string) {
	now := time.Now()
	for line := range strings.Lines(text) {
		p.add(selfName, strings.TrimSuffix(line, "\n"), now)
	}
}

// add prints a line that was written at the given time. It never blocks.
func (p *prefixed) add(name, text string, at time.Time) { p.addIf(nil, name, text, at) }

// addIf is add of a line that is dropped if, when its time to be printed has come, it is not wanted.
func (p *prefixed) addIf(wanted func() bool, name, text string, at time.Time) {
	entry, now := p.entry(name, text), time.Now()
	if at.After(now) { // the clock went back
		at = now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, outputLine{at.Round(0), now, entry, wanted})
	if p.bytes += len(entry); p.bytes > outputBuffer {
		p.flush(now)
	}
}

// entry is a line as it is printed.
func (p *prefixed) entry(name, text string) []byte {
	label := fmt.Sprintf("%-*s |", p.width, name)
	if color := p.color[name]; color != "" {
		label = "\x1b[" + color + "m" + label + "\x1b[0m"
	}
	return fmt.Appendf(nil, "%s %s\n", label, forTerminal(text))
}

// run hands lines on when no older ones are to be expected.
func (p *prefixed) run() {
	defer close(p.stopped)
	ticker := time.NewTicker(reorder / 4)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			p.mu.Lock()
			p.flush(now.Add(-reorder))
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// flush hands on, in order of time, what came up to the given time, and what was written before it. The
// caller holds mu.
func (p *prefixed) flush(until time.Time) {
	slices.SortStableFunc(p.pending, func(a, b outputLine) int { return a.at.Compare(b.at) })
	n := len(p.pending)
	for n > 0 && p.pending[n-1].came.After(until) {
		n--
	}
	for _, line := range p.pending[:n] {
		p.bytes -= len(line.entry)
		if line.wanted == nil || line.wanted() {
			_, _ = p.out.Write(line.entry)
		}
	}
	p.pending = slices.Delete(p.pending, 0, n)
}

// close prints what is pending. It waits for a blocked output for outputWait at most.
func (p *prefixed) close() {
	close(p.stop)
	<-p.stopped
	p.mu.Lock()
	p.flush(time.Now())
	p.mu.Unlock()
	p.out.Close(outputWait)
}

// writer returns what takes the output of the server called name, to be closed after its last
// write. Of the log's entries only those that are wanted are printed. That is asked when an entry comes
// and again when it is to be printed: more is known then, such as that a server has died. It must not
// call p.
func (p *prefixed) writer(name string, wanted func(logEntry) bool) *lineWriter {
	return &lineWriter{out: p, name: name, wanted: wanted}
}

// lineWriter hands text on line by line. One goroutine at a time.
type lineWriter struct {
	out    *prefixed
	name   string
	wanted func(logEntry) bool
	tail   []byte    // of an unfinished line
	at     time.Time // of the last entry
}

// maxTail bounds an unfinished line, in bytes.
const maxTail = 64 << 10

// Write implements io.Writer. It never fails and never blocks: a server outlives a terminal that
// is gone or stopped.
func (w *lineWriter) Write(text []byte) (int, error) {
	n := len(text)
	for {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		w.tail = append(w.tail, line...)
		if !whole && len(w.tail) < maxTail {
			return n, nil
		}
		w.flush()
		text = rest
	}
}

// Close hands on a last line without LF.
func (w *lineWriter) Close() {
	if len(w.tail) > 0 {
		w.flush()
	}
}

// flush hands on one line. What is not a log entry, such as a stack trace, stays behind the entry
// before it.
func (w *lineWriter) flush() {
	line := string(w.tail)
	w.tail = w.tail[:0]
	e, ok := parseEntry(line)
	if !ok {
		if w.at.IsZero() {
			w.at = time.Now()
		}
		w.out.add(w.name, line, w.at)
		return
	}
	w.at = e.at
	if w.wanted(e) {
		w.out.addIf(func() bool { return w.wanted(e) }, w.name, line, w.at)
	}
}

// logEntry is a server's log entry as it stands on its standard error.
type logEntry struct {
	at                     time.Time
	level, message, fields string // fields is a JSON object, or empty
}

func parseEntry(line string) (e logEntry, ok bool) {
	stamp, rest, _ := strings.Cut(line, "\t")
	e.level, rest, _ = strings.Cut(rest, "\t")
	e.message, e.fields, _ = strings.Cut(rest, "\t")
	var err error
	e.at, err = time.Parse(logging.TimeLayout, stamp)
	return e, err == nil
}

// neighbor is the neighbor that the entry is about; "" if it names none.
func (e logEntry) neighbor() string {
	var fields struct {
		Neighbor string `json:"neighbor"`
	}
	_ = json.Unmarshal([]byte(e.fields), &fields)
	return fields.Neighbor
}
