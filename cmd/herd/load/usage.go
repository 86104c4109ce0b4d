package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is the resource usage of a process.
type usage struct {
	User, System time.Duration
	Switches     int64 // context switches, voluntary and involuntary
}

// processUsage is the usage of this process.
func processUsage() usage {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return usage{}
	}
	return usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		Switches: int64(r.Nvcsw + r.Nivcsw),
	}
}

func (u usage) since(before usage) Usage {
	return Usage{
		User: (u.User - before.User).Seconds(), System: (u.System - before.System).Seconds(),
		Switches: u.Switches - before.Switches,
	}
}

// targetsCPU is the total CPU time of the servers' processes; 0 if one of them is unknown.
func targetsCPU(targets []Target) (sum time.Duration) {
	for _, t := range targets {
		d, err := CPUOf(t.PID)
		if err != nil {
			return 0
		}
		sum += d
	}
	return sum
}

// CPUOf is the user and system time of a process, see proc(5).
func CPUOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, os.ErrNotExist
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, os.ErrInvalid
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		return 0, os.ErrInvalid
	}
	const userHZ = 100 // on every Linux that Go runs on
	return time.Duration(user+system) * (time.Second / userHZ), nil
}
