package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestProcessStatus(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc: ", err)
	}
	before := processStatus()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for processStatus().CPU <= before.CPU { // reading it takes CPU
	}
	if u := processStatus(); u.Resident < 1<<20 || u.OpenFDs <= before.OpenFDs || u.MaxFDs < u.OpenFDs {
		t.Errorf("%+v, with one file less %+v", u, before)
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
	}{
		{"no control groups", nil, 0},
		{"version 2", map[string]string{
			"proc/self/cgroup":                                   "0::/system.slice/herd.service\n",
			"sys/fs/cgroup/system.slice/memory.max":              "max\n",
			"sys/fs/cgroup/system.slice/herd.service/memory.max": "536870912\n",
		}, 512 << 20},
		{"a group above has less", map[string]string{
			"proc/self/cgroup":             "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max":   "1048576\n",
			"sys/fs/cgroup/a/b/memory.max": "2097152\n",
		}, 1 << 20},
		{"in a container", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 << 20},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		}, 1000000},
		{"version 1 in a container", map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/0123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
		}, 1000000},
		{"no limit", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n",
		}, 0},
		{"nonsense", map[string]string{"proc/self/cgroup": "0\n\n0::\n"}, 0},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryLimit(root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	before := debug.SetMemoryLimit(300 << 20) // as $GOMEMLIMIT does
	defer debug.SetMemoryLimit(before)
	if got := memoryLimit("/"); got != 300<<20 {
		t.Errorf("with $GOMEMLIMIT: %d", got)
	}
}
