package follow

import "serverherd/herd/feed"

// Update is a record as a server applied it.
type Update struct {
	feed.Item
	Source   string // see herd.Server.Source
	Neighbor string
}

// Batch is copies of records: what the loop passes to another goroutine, and gets back to use it again. The goroutine
// that has it owns the records' bytes.
type Batch struct {
	Updates []Update
	text    []byte // of the updates' records, concatenated, as far as there is room
	size    int    // of the updates' records

	// See reader:
	position uint64 // of the cursor, behind the last record
	clients  uint64 // that the server has
	walk     *dots  // the array that a walk is for; nil: updates
	ended    bool   // of a walk
	end      uint64 // then: of the feed
}

// NewBatch returns a batch with room for some records of size bytes together, and one more.
func NewBatch(records, size int) *Batch {
	return &Batch{Updates: make([]Update, 0, records), text: make([]byte, 0, size+oneRecord)}
}

// oneRecord is more than the bytes of a record of a client with the longest id, as a rule.
const oneRecord = 4096

// Reset empties the batch.
func (b *Batch) Reset() { b.Updates, b.text, b.size = b.Updates[:0], b.text[:0], 0 }

// Size is how many bytes the records have.
func (b *Batch) Size() int { return b.size }

// Fill copies the next records, of those that keep wants, until it has looked at some number of them or has size bytes.
// It reports whether there are more. Loop only.
func (b *Batch) Fill(c *feed.Cursor, records, size int, source func(feed.Item) (source, neighbor string), keep func(feed.Item) bool) (more bool) {
	for looked := 0; looked < records && b.size < size; looked++ {
		item, ok := c.Next()
		if !ok {
			return false
		}
		if keep(item) {
			b.Add(item, source)
		}
	}
	return !c.CaughtUp()
}

// Add copies a record. How it came is what source returns, if it is not nil. Loop only.
func (b *Batch) Add(item feed.Item, source func(feed.Item) (source, neighbor string)) {
	u := Update{Item: item}
	if source != nil {
		u.Source, u.Neighbor = source(item)
	}
	used := len(b.text)
	u.Record = u.Record.CloneInto(b.text[used:used])
	if end := used + len(u.Record.Text()); end <= cap(b.text) {
		b.text = b.text[:end]
	} // else it has got memory of its own
	b.size += len(u.Record.Text())
	b.Updates = append(b.Updates, u)
}

// Copy returns a copy of one record.
func Copy(item feed.Item, source func(feed.Item) (source, neighbor string)) Update {
	var b Batch
	b.Add(item, source)
	return b.Updates[0]
}
