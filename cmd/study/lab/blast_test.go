package lab

import (
	"strings"
	"testing"

	"serverherd/reactor"
)

// shots counts what a blastConn writes.
type shots struct {
	reactor.Transport
	n int
}

func (s *shots) Write([]byte) { s.n++ }

// For every split into chunks each reply is counted once, and the next lines are sent after all replies.
func TestBlastCountsReplies(t *testing.T) {
	for _, c := range []struct{ reply, end string }{
		{":0\r\n", "\r\n"}, {"AT Alford +0.1 kiwi +1-1 5\n\n", "\n\n"}, {"AT a\n{\n \"results\": [\n ]\n}\n\n", "\n\n"},
	} {
		const depth, rounds = 3, 4
		text := []byte(strings.Repeat(c.reply, depth*rounds))
		for size := 1; size <= len(text); size++ {
			g := &blastRun{blast: blast{depth: depth, end: []byte(c.end)}}
			s := &shots{}
			b := &blastConn{run: g, t: s}
			b.send()
			// A server does not reply before a request: chunks end at the end of a round.
			for at := 0; at < len(text); {
				round := len(c.reply) * depth
				end := min(at+size, (at/round+1)*round)
				b.DataReceived(text[at:end])
				at = end
			}
			if g.replies != depth*rounds || g.received != float64(len(text)) || s.n != rounds+1 {
				t.Errorf("%q in pieces of %d: %v replies, %v bytes, %d shots; want %d, %d, %d", c.reply, size,
					g.replies, g.received, s.n, depth*rounds, len(text), rounds+1)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, 0.99, 0}, {[]float64{7}, 0.5, 7}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{3, 1, 2}, 1, 3},
		{[]float64{4, 3, 2, 1}, 0, 1},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
}

// Replies are compared without the time difference.
func TestMasked(t *testing.T) {
	a := "AT S0 +0.263873386 kiwi +1-1 5\n\n> IAMAT FIELDS: 3 instead of 4\n? IAMAT a b\n\n"
	b := strings.Replace(a, "+0.263873386", "-17.000000001", 1)
	c := strings.Replace(a, "kiwi", "kiwj", 1)
	join := func(s string) string { return strings.Join(masked(s), "|") }
	if join(a) != join(b) || join(a) == join(c) || len(masked(a)) != 3 {
		t.Errorf("%q, %q, %q", masked(a), masked(b), masked(c))
	}
	if got := locations("AT Ball +1 kiwi +1-1 5\n{\n}\n\n> WHATSAT REQUEST: nothing\n\n"); got != "kiwi +1-1 5\n" {
		t.Errorf("locations are %q", got)
	}
}
