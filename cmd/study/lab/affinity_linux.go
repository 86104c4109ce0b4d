package lab

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// twoCores returns two cores that this process may use.
func twoCores() (a, b int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, Cannot("the affinity of this process cannot be read: %v", err)
	}
	var may []int
	for i := 0; i < 8*len(set)*8 && len(may) < 2; i++ {
		if set.IsSet(i) {
			may = append(may, i)
		}
	}
	if len(may) < 2 {
		return 0, 0, Cannot("server and loader need a core each, but this process may use only %d", len(may))
	}
	return may[0], may[1], nil
}

// onCore runs a function that starts processes; they may use one core only.
func onCore(core int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return Cannot("the affinity of this process cannot be read: %v", err)
	}
	if err := unix.SchedSetaffinity(0, only(core)); err != nil {
		return Cannot("this process may not choose its cores: %v", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }() // it was so before
	return start()                                           // a child has the affinity of the thread that starts it
}

// selfOnCore restricts all threads of this process to one core until undo.
func selfOnCore(core int) (undo func(), err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, Cannot("the affinity of this process cannot be read: %v", err)
	}
	if err := everyThread(only(core)); err != nil {
		_ = everyThread(&before)
		return nil, Cannot("this process may not choose its cores: %v", err)
	}
	return func() { _ = everyThread(&before) }, nil
}

func only(core int) *unix.CPUSet {
	var set unix.CPUSet
	set.Set(core)
	return &set
}

// everyThread sets the affinity of all threads. New threads have that of the thread that starts them, so it
// repeats until there are no others.
func everyThread(set *unix.CPUSet) error {
	seen := map[string]bool{}
	for found := true; found; {
		found = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil || seen[task.Name()] {
				continue
			}
			seen[task.Name()], found = true, true
			if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH { // it may have ended
				return err
			}
		}
	}
	return nil
}
