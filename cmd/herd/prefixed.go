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
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd/config"
)

const (
	// reorder is how long a line is held back for older lines of other servers, which write every 100 ms. A
	// line that comes later is printed out of order.
	reorder = 200 * time.Millisecond
	// outputBuffer is the size of the output buffer in bytes. While the output is blocked, lines beyond it
	// are dropped and counted.
	outputBuffer = 1 << 20
	// outputWait is how long a blocked output may delay the exit.
	outputWait = time.Second
)

// prefixed merges the output of many servers, line by line in order of time, with the server's name in
// front. Writers never block: while the output is blocked, lines are dropped and counted. Any goroutine.
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

// outputLine is a line that is held back for older ones.
type outputLine struct {
	at       time.Time // when it was written
	received time.Time // when it was received, by the monotonic clock
	entry    []byte
	wanted   func() bool // called when it is printed: false drops it; nil means true
}

// colors are ANSI colors that are readable on dark and light backgrounds.
var colors = []string{"36", "33", "32", "35", "34", "31"}

// selfName is the prefix of up's own lines.
const selfName = "herd"

func newPrefixed(out io.Writer, servers []config.Server) *prefixed {
	p := &prefixed{
		width: len(selfName), color: map[string]string{}, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	inColor := style.Colored(direct(out))
	for i, s := range servers {
		p.width = max(p.width, len(s.Name))
		if inColor {
			p.color[s.Name] = colors[i%len(colors)]
		}
	}
	p.out = logging.NewBuffer(out, outputBuffer, true, func(n uint64) []byte {
		return p.entry(selfName, fmt.Sprintf("dropped %d lines because the output was blocked", n))
	})
	go p.run()
	return p
}

// say prints a message of up.
func (p *prefixed) say(text string) {
	now := time.Now()
	for line := range strings.Lines(text) {
		p.add(selfName, strings.TrimSuffix(line, "\n"), now)
	}
}

// add prints a line written at the given time. It never blocks.
func (p *prefixed) add(name, text string, at time.Time) { p.addIf(nil, name, text, at) }

// addIf is add, but when the line is printed, it is dropped if wanted returns false.
func (p *prefixed) addIf(wanted func() bool, name, text string, at time.Time) {
	entry, now := p.entry(name, text), time.Now()
	if at.After(now) { // the clock was set back
		at = now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, outputLine{at.Round(0), now, entry, wanted})
	if p.bytes += len(entry); p.bytes > outputBuffer {
		p.flush(now)
	}
}

// entry formats a line with its prefix.
func (p *prefixed) entry(name, text string) []byte {
	label := fmt.Sprintf("%-*s |", p.width, name)
	if color := p.color[name]; color != "" {
		label = "\x1b[" + color + "m" + label + "\x1b[0m"
	}
	return fmt.Appendf(nil, "%s %s\n", label, view.Escape(text))
}

// run prints lines when no older ones are expected.
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

// flush prints the lines received up to the given time, and all lines written before those, in order of
// time. The caller holds mu.
func (p *prefixed) flush(until time.Time) {
	slices.SortStableFunc(p.pending, func(a, b outputLine) int { return a.at.Compare(b.at) })
	n := len(p.pending)
	for n > 0 && p.pending[n-1].received.After(until) {
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

// close prints pending lines. It waits up to outputWait for a blocked output.
func (p *prefixed) close() {
	close(p.stop)
	<-p.stopped
	p.mu.Lock()
	p.flush(time.Now())
	p.mu.Unlock()
	p.out.Close(outputWait)
}

// writer returns a writer for a server's output, to be closed after its last write. Log entries are printed
// only if wanted returns true. It is called when an entry is received and again when it is printed: by
// then, up may know that the server has died, for example. It must not call p.
func (p *prefixed) writer(name string, wanted func(logEntry) bool) *lineWriter {
	return &lineWriter{out: p, name: name, wanted: wanted}
}

// lineWriter splits a server's output into lines. One goroutine at a time.
type lineWriter struct {
	out    *prefixed
	name   string
	wanted func(logEntry) bool
	tail   []byte    // an incomplete line
	at     time.Time // of the last entry
}

// maxTail is the longest line, in bytes. Longer ones are split.
const maxTail = 64 << 10

// Write implements io.Writer. It never fails and never blocks: a server continues when the terminal is gone
// or stopped.
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

// Close prints a last line without LF.
func (w *lineWriter) Close() {
	if len(w.tail) > 0 {
		w.flush()
	}
}

// flush prints one line. A line that is not a log entry, such as a line of a stack trace, gets the time of
// the entry before it and so stays behind it.
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

// logEntry is a log entry on a server's standard error.
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

// neighbor is the entry's field "neighbor"; "" if it has none.
func (e logEntry) neighbor() string {
	var fields struct {
		Neighbor string `json:"neighbor"`
	}
	_ = json.Unmarshal([]byte(e.fields), &fields)
	return fields.Neighbor
}
