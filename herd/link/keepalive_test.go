package link

import (
	"strings"
	"testing"
)

// In the scripts . is a beat, P the PONG to the last PING and O to one before. In what comes of them
// . is a beat, ? one with a PING and ! one at which the link is to be dropped.
func TestOverdue(t *testing.T) {
	for _, test := range []struct{ what, script, want string }{
		{"no PONG", strings.Repeat(".", 40), "...?" + strings.Repeat(".", 36)},
		{"a PONG and no ACK", "....P.....", "...?....!"},
		{"a late PONG and no ACK", ".......P.....", "...?.......!"},
		{"the PONG to an earlier PING", "....O......", "...?......"},
		{"a PONG before the PING", "O..P.....", "...?..."},
		{"a second PONG does not count anew", "....P..P...", "...?....!"},
	} {
		a, asked, got := ackTimeout{}, uint64(7), ""
		for _, e := range test.script {
			before := asked
			switch {
			case e == 'P':
				a.pongReceived(asked)
			case e == 'O':
				a.pongReceived(asked - 1)
			case a.beat(func() uint64 { asked++; return asked }):
				got += "!"
			case asked > before:
				got += "?"
			default:
				got += "."
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}
