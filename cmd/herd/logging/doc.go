// Package logging is the server's log: zap entries and, because there are so many, lines in and
// out encoded by an appender of their own, all through a bounded buffer that a goroutine writes to
// a rotated file. The loop never waits for a disk: what does not fit is dropped and counted. Nor
// does it make the entries of ordinary lines: it hands lines over, and that goroutine makes them.
package logging
