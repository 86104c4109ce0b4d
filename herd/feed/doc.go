// Package feed is the state of one server: the newest record of each client (Store), in the order in which this
// server applied them (the feed), and positions in that order (Cursor). A follower, such as a link or the
// journal, has cursors and needs no queue of its own.
//
// The package is pure: it does no I/O, reads no clock and starts no goroutine. One goroutine owns a Store and
// all of its cursors.
//
// # Example
//
// The feed is a compacted log. A new record is appended at the tail, and the previous record of its client is
// removed. Three clients, each record with its position, and a cursor, |, which has returned two of them:
//
//	a1@1 b1@2 | c1@3            Position 2
//	b1@2 | c1@3 a2@4            Position 2, after a was updated
//	b1@2 | a2@4 c2@5            Position 3, after c was updated: the cursor need not send 3 any longer
//	b1@2 a2@4 c2@5 |            Position 5, after Next, Next: caught up
//
// A cursor that lags costs nothing. It returns each client once, however often the client has moved.
//
// # Memory
//
//	clients (index)                 feed (positions)
//	hash of the id  -> cell         1: -   2: b1's cell   3: -   4: a2's cell   5: c2's cell
//	                      \          |
//	                       cells (slabs): position, hash, sender, time of storing, record
//
// Records are in cells, blocks of bytes of some sizes, and refer to each other by numbers. So the garbage collector has
// nothing to look at, and 1,000,000 clients with usual ids take 168 bytes each (BenchmarkMemoryOfAMillion). The index
// grows by splitting one of its tables of 1,024 slots at a time, and the feed by segments of 4,096 positions, which are
// given back when all of their records have moved on. So no call takes long.
//
// A record that is applied to one of 1,000,000 clients waits for memory several times: for the slot in the index, the cell,
// and the place in the feed. Prefetch does that for many clients at once. A cursor that lags does it for the cells of the records that follow.
//
// # Invariants
//
// Of a Store:
//
//  1. Each client has one cell. The index has it under the client, and the feed at its position.
//  2. A position is assigned once: tail only grows, and no record has a greater position.
//  3. A record is replaced only by a greater one of its client (protocol.Record.Compare). So two stores that
//     were offered the same records, in any order and any number of times, are equal. There are three
//     exceptions: a full store drops records and reports that (Overflowed); ApplyLegacy drops some, see there;
//     and Damage is for tests.
//  4. digest is the sum of the hashes of all records. Two stores of the same number of records and the same
//     digest hold the same records.
//
// Of a Cursor:
//
//  5. Each record up to its Position has been returned, or passed by Advance, or replaced by one beyond that
//     Position. A follower that was sent everything up to p and later resumes at p has missed nothing.
//  6. The positions of the records that it returns increase, until MoveTo or Rewind. Position never decreases
//     otherwise.
//
// A record's bytes belong to the Store and are valid until it is changed, see Item.
package feed
