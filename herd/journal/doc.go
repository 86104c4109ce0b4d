// Package journal keeps a server's records in a directory, so that a herd that is stopped or killed
// as a whole remembers. It is a herd.Journal on Pebble, a log-structured store: the newest record of
// each client, under the client's id, each batch synced to the disk before it counts.
//
// The server's loop never waits for the disk: a Journal has one goroutine that writes, and posts the
// outcome back onto the loop. A disk that stalls or fails costs nothing but lag. Pebble regards a
// failed write of its log as the end of the program; here the write is retried until it succeeds, and
// where that cannot be trusted the database is closed, opened again, and given the records again.
//
// The same goroutine looks every second, and around each commit, whether the files are where they were
// written: Pebble would go on writing to files that were deleted. If not, State tells the server, which
// commits everything again. See directory for how Pebble is kept from doing harm.
package journal
