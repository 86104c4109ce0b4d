package link

import (
	"slices"
	"time"

	"serverherd/protocol"
)

const (
	// MaxFormer is how many former processes of a neighbor are remembered.
	MaxFormer = 64
	// A former process that was accepted again is not accepted once more within MinReturnPause. The pause
	// doubles each time, up to MaxReturnPause.
	MinReturnPause = 10 * time.Second
	MaxReturnPause = 2 * time.Minute
	// ReturnQuiet is how long after the end of its pause a process that was not accepted meanwhile starts
	// with the shortest pause again.
	ReturnQuiet = 10 * time.Minute
)

// former is a process of a neighbor that was replaced by another one.
type former struct {
	epoch protocol.Epoch
	pause time.Duration // the last one; 0: none
	until timer         // end of the pause
}

// Verdict is the decision about a process that has completed a handshake as the neighbor.
type Verdict uint8

const (
	Accept          Verdict = iota // Join
	TakenBack                      // Join: it is a former process
	LinkedElsewhere                // refuse, and check whether the process at our link is still alive
	Duplicate                      // refuse: another process uses the name
)

// Admit decides whether a process that has completed a handshake is the neighbor. linked is the process at
// the other end of our link, or 0 if that is not past its handshake; lastConnected reports whether the process that
// last completed a handshake still has a connection. If a former process is accepted again, pause is for how
// long it will not be once more. The rules:
//
//  1. While our link is past its handshake, the neighbor is the process at its other end, because
//     herd.toml says where a server is. Any other process is refused. One that is connected already is
//     pinged, and disconnected if it answers. If the old process disappeared and our link has not
//     noticed yet, its successor is refused until the link is dropped for silence.
//  2. While it is not, an unknown process replaces the last one at once: this is a restart.
//  3. While it is not, a former process is refused as long as the last one is connected.
//  4. When that is not connected, the first to dial is accepted, a former process only after its pause.
//     It gets WELCOME "- 0" like an unknown one: its position was forgotten when it was replaced.
//  5. Each such change costs two full copies, so each process has its own pause before it is accepted
//     again. A process that comes and goes uses up only its own pause: it cannot keep out the one
//     that should have the name. Rule 1 needs no pause: the process that replaced this one has used up
//     its own pause, or our link was lost and has found another process, which is a copy anyway.
func (h *Heard) Admit(epoch, linked protocol.Epoch, lastConnected bool, now Time) (v Verdict, pause time.Duration) {
	f := h.former(epoch)
	switch {
	case linked != 0 && linked != epoch:
		return LinkedElsewhere, 0
	case epoch == h.epoch || f == nil:
		return Accept, 0
	case linked != 0:
		return TakenBack, 0
	case f.paused(now) || lastConnected:
		return Duplicate, 0
	}
	f.startPause(now)
	return TakenBack, f.pause
}

// former returns the former process with this epoch, or nil.
func (h *Heard) former(epoch protocol.Epoch) *former {
	for _, f := range h.formers {
		if f.epoch == epoch {
			return f
		}
	}
	return nil
}

// rememberFormer adds the last process to the former ones. One that was accepted again is already there, with
// its pause.
func (h *Heard) rememberFormer() {
	if h.epoch == 0 || h.former(h.epoch) != nil {
		return
	}
	if len(h.formers) == MaxFormer {
		h.formers = slices.Delete(h.formers, 0, 1)
	}
	h.formers = append(h.formers, &former{epoch: h.epoch})
}

func (f *former) paused(now Time) bool { return f.pause > 0 && !f.until.due(now) }

// startPause begins a pause.
func (f *former) startPause(now Time) {
	if f.pause > 0 && now.Steady >= time.Duration(f.until)+ReturnQuiet {
		f.pause = 0
	}
	f.pause = min(max(2*f.pause, MinReturnPause), MaxReturnPause)
	f.until = now.in(f.pause)
}
