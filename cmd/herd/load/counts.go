package load

import (
	"cmp"
	"slices"
)

// Counts are the counters of a run.
type Counts struct {
	Sent       uint64 `json:"sent"`       // requests
	Replies    uint64 `json:"replies"`    // including error replies
	Errors     uint64 `json:"errors"`     // error replies, wrong replies, lost connections
	Unanswered uint64 `json:"unanswered"` // requests without a reply
	Late       uint64 `json:"late"`       // requests that were due and had to wait for an earlier reply
	Skipped    uint64 `json:"skipped"`    // requests that were due but not sent before the end of the run or the connection
	Came       uint64 `json:"came"`       // short connections
	BytesIn    uint64 `json:"bytes_in"`

	Failures []Failure `json:"failures,omitempty"` // errors and unanswered requests; the most frequent first
}

// Failure is one kind of error.
type Failure struct {
	What    string `json:"what"`              // begins with the server's name
	Example string `json:"example,omitempty"` // details of one of them, if they differ
	Count   uint64 `json:"count"`
}

// maxFailures is the maximum number of kinds; further ones are counted as otherFailures.
const maxFailures = 32

const otherFailures = "others"

// failed counts an error.
func (c *Counts) failed(what string, n uint64) {
	c.Errors += n
	c.note(what, "", n)
}

// note counts a failure by kind only: it is counted as an error or as unanswered elsewhere.
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

// add adds the counters of o.
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
