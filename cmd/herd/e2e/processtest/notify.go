package processtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Notifications are what a service manager receives on its socket, see sd_notify(3). Any goroutine.
type Notifications struct {
	Socket string // for NOTIFY_SOCKET
	mu     sync.Mutex
	all    []string
}

// abstract counts sockets without a file.
var abstract atomic.Uint32

// NotifySocket returns the path of a socket that does not exist, short enough for one, or with "@" in front the name of an
// abstract one.
func NotifySocket(t *testing.T, kind string) string {
	t.Helper()
	if kind == "@" {
		return fmt.Sprintf("@herd-test-%d-%d", os.Getpid(), abstract.Add(1))
	}
	dir, err := os.MkdirTemp("", "n") // TempDir's paths are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "notify")
}

// ListenNotify is a service manager that keeps all it is told at a socket.
func ListenNotify(t *testing.T, socket string) *Notifications {
	t.Helper()
	c := bindNotify(t, socket)
	n := &Notifications{Socket: socket}
	go n.read(c)
	return n
}

// FullNotify is a service manager that does not read, and has no room for another notification, until read is called.
func FullNotify(t *testing.T, socket string) (n *Notifications, read func()) {
	t.Helper()
	c := bindNotify(t, socket)
	fillSocket(t, socket)
	n = &Notifications{Socket: socket}
	return n, func() { go n.read(c) }
}

// bindNotify makes the socket, for every user.
func bindNotify(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if !strings.HasPrefix(socket, "@") {
		if err := os.Chmod(socket, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// read keeps what comes until the socket is closed.
func (n *Notifications) read(c *net.UnixConn) {
	for buf := make([]byte, 64<<10); ; {
		size, err := c.Read(buf)
		if err != nil {
			return
		}
		if text := string(buf[:size]); text != filler {
			n.mu.Lock()
			n.all = append(n.all, text)
			n.mu.Unlock()
		}
	}
}

// All returns all notifications.
func (n *Notifications) All() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// Count returns how many there are of one text.
func (n *Notifications) Count(text string) (count int) {
	for _, one := range n.All() {
		if one == text {
			count++
		}
	}
	return count
}

// States returns the first line and, behind a space, the status of all but the signs of life.
func (n *Notifications) States() (all []string) {
	for _, one := range n.All() {
		if one == Alive {
			continue
		}
		lines := strings.Split(one, "\n")
		state := lines[0]
		if last := lines[len(lines)-1]; len(lines) > 1 {
			state += " " + last
		}
		all = append(all, state)
	}
	return all
}

// Alive is what a service sends for the watchdog.
const Alive = "WATCHDOG=1"

// filler is what fills a socket. Nobody is told of it.
const filler = "x"

// fillSocket sends datagrams to a socket that nobody reads until it has no room.
func fillSocket(t *testing.T, socket string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		err = syscall.Sendto(fd, []byte(filler), 0, &syscall.SockaddrUnix{Name: socket})
	}
	if err != syscall.EAGAIN && err != syscall.ENOBUFS {
		t.Fatal(err)
	}
}
