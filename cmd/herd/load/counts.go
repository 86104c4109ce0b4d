package load

import (
	"cmp"
	"slices"
)

// Counts are what a run has done.
type Counts struct {
	Sent       uint64 `json:"sent"`       // lines
	Replies    uint64 `json:"replies"`    // all, those that are errors included
	Errors     uint64 `json:"errors"`     // replies that refuse, or are another line's; connections lost
	Unanswered uint64 `json:"unanswered"` // lines whose reply did not come
	Late       uint64 `json:"late"`       // lines that were due and had to wait for an earlier reply
	Skipped    uint64 `json:"skipped"`    // lines that were due and not sent before the end, or the connection's
	Came       uint64 `json:"came"`       // clients that came for one line
	BytesIn    uint64 `json:"bytes_in"`

	Failures []Failure `json:"failures,omitempty"` // and what is unanswered; the most frequent first
}

// Failure is one kind of error.
type Failure struct {
	What    string `json:"what"`              // the server's name first
	Example string `json:"example,omitempty"` // one of them, where they differ in more than that
	Count   uint64 `json:"count"`
}

// maxFailures bounds the kinds that are told apart.
const maxFailures = 32

const otherFailures = "others"

// failed counts an error.
func (c *Counts) failed(what string, n uint64) {
	c.Errors += n
	c.note(what, "", n)
}

// note counts what is an error already, or is counted as something else.
func (c *Counts) note(what, example string, n uint64) {
	i := slices.IndexFunc(c.Failures, func(f Failure) bool { return f.What == what })
	switch {
	case i >= 0:
		c.Failures[i].Count += n
	case len(c.Failures) < maxFailures || what == otherFailures:
		c.Failures = append(c.Failures, Failure{what, example, n})
	default:
		c.note(otherFailures, "", n)
	}
}

// add adds another's.
func (c *Counts) add(o *Counts) {
	c.Sent += o.Sent
	c.Replies += o.Replies
	c.Errors += o.Errors
	c.Unanswered += o.Unanswered
	c.Late += o.Late
	c.Skipped += o.Skipped
	c.Came += o.Came
	c.BytesIn += o.BytesIn
	for _, f := range o.Failures {
		c.note(f.What, f.Example, f.Count)
	}
	slices.SortStableFunc(c.Failures, func(a, b Failure) int { return cmp.Compare(b.Count, a.Count) })
}
