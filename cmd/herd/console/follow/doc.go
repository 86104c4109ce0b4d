// Package follow is the one follower of a server's feed for its whole console. It exists while somebody watches.
//
//	loop                 one goroutine               a goroutine for each watcher
//	reader: copies  -->  fanOut: by client id   -->  Watcher.Take: writes lines
//	new records          and to all
//
// # What the loop does
//
// While there is at least one watcher, a reader with a feed.Cursor copies what is new into a batch every
// herd.FollowPause, at most herd.FollowRecords in one turn. It does nothing for each watcher, and nothing at all when
// there is none. There are two batches. If the goroutine has not returned one, the reader does not read on: the feed
// is the queue, in which a client that moves a thousand times is one record. So one client makes about 20 updates a
// second at most, whatever it does.
//
// # Watchers
//
// A Watcher is of one client or of all. Nobody waits for it: what it has not taken is conflated.
//
//   - Of one client: it holds the newest update, and a count.
//   - Of all: updates are kept in one log for all such watchers, which have a position in it. The log is compacted as
//     the feed is: an update of a client replaces the one before. What all have taken is dropped, and beyond
//     herd.WatchBacklog bytes the oldest is dropped, too, and counted as lost for those who have not taken it.
//
// # Invariants
//
//  1. A watcher's updates come in the order of their positions in the feed, each at most once.
//  2. The last update that a watcher of one client takes is the newest one of the client that was published.
//  3. So it is, for each client, with a watcher of all, unless lost says how many clients are missing.
//
// Another kind of viewer, for which the goroutine would keep an array of all clients by slot, is another branch in
// Follower.publish, beside the one by client id and the one to all.
package follow
