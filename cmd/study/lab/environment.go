package lab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Environment is the machine and the software of a measurement.
type Environment struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`    // of the machine
	Affinity    int    `json:"affinity"` // cores that this process may use
	MemoryBytes uint64 `json:"memory_bytes"`
	Kernel      string `json:"kernel"`
	System      string `json:"system"` // such as linux/amd64
	Go          string `json:"go"`
	Version     string `json:"version"`           // of the herd binary
	Against     string `json:"against,omitempty"` // version of the other herd binary, if the row compares two
	// Checkout is the commit of the working directory, usually that of the binary. It ends with -dirty if
	// files were changed.
	Checkout    string `json:"checkout,omitempty"`
	GOMAXPROCS  int    `json:"gomaxprocs"`
	GOGC        string `json:"gogc"` // of the environment; "" if the program sets it
	GOMEMLIMIT  string `json:"gomemlimit"`
	GOAMD64     string `json:"goamd64,omitempty"`
	Descriptors uint64 `json:"descriptors"` // limit of a process
	Load        string `json:"load"`        // load averages of 1, 5 and 15 minutes when the row began
	// Versions are the versions of peers, by subject.
	Versions map[string]string `json:"versions,omitempty"`
}

// newEnvironment returns the current environment. Unknown fields are empty.
func newEnvironment(version string) Environment {
	e := Environment{
		CPU: cpuModel(), Cores: processors(), Affinity: runtime.NumCPU(), Kernel: kernel(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		GOMAXPROCS: runtime.GOMAXPROCS(0), GOGC: os.Getenv("GOGC"), GOMEMLIMIT: os.Getenv("GOMEMLIMIT"),
		Version: version, Checkout: checkout(), Load: firstFields("/proc/loadavg", 3),
	}
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		e.Descriptors = uint64(files.Cur)
	}
	for line := range strings.Lines(firstLines("/proc/meminfo")) {
		fmt.Sscanf(line, "MemTotal: %d kB", &e.MemoryBytes)
	}
	e.MemoryBytes *= 1024
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "GOAMD64" {
				e.GOAMD64 = s.Value
			}
		}
	}
	return e
}

func cpuModel() string {
	for line := range strings.Lines(firstLines("/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return ""
}

// checkout runs git only once, before the first row, because the report may be a file of the checkout.
var checkout = sync.OnceValue(func() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

func processors() int {
	n := 0
	for line := range strings.Lines(firstLines("/proc/cpuinfo")) {
		if strings.HasPrefix(line, "processor") {
			n++
		}
	}
	return max(n, runtime.NumCPU())
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

func firstLines(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

func firstFields(file string, n int) string {
	f := strings.Fields(firstLines(file))
	return strings.Join(f[:min(n, len(f))], " ")
}

// sentences describe an environment for the report.
func (e Environment) sentences() []string {
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	all := []string{
		fmt.Sprintf("%s, %d cores, of which the study may use %d; %.1f GiB of memory; %s; %s; %d descriptors "+
			"a process.", or(e.CPU, "an unknown CPU"), e.Cores, e.Affinity,
			float64(e.MemoryBytes)/(1<<30), or(e.Kernel, "an unknown kernel"), e.System, e.Descriptors),
		fmt.Sprintf("herd %s, checkout %s, %s, GOAMD64 %s, GOMAXPROCS %d, GOGC %s, GOMEMLIMIT %s.",
			or(e.Version, "unknown"), or(e.Checkout, "unknown"), e.Go, or(e.GOAMD64, "not set"),
			e.GOMAXPROCS, or(e.GOGC, "not set"), or(e.GOMEMLIMIT, "not set")),
	}
	if e.Against != "" {
		all = append(all, "Compared with herd "+e.Against+".")
	}
	var versions []string
	for _, name := range sortedKeys(e.Versions) {
		versions = append(versions, name+" "+e.Versions[name])
	}
	if len(versions) > 0 {
		all = append(all, "Measured beside it: "+strings.Join(versions, ", ")+".")
	}
	return all
}
