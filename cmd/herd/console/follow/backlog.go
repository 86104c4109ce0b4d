package follow

import (
	"slices"

	"serverherd/herd"
)

// entry is an update that was published.
type entry struct {
	n      uint64 // its number in the backlog
	client string
	line   []byte
}

// size is the memory that an entry takes, about: its texts, itself, and its share of the map and the list.
func (e *entry) size() int { return len(e.line) + len(e.client) + 192 }

// backlog is the log for those who watch all clients: the newest update of each client, in the order in which they were
// published, since the one that somebody has not taken. Guarded by the Follower's mutex.
type backlog struct {
	n        uint64   // number of the last update
	entries  []*entry // by n; line is nil if it was replaced
	replaced int      // of entries
	byClient map[string]*entry
	bytes    int // of those that are not replaced
}

// add publishes a client's update.
func (b *backlog) add(client string, line []byte) {
	if old := b.byClient[client]; old != nil {
		b.bytes -= old.size()
		old.line = nil
		b.replaced++
	}
	if b.byClient == nil {
		b.byClient = make(map[string]*entry)
	}
	b.n++
	e := &entry{b.n, client, line}
	b.byClient[client] = e
	b.entries = append(b.entries, e)
	b.bytes += e.size()
}

// after returns the lines of the updates behind number n, of max bytes at most but one line at least, and the number
// of the last one.
//
// #nosec G115 -- numbers are compared by their difference, which may wrap
func (b *backlog) after(n uint64, max int) (lines [][]byte, last uint64) {
	i, _ := slices.BinarySearchFunc(b.entries, n+1, func(e *entry, n uint64) int {
		return int(int64(e.n - n))
	})
	for _, e := range b.entries[i:] {
		if e.line == nil {
			continue
		}
		if max -= len(e.line); max < 0 && len(lines) > 0 {
			return lines, n
		}
		lines, n = append(lines, e.line), e.n
	}
	return lines, b.n
}

// trim drops what all watchers have taken, and what is beyond herd.WatchBacklog.
func (b *backlog) trim(watchers map[*Watcher]struct{}) {
	taken := b.n
	for w := range watchers {
		taken = min(taken, w.taken)
	}
	i := 0
	for ; i < len(b.entries); i++ {
		e := b.entries[i]
		if e.line == nil {
			b.replaced--
			continue
		}
		if e.n > taken {
			if b.bytes <= herd.WatchBacklog {
				break
			}
			for w := range watchers {
				if w.taken < e.n {
					w.lost++
				}
			}
		}
		b.bytes -= e.size()
		delete(b.byClient, e.client)
	}
	b.entries = slices.Delete(b.entries, 0, i)
	if b.replaced > len(b.entries)/2 {
		b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool { return e.line == nil })
		b.replaced = 0
	}
	if len(b.entries) == 0 {
		b.entries, b.byClient = nil, nil
	}
}
