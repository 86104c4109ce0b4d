// Package journal keeps a server's records in a directory, so that they survive when all servers of a herd are
// stopped or killed. It implements herd.Journal on Pebble, a log-structured store: the newest record of each
// client, under the client's id, each batch synced to the disk before it counts.
//
// The server's loop never waits for the disk: a Journal has one goroutine that writes, and posts the result back
// to the loop. A slow or failing disk only delays the journal. Pebble treats a failed write of its log as fatal;
// here the write is retried until it succeeds. Where a retry would not be safe, the database is closed and opened
// again, and the records are committed again.
//
// Every second, and around each commit, the same goroutine checks that the files are still where they were
// written: Pebble would go on writing to deleted files. If they are not, State reports a loss and the server commits
// everything again. See directory for how Pebble's failures are contained.
package journal
