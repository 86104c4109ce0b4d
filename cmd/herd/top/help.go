package top

import (
	"fmt"
	"strings"

	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
)

// helpText explains the columns and keys.
var helpText = []struct{ head, text string }{
	{"STATE", "how its records agree with its neighbors', or why there is no answer; under way: it lacks no more than a " +
		"second brings. ! marks a problem"},
	{"RECORDS", "clients with a location; CLIENTS: connections but neighbors'"},
	{"LINES/S", "lines of clients; UPD/S: records that were new to it"},
	{"LAG", fmt.Sprintf("99 %% of the calls to its loop waited less, within its last %d answers", window)},
	{"DELAY", "likewise, of updates from the first server that stored them to this one; between machines it includes the " +
		"difference of their clocks"},
	{"CPU MEM", "of the process; 100% is one core"},
	{"", ""},
	{"AT/S", "of a link: updates sent (AT lines) per second"},
	{"DUP", "the share of them that the receiver had already"},
	{"BEHIND", "records that the receiver lacks"},
	{"UNACKED", "bytes without their ACK"},
	{"CLOCK", "how far the receiver's clock is from the sender's"},
	{"SINCE", "how long it is in this state"},
	{"", ""},
	{"keys", "j k Up Down g G PgUp PgDn: select or scroll; Enter: a server; Esc: back; l Tab: links or herd; s S: sort by " +
		"the next or previous column; r: reverse; /: filter; q Ctrl-C: quit"},
}

// helpBody is the help, wrapped.
func helpBody(st style.Styles, width int) (lines []string) {
	const indent = 11
	for _, h := range helpText {
		if h.head == "" {
			lines = append(lines, "")
			continue
		}
		head := st.Bold(h.head) + strings.Repeat(" ", indent-2-len(h.head))
		for _, line := range view.Wrap(h.text, max(width-indent, 10)) {
			lines = append(lines, "  "+head+line)
			head = strings.Repeat(" ", indent-2)
		}
	}
	return lines
}
