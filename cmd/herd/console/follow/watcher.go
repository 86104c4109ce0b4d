package follow

// Watcher gets the updates of one client or of all. One goroutine.
type Watcher struct {
	follower *Follower
	id       string // "": all clients
	ready    chan struct{}
	answer   chan answer // of the loop

	// Guarded by the Follower's mutex. Of one client:
	pending []byte // line of the newest update that was not taken; nil: none
	count   uint64 // updates since Take
	seq     uint64 // position of the last update

	// Of all clients:
	taken uint64 // number of the last update in the backlog that was taken
	woken uint64 // number of the last update at the last signal
	lost  uint64 // updates that were dropped since Take
	late  bool   // there were updates that had not been taken when more came
}

// answer is what the loop knows when the watching begins.
type answer struct {
	tail    uint64
	present *Update // nil: no record
}

// begin has the loop's answer.
func (w *Watcher) begin(a answer) {
	if a.present == nil {
		return
	}
	line := w.follower.o.Encode(*a.present, true)
	w.follower.mu.Lock()
	defer w.follower.mu.Unlock()
	w.offer(line, a.present.Seq)
}

// Answered reports whether the loop has answered Begin, and whether there is a record. It is asked until it has.
func (w *Watcher) Answered() (known, ok bool) {
	select {
	case a := <-w.answer:
		w.begin(a)
		return a.present != nil, true
	default:
		return false, false
	}
}

// Ready receives when there may be something to take.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Ended is closed when the Follower is closed. What was published before can still be taken.
func (w *Watcher) Ended() <-chan struct{} { return w.follower.ended }

// Close ends the watching. It may be called more than once.
func (w *Watcher) Close() { w.follower.remove(w) }

// Taken is what Take returns.
type Taken struct {
	Lines [][]byte // updates, as Options.Encode made them. Read only
	// Behind is not 0 if more updates came than could be taken: how many there were since the last Take. Of each
	// client only the newest is among Lines, or among those of the following Take.
	Behind uint64
	Lost   uint64 // clients whose newest update was dropped because too much was waiting
}

// Take returns what has come, of max bytes at most but one line at least. It is empty if there is nothing.
func (w *Watcher) Take(max int) (t Taken) {
	w.follower.mu.Lock()
	defer w.follower.mu.Unlock()
	if w.id != "" {
		if w.pending != nil {
			t.Lines = [][]byte{w.pending}
		}
		if w.count > 1 {
			t.Behind = w.count
		}
		w.pending, w.count = nil, 0
		return t
	}
	if w.late || w.lost > 0 {
		t.Behind, t.Lost = w.follower.log.n-w.taken, w.lost
		w.late, w.lost = false, 0
	}
	t.Lines, w.taken = w.follower.log.after(w.taken, max)
	return t
}

// offer replaces the pending update of a watcher of one client. Updates that are not newer are those that were
// published between add and the answer of the loop.
func (w *Watcher) offer(line []byte, seq uint64) {
	if seq <= w.seq {
		return
	}
	w.pending, w.seq = line, seq
	w.count++
	w.signal()
}

func (w *Watcher) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}
