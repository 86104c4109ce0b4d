package link

import (
	"testing"
	"time"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// Which of several processes is the neighbor. In each step a process proves itself; if it is taken, it joins.
func TestAdmit(t *testing.T) {
	type step struct {
		after         time.Duration
		epoch, linked protocol.Epoch
		stands        bool
		want          Verdict
		pause         time.Duration
	}
	for name, steps := range map[string][]step{
		"a restart":                  {{0, 1, 0, false, Accept, 0}, {0, 2, 0, true, Accept, 0}},
		"the same one again":         {{0, 1, 0, false, Accept, 0}, {0, 1, 1, true, Accept, 0}},
		"not the one at the address": {{0, 1, 1, false, Accept, 0}, {0, 2, 1, true, LinkedElsewhere, 0}, {0, 2, 1, false, LinkedElsewhere, 0}},
		"a successor is there":       {{0, 1, 0, false, Accept, 0}, {0, 2, 0, false, Accept, 0}, {0, 1, 0, true, Duplicate, 0}},
		"a successor has left":       {{0, 1, 0, false, Accept, 0}, {0, 2, 0, false, Accept, 0}, {0, 1, 0, false, TakenBack, MinReturnPause}},
		"the one at the address":     {{0, 1, 0, false, Accept, 0}, {0, 2, 0, false, Accept, 0}, {0, 1, 1, true, TakenBack, 0}},
		"each has its pause": {{0, 1, 0, false, Accept, 0}, {0, 2, 0, false, Accept, 0}, {0, 1, 0, false, TakenBack, MinReturnPause},
			{0, 2, 0, false, TakenBack, MinReturnPause}, {time.Second, 1, 0, false, Duplicate, 0},
			{MinReturnPause, 1, 0, false, TakenBack, 2 * MinReturnPause}},
		"a pause is forgotten": {{0, 1, 0, false, Accept, 0}, {0, 2, 0, false, Accept, 0}, {0, 1, 0, false, TakenBack, MinReturnPause},
			{0, 3, 0, false, Accept, 0}, {MinReturnPause + ReturnQuiet, 1, 0, false, TakenBack, MinReturnPause}},
	} {
		h := NewHeard(feed.NewStore("ucla", 1), nil)
		now := Time{time.Unix(1520000000, 0), time.Hour}
		for i, s := range steps {
			now.Steady += s.after
			v, pause := h.Admit(s.epoch, s.linked, s.stands, now)
			if v != s.want || pause != s.pause {
				t.Errorf("%s, step %d: verdict %d and a pause of %v, want %d and %v", name, i, v, pause, s.want, s.pause)
			}
			if v <= TakenBack {
				h.join(&Inbound{epoch: s.epoch})
			}
		}
	}
}
