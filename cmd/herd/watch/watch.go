// Package watch reads /watch of a console for as long as somebody likes to see it: it connects again when the server
// is restarted.
package watch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"serverherd/cmd/herd/console"
	"serverherd/herd"
)

const (
	minRetry = 250 * time.Millisecond
	maxRetry = 5 * time.Second
	// silence is how long a stream may be without a line.
	silence = 3 * herd.WatchHeartbeat
	// maxLine bounds a line. One of a client id of 1,024 unprintable bytes has 14 KB.
	maxLine = 64 << 10
)

// Options configure Run. All but Count and Refused are required.
type Options struct {
	Server string // its name: another server's answer is an error
	// Open requests /watch. It returns an error if it does not begin.
	Open func(context.Context) (io.ReadCloser, error)
	// Refused reports whether an error of Open remains if it is tried again. Nil: none does.
	Refused func(error) bool
	// Begun is called when the server has answered for the first time. An error ends Run.
	Begun func() error
	// Line gets each line that is an update, or says that the reader is behind. An error ends Run.
	Line func(console.WatchLine) error
	// Note gets what a person should know about the connection.
	Note  func(text string)
	Count int // end after so many updates; 0: do not
}

// errDone ends a stream when there are enough updates.
var errDone = errors.New("enough")

// errOutput is an error of Options.Line or Begun. It is not a reason to connect again.
type errOutput struct{ error }

func (e errOutput) Unwrap() error { return e.error }

// runner is one call of Run.
type runner struct {
	Options
	epoch  string // of the process that was watched last; "" before the first
	shown  int    // updates
	lastAT string // of the last update
}

// Run reads until ctx ends, or there are enough updates. It returns an error if the first request fails, if a later one is
// refused, or if the output fails.
func Run(ctx context.Context, o Options) error {
	r := &runner{Options: o}
	retry := minRetry
	for down := false; ; {
		begun, useful, err := r.stream(ctx, down)
		var output errOutput
		switch {
		case errors.Is(err, errDone), ctx.Err() != nil:
			return nil
		case errors.As(err, &output):
			return output.error
		case r.epoch == "", r.Refused != nil && r.Refused(err):
			return err
		}
		if useful {
			retry = minRetry
		}
		if begun || !down {
			o.Note(fmt.Sprintf("%v; connecting again", err))
		}
		down = true
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil
		}
		retry = min(2*retry, maxRetry)
	}
}

// stream reads one answer. begun reports whether its first line came, useful whether another one did.
func (r *runner) stream(ctx context.Context, again bool) (begun, useful bool, err error) {
	body, err := r.Open(ctx)
	if err != nil {
		return false, false, err
	}
	defer body.Close()
	silent := make(chan struct{})
	timer := time.AfterFunc(silence, func() {
		close(silent)
		body.Close()
	})
	defer timer.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 4096), maxLine)
	for lines.Scan() {
		timer.Reset(silence)
		var l console.WatchLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return begun, useful, fmt.Errorf("not a line of /watch: %w", err)
		}
		if !begun {
			switch {
			case l.Server == "" || l.Epoch == "":
				return false, false, errors.New("the answer does not begin as that of /watch")
			case l.Server != r.Server:
				return false, false, fmt.Errorf("the console belongs to %.64q", l.Server)
			}
			begun = true
			if err := r.begin(l, again); err != nil {
				return true, false, errOutput{err}
			}
			continue
		}
		useful = true
		if err := r.line(l); err != nil {
			return true, true, err
		}
	}
	select {
	case <-silent:
		return begun, useful, fmt.Errorf("nothing came for %v", silence)
	default:
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return begun, useful, fmt.Errorf("a line is longer than %d bytes", maxLine)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET):
		return begun, useful, fmt.Errorf("the connection broke: %w", err)
	}
	return begun, useful, errors.New("the server closed the connection")
}

// begin handles the first line.
func (r *runner) begin(l console.WatchLine, again bool) error {
	before := r.epoch
	r.epoch = l.Epoch
	switch {
	case !again:
		return r.Begun()
	case before == l.Epoch:
		r.Note("connected again; updates were missed")
	default:
		r.Note("connected again after a restart; updates were missed")
	}
	return nil
}

// line handles any other line.
func (r *runner) line(l console.WatchLine) error {
	if l.Record == nil && l.Behind == 0 {
		return nil // a sign of life
	}
	if l.Record != nil {
		if l.Present && l.AT == r.lastAT {
			return nil // it was shown before the connection broke
		}
		r.lastAT = l.AT
	}
	if err := r.Line(l); err != nil {
		return errOutput{err}
	}
	if l.Record != nil {
		if r.shown++; r.shown == r.Count {
			return errDone
		}
	}
	return nil
}
