package e2e

import (
	"fmt"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// slowWelsh makes the kernel's loopback device slow for traffic to Welsh's address.
const slowWelsh = `set -e
ip link set lo mtu 1500 up
tc qdisc add dev lo root handle 1: htb
tc class add dev lo parent 1: classid 1:1 htb rate 1gbit
tc qdisc add dev lo parent 1:1 tbf rate 100kbit burst 4kb latency 1s
tc filter add dev lo parent 1: protocol ip prio 1 u32 match ip dst 127.9.0.3/32 flowid 1:1`

// TestSlowKernelLink is TestSlowLink with the kernel's queue, buffers and losses instead of the test's network.
func TestSlowKernelLink(t *testing.T) {
	if !*realSize {
		t.Skip("in real size only: make e2e")
	}
	if !inside(t, "100 kbit/s of the kernel's: conflated, and the last update arrives", slowWelsh) {
		return
	}
	var servers []config.Server
	for i, name := range []string{"Hamilton", "Alford", "Welsh"} {
		address := fmt.Sprintf("127.9.0.%d:7000", i+1)
		s := config.Server{
			Name: name, Address: address, Listen: address,
			Console: fmt.Sprintf("127.0.0.1:%d", 7001+i), Neighbors: []string{"Alford"},
		}
		if name == "Alford" {
			s.Neighbors = []string{"Hamilton", "Welsh"}
		}
		servers = append(servers, s)
	}
	c := &cluster{Herd: processtest.New(t, quiet, servers...), net: newNetwork(t)}
	c.Flags = []string{"--pprof"}
	c.startAll()
	c.checkConflation(12_500)
}
