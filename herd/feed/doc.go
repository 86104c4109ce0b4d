// Package feed is the state of one server: the newest record of each client (Store), in the order in which
// this server applied them (the feed), and places in that order (Cursor). Whoever passes records on, as a
// link does to a neighbor and the journal to a disk, owns cursors and needs no queue of its own.
//
// The package is pure: it does no I/O, reads no clock and starts no goroutine. One goroutine owns a Store and
// all of its cursors.
//
// # Example
//
// The feed is a compacted log. A record that is stored goes to the tail, and the one that it replaces is
// gone. Three clients, each record with its position, and a cursor, |, which has handed over two of them:
//
//	a1@1 b1@2 | c1@3            Position 2
//	b1@2 | c1@3 a2@4            Position 2, after a was updated
//	b1@2 | a2@4 c2@5            Position 3, after c was updated: nothing at 3 is owed any longer
//	b1@2 a2@4 c2@5 |            Position 5, after Next, Next: caught up
//
// A cursor that lags costs nothing. It is owed each client once, however often the client has moved.
//
// # Invariants
//
// Of a Store:
//
//  1. The ring holds one entry for each client, markers, and nothing else. entries finds an entry by its
//     client.
//  2. From the head to the tail, the positions of the entries increase. A position is given once: tail only
//     grows, and no entry's position is beyond it.
//  3. The record of a client is replaced only by a greater one (protocol.Record.Compare). So two stores to
//     which the same records were offered, in any order and any number of times, are equal. There are three
//     exceptions: a store that is full drops records, and says so (Overflowed); ApplyLegacy drops some, see
//     there; and Damage is for tests.
//  4. digest is the sum of the hashes of all records. Two stores of the same number of records and the same
//     digest hold the same records.
//
// Of a Cursor that is not closed:
//
//  5. It stands at one marker, and a marker counts the cursors that stand at it. A marker at which none stands
//     is not in the ring.
//  6. Each record up to its Position has been handed over, or passed by Advance, or replaced by one beyond
//     that Position. Whoever is told "up to here" at p and later resumes at p has lost nothing.
//  7. Positions that it hands over increase, until MoveTo or Rewind moves it. Position never decreases by
//     itself.
//
// A record's bytes belong to the Store and are valid until it is changed, see Item.
package feed
