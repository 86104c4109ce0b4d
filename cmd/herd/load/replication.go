package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"serverherd/protocol"
)

// Replication measures how long an update takes from one server to another: it sends an IAMAT to the first
// and then WHATSATs to the second until one has the update. The latency is from sending the update to the
// reply that has it, so it includes at least one WHATSAT.
func Replication(ctx context.Context, o Options) (*Report, error) {
	if len(o.Targets) != 2 || o.Duration <= 0 {
		return nil, errors.New("replication requires two servers and a duration")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	from, err := talkTo(ctx, &o.Targets[0], &o)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := talkTo(ctx, &o.Targets[1], &o)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { // unblocks reads
		from.Close()
		to.Close()
	})()
	if o.Epoch.IsZero() {
		o.Epoch, o.current = time.Now(), true
	}
	o.Connections, o.Pipeline = 2, 1
	r := &run{o: &o, total: newInterval(), begun: time.Now()}
	r.report.Began, r.report.replicated = r.begun, true
	before := processUsage()
	id := ReplicationID(&o)
	for stamp := o.Epoch; time.Since(r.begun) < o.Duration && ctx.Err() == nil; stamp = stamp.Add(time.Microsecond) {
		if now := time.Now(); o.current && now.After(stamp) {
			stamp = now
		}
		text := fmt.Sprintf("%s +34.068930-118.445127 %d.%06d", id, stamp.Unix(), stamp.Nanosecond()/1000)
		sent := time.Now()
		r.all.Sent++
		if err := replicate(from, to, id, text); ctx.Err() != nil {
			r.all.Sent-- // interrupted: the outcome is unknown
			break
		} else if err != nil {
			r.all.failed(err.Error(), 1)
			r.all.Unanswered++
			break
		}
		r.all.Replies++
		record(r.total.latency, time.Since(sent))
	}
	r.report.Length = time.Since(r.begun)
	r.report.Loader = processUsage().since(before)
	return r.report.fill(r, r.all), nil
}

// ReplicationID is the id of the client that Replication updates. It stays in the herd.
func ReplicationID(o *Options) string { return fmt.Sprintf("replication-%d", o.Seed) }

// replicate sends one update and polls until it is visible.
func replicate(from, to *talk, id, text string) error {
	reply, err := from.ask("IAMAT " + text)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(reply, text) {
		return fmt.Errorf("%s: unexpected reply to an update: %s", from.target.Name, shown([]byte(reply)))
	}
	for began := time.Now(); ; {
		reply, err := to.ask("WHATSAT " + id + " 1 0")
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(reply, text):
			return nil
		case time.Since(began) > maxDrain:
			return fmt.Errorf("%s: update sent to %s not visible after %v", to.target.Name,
				from.target.Name, maxDrain)
		}
	}
}

// talk is a blocking connection with one request in flight.
type talk struct {
	net.Conn
	target  *Target
	dialect protocol.Dialect
	timeout time.Duration // of each reply
	in      *bufio.Reader
}

func talkTo(ctx context.Context, target *Target, o *Options) (*talk, error) {
	c, err := dialBlocking(ctx, o, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target.Name, err)
	}
	return &talk{c, target, o.Dialect, o.Timeout, bufio.NewReaderSize(c, 64<<10)}, nil
}

// ask sends a request and returns the first line of the reply.
func (t *talk) ask(line string) (first string, err error) {
	_ = t.SetDeadline(time.Now().Add(t.timeout))
	if _, err := t.Write([]byte(line + "\n")); err != nil {
		return "", fmt.Errorf("%s: %w", t.target.Name, noReply(err, t.timeout))
	}
	for {
		raw, err := t.in.ReadSlice('\n') // a line longer than the buffer is an error
		text := string(raw)
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", t.target.Name, noReply(err, t.timeout))
		case first == "":
			first = strings.TrimSuffix(text, "\n")
			if t.dialect == protocol.CS131 && (line[0] != 'W' || first[0] == '?') {
				return first, nil
			}
		case text == "\n":
			return first, nil
		}
	}
}
