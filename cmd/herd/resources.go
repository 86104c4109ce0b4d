package main

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"serverherd/herd"
	"serverherd/herd/config"
)

// processStatus returns what this process uses. What the system does not report is zero.
func processStatus() (u herd.ProcessStatus) {
	u.MaxFDs = descriptors()
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
	}
	self, err := procfs.Self()
	if err != nil {
		return u // there is no /proc
	}
	if s, err := self.Stat(); err == nil {
		u.Resident = uint64(s.ResidentMemory())
	}
	u.OpenFDs, _ = self.FileDescriptorsLen()
	return u
}

// resources returns the limits of this process.
func resources() config.Resources {
	return config.Resources{Descriptors: descriptors(), Memory: memoryLimit("/")}
}

// descriptors is the limit on open file descriptors. Go has raised the soft limit already.
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(uint64(limit.Cur), 1<<30))
}

// memoryLimit is $GOMEMLIMIT or, if that is not set, the lowest memory limit of this process's control
// groups, in bytes; 0 if there is none. Root is the root of the file system, for tests.
func memoryLimit(root string) int {
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		return int(n)
	}
	// A line is hierarchy:controllers:path; version 2 is 0::path.
	// #nosec G304 -- a file of the kernel; root is /, except in tests
	text, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	least := 0
	for line := range strings.Lines(string(text)) {
		field := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(field) < 3 {
			continue
		}
		files, name := "sys/fs/cgroup", "memory.max"
		if field[1] != "" {
			if !slices.Contains(strings.Split(field[1], ","), "memory") {
				continue
			}
			files, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// Limits of all ancestors apply, too. In a container the path may be the host's, and only the root
		// of the hierarchy exists.
		for group := path.Join("/", field[2]); ; group = path.Dir(group) {
			if n := readLimit(filepath.Join(root, files, group, name)); n > 0 && (least == 0 || n < least) {
				least = n
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// recordSize is the memory of a record with a usual id, in bytes.
const recordSize = 170

// memoryNeeded is what records with usual ids and clients' buffers take when they have reached their limits, in
// bytes. Garbage is not included.
func memoryNeeded(l *config.Limits) int { return l.MaxClients*recordSize + l.MaxBuffered }

// memory is memoryLimit or, if there is none, the machine's memory; 0 if that is unknown.
func memory() int {
	if n := memoryLimit("/"); n > 0 {
		return n
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	if info, err := proc.Meminfo(); err == nil && info.MemTotalBytes != nil {
		// #nosec G115 -- no machine has 1<<63 bytes
		return int(*info.MemTotalBytes)
	}
	return 0
}

// readLimit reads a file with a number of bytes; 0 if it says "max" or a number that means no limit.
//
// #nosec G304 -- a file of the kernel: its path is from /proc/self/cgroup
func readLimit(file string) int {
	text, _ := os.ReadFile(file)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}
