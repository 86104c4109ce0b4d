package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// tlsRecord is the first byte of a TLS handshake.
const tlsRecord = 0x16

// serverBehind returns the server that has the other end of a connection, by the command line of the process; "" if none
// does. It must be a child of this process.
func serverBehind(c *net.TCPConn) string {
	socket := socketOf(c.RemoteAddr().(*net.TCPAddr), c.LocalAddr().(*net.TCPAddr))
	if socket == "" {
		return ""
	}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		pids, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(pids)) {
			if !hasDescriptor(pid, socket) {
				continue
			}
			args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if argv := bytes.Split(args, []byte{0}); len(argv) > 2 && string(argv[1]) == "serve" {
				return string(argv[2])
			}
		}
	}
	return ""
}

// socketOf is the name of an IPv4 socket as a descriptor of its process.
func socketOf(local, remote *net.TCPAddr) string {
	table, _ := os.ReadFile("/proc/net/tcp")
	want := kernelAddress(local) + " " + kernelAddress(remote)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 9 && fields[1]+" "+fields[2] == want {
			return "socket:[" + fields[9] + "]"
		}
	}
	return ""
}

// kernelAddress is an IPv4 address as in /proc/net/tcp.
func kernelAddress(a *net.TCPAddr) string {
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(a.IP.To4()), a.Port)
}

func hasDescriptor(pid, target string) bool {
	dir := "/proc/" + pid + "/fd"
	all, _ := os.ReadDir(dir)
	for _, d := range all {
		if is, err := os.Readlink(filepath.Join(dir, d.Name())); err == nil && is == target {
			return true
		}
	}
	return false
}
