package cells

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/config"
)

// inNamespace is set for the run of TestNamespaces in a network namespace of its own. That one, and those it makes, have no
// names. They end with the last process in them, so nothing is left behind however the test ends.
const inNamespace = "CELLS_IN_NAMESPACE"

// shape is the queue of every link: it delays a burst by up to 40 ms.
const shape = "tbf rate 16mbit burst 32k latency 40ms"

// site is a network namespace with a link to the one of the test, where a bridge connects all sites.
type site struct {
	t         *testing.T
	namespace *os.File
	link      string // the end of the link in the test's namespace
	ip        string
}

func run(t *testing.T, command string, args ...any) {
	t.Helper()
	argv := strings.Fields(fmt.Sprintf(command, args...))
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", strings.Join(argv, " "), err, out)
	}
}

// newSite makes the i-th site.
func newSite(t *testing.T, i int) *site {
	t.Helper()
	s := &site{t: t, link: fmt.Sprintf("site%d", i), ip: fmt.Sprintf("10.0.0.%d", i+1)}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.namespace, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.namespace.Close() })
	run(t, "ip link add %s type veth peer name inside netns /proc/%d/fd/%d", s.link, os.Getpid(), s.namespace.Fd())
	run(t, "ip link set %s master sites up", s.link)
	run(t, "tc qdisc add dev %s root %s", s.link, shape)
	s.in(func() {
		run(t, "ip link set lo up")
		run(t, "ip address add %s/24 dev inside", s.ip)
		run(t, "ip link set inside up")
		run(t, "tc qdisc add dev inside root %s", shape)
	})
	return s
}

// in calls a function in the site's namespace. Processes that it starts and connections that it opens are there.
func (s *site) in(f func()) {
	s.t.Helper()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		s.t.Fatal(err)
	}
	defer here.Close()
	if err := unix.Setns(int(s.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread is lost
		}
		runtime.UnlockOSThread()
	}()
	f()
}

// dial connects from the site's loopback address: a console shows clients to nobody else.
func (s *site) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	s.in(func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
		conn, err = d.DialContext(ctx, network, addr)
	})
	return conn, err
}

// cut makes all packets from and to the site be lost; heal ends that.
func (s *site) cut()  { s.t.Helper(); run(s.t, "ip link set %s down", s.link) }
func (s *site) heal() { s.t.Helper(); run(s.t, "ip link set %s up", s.link) }

// servers returns servers at a site.
func (s *site) servers(names ...string) (all []config.Server) {
	for i, name := range names {
		c := config.Server{Name: name, Console: fmt.Sprintf("%s:%d", s.ip, 11600+i)}
		c.Address = fmt.Sprintf("%s:%d", s.ip, 11500+i)
		c.Listen = c.Address
		for _, n := range names {
			if n != name {
				c.Neighbors = append(c.Neighbors, n)
			}
		}
		all = append(all, c)
	}
	return all
}

// Two herds and each server of a NATS cluster are at sites of their own. The site of a herd is cut off silently, for longer
// than its bridge waits for a sign of life.
func TestNamespaces(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		alone(t)
		return
	}
	run(t, "ip link set lo up")
	run(t, "ip link add sites type bridge")
	run(t, "ip address add 10.0.0.254/24 dev sites")
	run(t, "ip link set sites up")
	var sites []*site
	var addrs, routes []string
	for i := range 3 {
		sites = append(sites, newSite(t, i))
		addrs, routes = append(addrs, sites[i].ip+":4222"), append(routes, sites[i].ip+":6222")
	}
	all := newNATSCluster(t, addrs, routes)
	for i, n := range all {
		n.in = sites[i].in
	}
	all.start()
	f := newFleet()
	place := func(name string, s *site, servers ...string) *cell {
		t.Helper()
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("of "+name+", long enough for a secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		text := head(secret, name, all.url(), mode("share")+"\nreplicas = 3")
		c := &cell{Herd: processtest.New(t, text, s.servers(servers...)...), fleet: f, web: browser(s.dial)}
		c.bridge(servers[0])
		s.in(func() {
			for _, server := range servers {
				c.Start(server)
			}
		})
		c.untilLive()
		return c
	}
	atWest, atEast := newSite(t, 3), newSite(t, 4)
	west, east := place("west", atWest, "Alford", "Hamilton", "Welsh"), place("east", atEast, "Ball", "Holiday")
	var x *traffic
	atWest.in(func() { x = west.traffic("Hamilton", "west", 500) })
	y := east.traffic("Holiday", "east", 500)
	x.goesOn(20)
	y.goesOn(20)
	settledMeanwhile(t, west, east)

	atWest.cut()
	y.goesOn(20)
	x.goesOn(20)
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	processtest.Within(t, processtest.Patience, "the bridge of west has noticed it", func() bool {
		atWest.in(func() {
			out, errOut, _ := west.Command("", "status", "Alford")
			said = out + errOut
		})
		return strings.Contains(said, "bridge down")
	})
	x.goesOn(20)
	y.goesOn(20)
	atWest.heal()
	west.untilLive()
	x.goesOn(10)
	y.goesOn(10)
	x.end()
	y.end()
	settled(t, all[0], []*cell{west, east})
	west.outages("Alford", 1)
	east.outages("Ball", 0)
}

// settledMeanwhile waits until each herd has clients of the other one.
func settledMeanwhile(t *testing.T, cells ...*cell) {
	t.Helper()
	for _, c := range cells {
		c.until(c.bridges[0], "records of the other herd", func(b *herd.BridgeStatus) bool { return b.Applied >= 500 })
	}
}

// alone runs the calling test again in a network namespace of its own, if that can be had.
func alone(t *testing.T) {
	t.Parallel()
	script := "ip link add sites type bridge && ip link add site0 type veth peer name inside && tc qdisc add dev site0 root " + shape
	if out, err := exec.Command("unshare", "--net", "sh", "-c", script).CombinedOutput(); err != nil {
		why := fmt.Sprintf("NOT RUN: %s: it needs root and iproute2: %v %s", t.Name(), err, bytes.TrimSpace(out))
		fmt.Fprintln(os.Stderr, why)
		t.Skip(why)
	}
	again := exec.Command("unshare", "--net", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	again.Env = append(os.Environ(), inNamespace+"=yes")
	out, err := again.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("%v\n%s", err, out)
	}
}
