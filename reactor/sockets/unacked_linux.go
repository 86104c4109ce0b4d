package sockets

import "golang.org/x/sys/unix"

// Unacked is how many bytes a TCP socket's kernel has that its peer has not acknowledged; 0 if it
// does not say.
func Unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
