// Package logging is the server's log: zap entries and all lines in and out, through a bounded buffer that
// a goroutine writes to a rotated file. The loop never waits for a disk: entries that do not fit are
// dropped and counted. Lines are so many that they have an encoder of their own, which runs in that
// goroutine and not on the loop.
package logging
