package sockets

import "golang.org/x/sys/unix"

// Unacked returns how many bytes in a TCP socket's send buffer the peer has not acknowledged; 0 if the kernel does not
// report it.
func Unacked(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
