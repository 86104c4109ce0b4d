// Package follow is the one follower of a server's feed for its whole console. It exists while somebody watches.
//
//	loop                 one goroutine               a goroutine for each watcher
//	reader: copies  -->  fanOut: by client id,  -->  Watcher.Take: writes lines
//	new records          to all, into dots           Page.Next: writes messages
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
// # Pages
//
// While there is at least one Page, the goroutine also keeps dots, an array with each client's position by slot. It is
// filled by a walk along the whole feed, in turns of the loop like those of /clients.ndjson, one at a time. A Page has a
// bit for each slot that has changed since it took it, and takes at most every herd.DotsPause. So a Page costs the loop
// nothing, a slow one gets each dot once, and none needs a resync.
//
// The array goes with the last Page, at once: then the loop does nothing, and another walk, when a page is loaded again,
// takes less than a second.
package follow
