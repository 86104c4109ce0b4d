// Package journal keeps a server's records in a directory, so that a herd that is stopped or killed
// as a whole remembers. It is a herd.Journal on Pebble, a log-structured store: the newest record of
// each client, under the client's id, each batch synced to the disk before it counts.
//
// The server's loop never waits for the disk: a Journal has one goroutine that writes, and posts the
// outcome back onto the loop. A disk that stalls or fails costs nothing but lag. Pebble regards a
// failed write of its log as the end of the program; here the write is tried until it succeeds, and
// where that cannot be trusted the database is closed, opened anew, and given the records again.
package journal
