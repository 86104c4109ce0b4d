package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"serverherd/cmd/processtest"
	"serverherd/herd"
)

// inNamespace is set for a run of these tests inside a network namespace of its own.
const inNamespace = "FAULTS_IN_NAMESPACE"

// slowWelsh makes the kernel's loopback device slow for whatever goes to Welsh's address.
const slowWelsh = `set -e
ip link set lo mtu 1500 up
tc qdisc add dev lo root handle 1: htb
tc class add dev lo parent 1: classid 1:1 htb rate 1gbit
tc qdisc add dev lo parent 1:1 tbf rate 100kbit burst 4kb latency 1s
tc filter add dev lo parent 1: protocol ip prio 1 u32 match ip dst 127.9.0.3/32 flowid 1:1`

// TestSlowKernelLink is TestSlowLink with the kernel's queue, buffers and losses instead of this
// package's.
func TestSlowKernelLink(t *testing.T) {
	const required = "100 kbit/s of the kernel's: conflated, and the last place arrives"
	switch {
	case !*realSize:
		t.Skip("in real size only: make faults")
	case os.Getenv(inNamespace) != "":
		insideNamespace(t)
		return
	}
	out, err := exec.Command("unshare", "--net", "sh", "-c", slowWelsh).CombinedOutput()
	if err != nil {
		notRun(t, required, fmt.Sprintf("no network namespace with htb, tbf and u32: %v %s", err,
			bytes.TrimSpace(out)))
	}
	again := exec.Command("unshare", "--net", os.Args[0], "-test.run=^TestSlowKernelLink$",
		"-test.count=1", "-test.v", "-faults.real")
	again.Env = append(os.Environ(), inNamespace+"=yes")
	if out, err = again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rows := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(line, " | ")
		if len(f) == 4 && strings.HasPrefix(line, "| SlowKernelLink") {
			figure(t, strings.HasPrefix(f[3], "met"), f[1], "%s", f[2])
			rows++
		}
	}
	if rows == 0 {
		t.Errorf("no figures in\n%s", out)
	}
}

// insideNamespace is the scenario, where ports and addresses are nobody else's.
func insideNamespace(t *testing.T) {
	if out, err := exec.Command("sh", "-c", slowWelsh).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var servers []herd.ServerConfig
	for i, name := range []string{"Hamilton", "Alford", "Welsh"} {
		address := fmt.Sprintf("127.9.0.%d:7000", i+1)
		s := herd.ServerConfig{
			Name: name, Address: address, Listen: address,
			Console: fmt.Sprintf("127.0.0.1:%d", 7001+i), Neighbors: []string{"Alford"},
		}
		if name == "Alford" {
			s.Neighbors = []string{"Hamilton", "Welsh"}
		}
		servers = append(servers, s)
	}
	c := &cluster{processtest.New(t, quiet, servers...), newNetwork(t)}
	c.Flags = []string{"--pprof"}
	c.startAll()
	c.conflates(12_500)
}
