package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Debian's Python, to which the packages in the install hints belong.
const python = "/usr/bin/python3"

// programs is the directory of the servers, relative to the module.
const programs = "testdata/peers"

// findPrograms looks for programs in the working directory and its parents.
var findPrograms = sync.OnceValues(func() (dir string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for above := here; ; above = filepath.Dir(above) {
		dir := filepath.Join(above, programs)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
		if above == filepath.Dir(above) {
			return "", fmt.Errorf("no %s in %s or its parents: run it in a checkout", programs, here)
		}
	}
})

// A Peer is a server for comparison. Any goroutine.
type Peer struct {
	Name string // as in the study: asyncio, twisted, node

	argv    []string // interpreter and program, relative to programs
	check   []string // command that prints the version of the platform, or fails
	install string
	probe   func() (version, missing string)
}

// All returns all peers.
func All() []*Peer { return all }

var all = []*Peer{
	newPeer("asyncio", "apt-get install python3, which must be 3.11 or newer",
		[]string{python, "-B", "python/server.py", "--on", "asyncio"},
		[]string{python, "-c", "import asyncio, platform; asyncio.timeout; " +
			"print('Python', platform.python_version())"}),
	newPeer("twisted", "apt-get install python3-twisted, and python3 must be 3.11 or newer",
		[]string{python, "-B", "python/server.py", "--on", "twisted"},
		[]string{python, "-c", "import asyncio, platform, twisted; asyncio.timeout; " +
			"print('Twisted', twisted.__version__, 'on Python', platform.python_version())"}),
	newPeer("node", "apt-get install nodejs, which must be 18 or newer",
		[]string{"node", "node/server.js"},
		[]string{"node", "-e", "if (parseInt(process.versions.node) < 18) throw Error(process.version);" +
			"console.log('Node.js', process.versions.node)"}),
}

func newPeer(name, install string, argv, check []string) *Peer {
	p := &Peer{Name: name, argv: argv, check: check, install: install}
	p.probe = sync.OnceValues(p.look)
	return p
}

// look runs the check command.
func (p *Peer) look() (version, missing string) {
	if _, err := findPrograms(); err != nil {
		return "", err.Error()
	}
	out, err := exec.Command(p.check[0], p.check[1:]...).Output()
	if err == nil {
		return strings.TrimSpace(string(out)), ""
	}
	reason := err.Error()
	if e, ok := err.(*exec.ExitError); ok {
		lines := strings.Split(strings.TrimSpace(string(e.Stderr)), "\n")
		for _, l := range lines { // Node.js prints a stack trace after the reason
			if strings.Contains(l, "Error: ") {
				reason = l
			}
		}
	}
	return "", fmt.Sprintf("%s cannot run (%s): %s", p.Name, reason, p.install)
}

// Missing says why the peer cannot run here and how to install it; "" if it can run.
func (p *Peer) Missing() string {
	_, missing := p.probe()
	return missing
}

// Version is the version of the platform, such as "Twisted 22.4.0 on Python 3.11.2"; "" if it is missing.
func (p *Peer) Version() string {
	version, _ := p.probe()
	return version
}
