package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Row is a line of the tree as text.
type Row struct {
	Branch string // what connects it to the line above: spaces and box-drawing characters
	Server string
	Text   string // how the update came there; may contain text of a console
	Node   *Node
}

// Rows returns the tree as text, one row a server.
func (t *Tree) Rows() []Row {
	rows := make([]Row, len(t.Nodes))
	for i := range t.Nodes {
		n := &t.Nodes[i]
		rows[i] = Row{t.branch(i), n.Server, n.Describe(), n}
	}
	return rows
}

// branch returns what is in front of a node's name.
func (t *Tree) branch(i int) string {
	depth := t.Nodes[i].Depth
	if depth == 0 {
		return ""
	}
	parts := make([]string, depth)
	for level := 1; level <= depth; level++ {
		more := t.follows(i, level)
		switch {
		case level == depth && more:
			parts[level-1] = "├─ "
		case level == depth:
			parts[level-1] = "└─ "
		case more:
			parts[level-1] = "│  "
		default:
			parts[level-1] = "   "
		}
	}
	return strings.Join(parts, "")
}

// follows reports whether a later node has this depth and the same node above it.
func (t *Tree) follows(i, depth int) bool {
	for _, n := range t.Nodes[i+1:] {
		if n.Depth <= depth {
			return n.Depth == depth
		}
	}
	return false
}

const tooOld = "too old for the flight recorder"

// Describe says in words how the update came to the server, or why it did not.
func (n *Node) Describe() string {
	text := ""
	from := "from " + n.From
	if n.From == "" {
		from = "from a neighbor"
	}
	switch n.Outcome {
	case FromClient:
		text = "from a client"
		if n.At == nil {
			text += ", " + tooOld
		}
	case FromNeighbor:
		text = from + n.delay()
	case Copied:
		text = from + n.restarted() + " in a copy or resume"
		if n.After != nil {
			text += " after " + n.After.String()
		}
	case Journal:
		text = "loaded from the journal"
	case Bucket:
		text = "from the bucket"
	case Old:
		text = from + n.restarted() + ", " + tooOld
	case Superseded:
		text = "superseded: " + n.Why
	case Behind:
		text = "behind: " + n.Why
	case Unanswered:
		text = n.Why
	}
	for i, d := range n.Duplicates {
		if i == 0 {
			text += "; duplicate from " + d.From
		} else {
			text += ", " + d.From
		}
	}
	return text
}

func (n *Node) delay() string {
	switch {
	case n.Restarted:
		return n.restarted()
	case n.After != nil && n.Depth > 1 && n.Hop != nil:
		return " after " + n.After.String() + " (+" + n.Hop.String() + ")"
	case n.After != nil:
		return " after " + n.After.String()
	case n.Hop != nil:
		return ", " + n.Hop.String() + " later"
	}
	return ", after an unknown time"
}

// restarted follows From if the process that sent the update is gone.
func (n *Node) restarted() string {
	if n.Restarted {
		return ", which was restarted since"
	}
	return ""
}

// String formats a delay with its uncertainty.
func (d Delay) String() string {
	if d.Uncertainty == 0 {
		return shortTime(d.Seconds)
	}
	return shortTime(d.Seconds) + " ± " + shortTime(d.Uncertainty)
}

// shortTime formats seconds, in 6 characters and a minus below a minute.
func shortTime(seconds float64) string {
	switch us := math.Abs(seconds) * 1e6; {
	case us > 0 && us < 1:
		return "<1 us"
	case us < 999.5:
		return fmt.Sprintf("%.0f us", seconds*1e6)
	case us < 9_950:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case us < 999_500:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	case us < 59.95e6:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return time.Duration(min(max(seconds, -9e9), 9e9) * 1e9).Round(time.Second).String()
}

// Summary says how many servers have the update, and what that cost, in two lines.
func (t *Tree) Summary() []string {
	have, newer, exact := 0, 0, true
	var last *Delay
	for i := range t.Nodes {
		n := &t.Nodes[i]
		switch {
		case n.Has():
			have++
		case n.Outcome == Superseded:
			newer++
		}
		exact = exact && (n.Outcome == FromNeighbor || n.At != nil && (n.Outcome == FromClient || n.Outcome == Bucket))
		if n.Outcome == FromNeighbor && n.After != nil && (last == nil || n.After.Seconds > last.Seconds) {
			last = n.After
		}
	}
	first := fmt.Sprintf("%d of %d servers have it", have, len(t.Nodes))
	if newer > 0 {
		first += fmt.Sprintf(", %d a newer one", newer)
	}
	if last != nil {
		first += ", the last one after " + last.String()
	}
	lines := fmt.Sprintf("AT lines: %d received, %d of them duplicates", t.Received, t.Duplicates)
	switch {
	case !exact && t.Received == 0:
		lines = "AT lines: not known any more"
	case !exact:
		lines = fmt.Sprintf("AT lines: %d are known, %d of them duplicates", t.Received, t.Duplicates)
	}
	return []string{first, fmt.Sprintf("%s; a flood needs at most %d", lines, t.Most)}
}

// Complete reports whether every server has, or had, the update.
func (t *Tree) Complete() bool {
	return !slices.ContainsFunc(t.Nodes, func(n Node) bool { return n.Outcome == Behind || n.Outcome == Unanswered })
}
