package sockets

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen binds addr, host:port, with SO_REUSEADDR and without SO_REUSEPORT: a port in use is an
// error that names it.
func Listen(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // its sockets differ in options, and nobody here speaks it
	return lc.Listen(context.Background(), "tcp", addr)
}

// ListenFDs returns the listeners that the parent process has opened for this one, as systemd's
// socket activation hands them over (sd_listen_fds(3)): LISTEN_FDS of them, from descriptor 3 on,
// meant for LISTEN_PID if that is set. There are none if LISTEN_FDS is not set. The variables are
// removed, so that children do not take them for theirs.
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
		return nil, fmt.Errorf("LISTEN_FDS: %q is not a number of descriptors", fds)
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
