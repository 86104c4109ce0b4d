package sockets

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen binds addr, host:port, with SO_REUSEADDR and without SO_REUSEPORT: binding a port that is in use fails.
func Listen(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // MPTCP sockets differ in their options, and clients do not use them
	return lc.Listen(context.Background(), "tcp", addr)
}

// ListenFDs returns the listeners passed by the parent process, as in systemd's socket activation (sd_listen_fds(3)):
// LISTEN_FDS of them, from descriptor 3 on, if LISTEN_PID is this process or not set. Without LISTEN_FDS there are none.
// The variables are removed, so that child processes do not use them.
func ListenFDs() ([]net.Listener, error) {
	fds, pid := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDS")
	os.Unsetenv("LISTEN_PID")
	os.Unsetenv("LISTEN_FDNAMES")
	if fds == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS: invalid number of descriptors %q", fds)
	}
	var all []net.Listener
	for fd := 3; fd < 3+n; fd++ {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("LISTEN_FDS: descriptor %d: %w", fd, err)
		}
		all = append(all, l)
	}
	return all, nil
}
