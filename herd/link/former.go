package link

import (
	"slices"
	"time"

	"serverherd/protocol"
)

const (
	// MaxFormer bounds the former processes remembered of a neighbor.
	MaxFormer = 64
	// A former process that was taken back is not taken back again before MinReturnPause, then twice
	// that, up to MaxReturnPause.
	MinReturnPause = 10 * time.Second
	MaxReturnPause = 2 * time.Minute
	// ReturnQuiet after the end of its pause, a process that was not taken back meanwhile begins with
	// the shortest pause again.
	ReturnQuiet = 10 * time.Minute
)

// former is a process of a neighbor that another one has replaced.
type former struct {
	epoch protocol.Epoch
	pause time.Duration // the last one; 0: none
	until timer         // the end of it
}

// Verdict is what is to become of a process that has proven to be the neighbor.
type Verdict uint8

const (
	Accept          Verdict = iota // Join
	TakenBack                      // Join: it is a former process
	LinkedElsewhere                // refuse, and ask the process that our link has found whether it is still there
	Duplicate                      // refuse: another process has its name
)

// Admit decides which of several processes is the neighbor. linked is the one at the other end of our link, if that is
// past its handshake, and 0 otherwise; stands says whether there is a connection from the one whose proof was taken
// last. Of a process that is taken back, pause is for how long it will not be again. These are the rules:
//
//  1. While our link is past its handshake, it is the process at the other end of the link, for
//     herd.toml says where a server is. Any other process is refused, and one that is connected
//     already is asked whether it is still there, and cut off if it is.
//  2. While the link is not, a process that was never seen replaces the one before it: this is what
//     a restart looks like. If the old process ended without a word, and the link still waits for
//     it, the new one is refused until the link is dropped for its silence.
//  3. While the link is not, a former process is refused as long as a connection of the one that
//     replaced it stands.
//  4. When none does, the first to dial is taken. A former process is taken back as an unknown
//     one, with WELCOME "- 0": positions in its feed were forgotten when it was replaced.
//  5. Each such change costs two full copies, and so each process has a pause of its own before it
//     is taken back again. A process that comes and goes uses up its own pause only: it cannot
//     keep out the one that should have the name. A process taken by rule 1 needs no pause. What
//     replaced it has used up its own, or our link was lost and has found another process, which
//     is a copy anyhow.
func (h *Heard) Admit(epoch, linked protocol.Epoch, stands bool, now Time) (v Verdict, pause time.Duration) {
	f := h.former(epoch)
	switch {
	case linked != 0 && linked != epoch:
		return LinkedElsewhere, 0
	case epoch == h.epoch || f == nil:
		return Accept, 0
	case linked != 0:
		return TakenBack, 0
	case f.paused(now) || stands:
		return Duplicate, 0
	}
	f.startPause(now)
	return TakenBack, f.pause
}

// former finds a former process; nil if epoch is none.
func (h *Heard) former(epoch protocol.Epoch) *former {
	for _, f := range h.formers {
		if f.epoch == epoch {
			return f
		}
	}
	return nil
}

// replace remembers the process at hand as a former one. One that was taken back is remembered
// already, with its pause.
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

// bar begins a pause.
func (f *former) startPause(now Time) {
	if f.pause > 0 && now.Steady >= time.Duration(f.until)+ReturnQuiet {
		f.pause = 0
	}
	f.pause = min(max(2*f.pause, MinReturnPause), MaxReturnPause)
	f.until = now.in(f.pause)
}
