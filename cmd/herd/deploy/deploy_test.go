// Package deploy has no code: it tests what the directory has for other init systems.
package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
	"serverherd/herd/config"
)

// TestMain builds the binary as the Dockerfile does: it runs without any library.
func TestMain(m *testing.M) {
	os.Setenv("CGO_ENABLED", "0")
	processtest.Main(m, "-trimpath")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unknown returns what the binary says of a command line that it does not understand; "" if it does.
func unknown(t *testing.T, args ...string) string {
	t.Helper()
	for i, a := range args { // the values are of no interest, as long as they are values
		if strings.HasPrefix(a, "/etc/") {
			args[i] = filepath.Join(t.TempDir(), "none.toml")
		}
	}
	if _, errOut, code := processtest.Command(t, t.TempDir(), "", args...); code == 2 || !strings.Contains(errOut, "file not found") {
		return errOut
	}
	return ""
}

// Every command line in the unit, in the Dockerfile and in kubernetes.yaml is one of the binary's.
func TestCommandLines(t *testing.T) {
	unit := read(t, "systemd/herd@.service")
	line := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(unit)
	if line == nil || line[1] != "/usr/local/bin/herd" {
		t.Fatalf("ExecStart is %q", line)
	}
	t.Setenv("HERD_SERVER", "Alford")
	for what, args := range map[string][]string{
		"systemd": strings.Fields(strings.ReplaceAll(line[2], "%i", "Alford")), "kubernetes.yaml": pod(t).Containers[0].Args,
		"Dockerfile": instruction(t, "CMD"), "Dockerfile's health check": instruction(t, "HEALTHCHECK")[1:],
	} {
		if said := unknown(t, args...); said != "" {
			t.Errorf("%s: herd %q: %s", what, args, said)
		}
	}
	if said := unknown(t, "serve", "Alford", "--configs", "/etc/x"); !strings.Contains(said, "unknown flag") {
		t.Errorf("a flag that there is not: %q", said)
	}
	t.Setenv("HERD_SERVER", "")
	if said := unknown(t, pod(t).Containers[0].Args...); !strings.Contains(said, "set $HERD_SERVER") {
		t.Errorf("without a server: %q", said)
	}
	docker := read(t, "Dockerfile")
	for _, want := range []string{
		"ENTRYPOINT [\"/bin/herd\"]", "HERD_CONFIG=/etc/herd/herd.toml", "STOPSIGNAL SIGTERM", "USER 65532:65532", "LICENSE LICENSES NOTICE",
		"CGO_ENABLED=0", "-trimpath", "-tags=pebblegozstd",
	} {
		if !strings.Contains(docker, want) {
			t.Errorf("Dockerfile: no %s", want)
		}
	}
}

// The unit has no mistake, and is well protected.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("NOT RUN: systemd-analyze of the units: apt-get install systemd")
		return
	}
	dir := t.TempDir()
	unit := strings.ReplaceAll(read(t, "systemd/herd@.service"), "/usr/local/bin/herd", processtest.Binary)
	verify := func(text string) string {
		t.Helper()
		// An instance as a file of its own, as verify takes no instance of a template in a directory.
		for name, text := range map[string]string{"herd@Alford.service": text, "herd.target": read(t, "systemd/herd.target")} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, errOut, code := processtest.Run(t, dir, "", "systemd-analyze", "verify", "--man=no", "./herd@Alford.service", "./herd.target")
		if code != 0 && out+errOut == "" {
			return "failed"
		}
		return out + errOut
	}
	if said := verify(unit); said != "" { // an unknown directive is only a warning, with exit code 0
		t.Error(said)
	}
	if out, errOut, code := processtest.Run(t, dir, "", "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", "./herd@Alford.service"); code != 0 {
		t.Errorf("exposed by more than 1.5:\n%s%s", out, errOut)
	}
	for old, wrong := range map[string]string{"WatchdogSec=": "WatchdogSecs=", "Type=notify": "Type=notifies", processtest.Binary: "/nowhere/herd"} {
		if verify(strings.Replace(unit, old, wrong, 1)) == "" {
			t.Errorf("%s is no mistake", wrong)
		}
	}
}

// The time to stop is enough: twice the drain time, and at least that and the journal's, see hardStop of cmd/herd.
func TestTimeToStop(t *testing.T) {
	const needs = 11 * time.Second
	unit := regexp.MustCompile(`(?m)^TimeoutStopSec=(\S+)$`).FindStringSubmatch(read(t, "systemd/herd@.service"))
	if unit == nil {
		t.Fatal("no TimeoutStopSec")
	}
	systemd, err := time.ParseDuration(unit[1] + "s")
	if err != nil || systemd < 2*needs || pod(t).Grace < 22 {
		t.Errorf("%v, %v, %d s", systemd, err, pod(t).Grace)
	}
}

// podSpec is what the tests need of a pod.
type podSpec struct {
	Grace      int `yaml:"terminationGracePeriodSeconds"`
	Containers []struct {
		Args []string
		Env  []struct {
			Name string
			From struct {
				Ref struct {
					Path string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		}
		Readiness    probe `yaml:"readinessProbe"`
		Liveness     probe `yaml:"livenessProbe"`
		Startup      probe `yaml:"startupProbe"`
		VolumeMounts []struct {
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
}

type probe struct {
	Get     struct{ Path, Port string } `yaml:"httpGet"`
	Exec    struct{ Command []string }
	Period  int `yaml:"periodSeconds"`
	Timeout int `yaml:"timeoutSeconds"`
	Most    int `yaml:"failureThreshold"`
}

// instruction returns the command of an instruction of the Dockerfile.
func instruction(t *testing.T, name string) (argv []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + name + ` .*?(\[.*\])$`).FindStringSubmatch(read(t, "Dockerfile"))
	if line == nil {
		t.Fatalf("no %s in the Dockerfile", name)
	}
	if err := json.Unmarshal([]byte(line[1]), &argv); err != nil {
		t.Fatal(err)
	}
	return argv
}

// object is what the tests need of any object of kubernetes.yaml.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas    int
		ServiceName string `yaml:"serviceName"`
		ClusterIP   string `yaml:"clusterIP"`
		NotReady    bool   `yaml:"publishNotReadyAddresses"`
		Template    struct{ Spec podSpec }
	}
}

func objects(t *testing.T) (all map[string]object) {
	t.Helper()
	all = map[string]object{}
	for d := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes.yaml"))); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[o.Kind+" "+o.Metadata.Name] = o
	}
}

func pod(t *testing.T) podSpec {
	t.Helper()
	return objects(t)["StatefulSet herd"].Spec.Template.Spec
}

// The herd.toml in kubernetes.yaml is one that servers take, and fits the pods.
func TestKubernetes(t *testing.T) {
	all := objects(t)
	text := all["ConfigMap herd"].Data["herd.toml"]
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("x"), 32), 0o400); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("/etc/herd/herd.toml", []byte(strings.Replace(text, "/etc/herd-secrets/secret", secret, 1)), "",
		config.Resources{Descriptors: 20000})
	if err != nil {
		t.Fatal(err)
	}
	set, headless, spec := all["StatefulSet herd"].Spec, all["Service herd"].Spec, pod(t)
	if len(cfg.Servers) != set.Replicas || set.ServiceName != "herd" || headless.ClusterIP != "None" || !headless.NotReady {
		t.Errorf("%+v, %+v", set, headless)
	}
	for i, s := range cfg.Servers {
		name := "herd-" + string(rune('0'+i))
		if s.Name != name || s.Address != name+".herd:11500" || s.Console != name+".herd:11600" {
			t.Errorf("server %d is %+v", i, s)
		}
		if err := errors.Join(cfg.CheckSecret(s.Listen), cfg.CheckClients(s.Listen), cfg.CheckConsole(s.Console)); err != nil {
			t.Errorf("%s would not start: %v", s.Name, err)
		}
	}
	c := spec.Containers[0]
	for _, file := range []string{cfg.Clients.Tokens, cfg.Log.Dir, cfg.Storage.Dir, cfg.Places.PlacesState, "/etc/herd/herd.toml"} {
		mounted := false
		for _, m := range c.VolumeMounts {
			mounted = mounted || strings.HasPrefix(file, m.MountPath)
		}
		if !mounted {
			t.Errorf("%s is on no volume", file)
		}
	}
	watchdog := regexp.MustCompile(`(?m)^WatchdogSec=(\d+)$`).FindStringSubmatch(read(t, "systemd/herd@.service"))
	if p := c.Liveness; watchdog == nil || watchdog[1] != strconv.Itoa(p.Period*p.Most) {
		t.Errorf("the watchdog of systemd: %q, the liveness probe: %+v", watchdog, p)
	}
}

// The probes of kubernetes.yaml and the health check of the image, with the environment of the container, say of a server
// that runs that it is well, and of one that does not that it is not. Of the others of the herd they say nothing.
func TestProbes(t *testing.T) {
	c := pod(t).Containers[0]
	if len(c.Env) == 0 || c.Env[0].Name != "HERD_SERVER" || c.Env[0].From.Ref.Path != "metadata.name" {
		t.Fatalf("the environment is %+v", c.Env)
	}
	h, listeners := processtest.NewHerd(t, "", "herd-0", "herd-1")
	for _, l := range listeners["herd-1"] {
		l.Close()
	}
	h.Start("herd-0", listeners["herd-0"]...)
	h.UntilLive()
	t.Setenv("HERD_SERVER", "herd-0")
	t.Setenv("HERD_CONFIG", h.Config())
	client, url := h.Console("herd-0")
	check := func(well bool) {
		t.Helper()
		for _, p := range []probe{c.Startup, c.Liveness} {
			r, err := client.Get(url + p.Get.Path)
			if err == nil {
				r.Body.Close()
			}
			if (err == nil && r.StatusCode == http.StatusOK) != well || p.Get.Port != "console" {
				t.Errorf("%+v: %v, want %v", p, err, well)
			}
		}
		for what, argv := range map[string][]string{"a probe": c.Readiness.Exec.Command, "the health check": instruction(t, "HEALTHCHECK")} {
			if len(argv) == 0 || argv[0] != "/bin/herd" {
				t.Fatalf("%s is %q", what, argv)
			}
			out, errOut, code := processtest.Command(t, t.TempDir(), "", argv[1:]...)
			if (code == 0) != well || code > 1 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "herd-0: ") {
				t.Errorf("%s: exit code %d, %s%s, want %v", what, code, out, errOut, well)
			}
		}
	}
	processtest.Eventually(t, "it is ready", func() bool {
		_, _, code := processtest.Command(t, t.TempDir(), "", "ready")
		return code == 0
	})
	check(true)
	h.Stop("herd-0")
	check(false)
}

// The herd.toml of the README, for a service, is one that servers take, with the paths of the unit.
func TestConfigurationOfAService(t *testing.T) {
	block := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(read(t, "README.md"))
	if block == nil {
		t.Fatal("README.md has no herd.toml")
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("x"), 32), 0o400); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(block[1], "/etc/herd/secret", secret, 1) + "[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:11500\"\n"
	cfg, err := config.Parse("/etc/herd/herd.toml", []byte(text), "", config.Resources{Descriptors: 20000})
	if err != nil {
		t.Fatal(err)
	}
	unit := read(t, "systemd/herd@.service")
	for path, want := range map[string]string{
		cfg.Log.Dir: "LogsDirectory=herd\n", cfg.Storage.Dir: "StateDirectory=herd\n", filepath.Dir(cfg.Places.PlacesState): "StateDirectory=herd\n",
		filepath.Dir(cfg.Clients.Tokens): "ConfigurationDirectory=herd\n",
	} {
		if filepath.Base(path) != "herd" || !strings.Contains(unit, want) {
			t.Errorf("%s, and in the unit there is no %s", path, want)
		}
	}
}

// inPID1 runs the binary as a container of the image does: as PID 1 of a namespace, in a root directory with the binary
// and nothing else, as another user than root. args follow the binary.
func inPID1(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	argv := append([]string{"--pid", "--fork", "--kill-child", "--root", root, "--wd", "/", "--setuid", "65532", "--setgid", "65532", "/herd"}, args...)
	return exec.Command("unshare", argv...)
}

// container root: a directory with the binary and nothing else.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(processtest.Binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "herd"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// mayUnshare reports whether a container can be imitated here.
func mayUnshare(t *testing.T) bool {
	t.Helper()
	if out, err := inPID1(t, emptyRoot(t), "version").CombinedOutput(); err != nil {
		t.Logf("NOT RUN: a server as PID 1 in an empty root: as root on Linux, with unshare of util-linux: %v: %s", err, out)
		return false
	}
	return true
}

// A server is PID 1 in a root directory with nothing but the binary: it starts, answers, reloads, hands its records over
// to a neighbor outside and exits with 0.
func TestPID1(t *testing.T) {
	if !mayUnshare(t) {
		return
	}
	for _, forced := range []bool{false, true} {
		extra := "[places]\nprovider = \"embedded\"\n"
		if forced { // a stop that waits for somebody takes long enough for a second signal
			extra += "[limits]\ndrain = \"20s\"\n"
		}
		h, listeners := processtest.NewHerd(t, extra, "Alford", "Hamilton")
		for _, l := range listeners["Alford"] { // it binds them itself
			l.Close()
		}
		h.Start("Hamilton", listeners["Hamilton"]...)
		root := emptyRoot(t)
		if err := os.WriteFile(filepath.Join(root, "herd.toml"), []byte(read(t, h.Config())), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "logs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(root, "logs"), 65532, 65532); err != nil {
			t.Fatal(err)
		}
		c := inPID1(t, root, instruction(t, "CMD")...)
		c.Env = []string{"HERD_SERVER=Alford", "HERD_CONFIG=/herd.toml", "PATH=" + os.Getenv("PATH")}
		var output processtest.Output
		c.Stdout, c.Stderr = &output, &output
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill() })
		processtest.Eventually(t, "it is ready", func() bool {
			_, _, code := h.Command("", "ready", "Alford")
			return code == 0
		})
		if s := h.Status("Alford"); s == nil || s.PID != 1 {
			t.Fatalf("it is not PID 1: %+v", s)
		}
		// Beside it, in the same root, as a health check of the image does.
		check := exec.Command("unshare", append([]string{"--root", root, "--wd", "/", "--setuid", "65532", "/herd"}, instruction(t, "HEALTHCHECK")[1:]...)...)
		check.Env = c.Env
		if out, err := check.CombinedOutput(); err != nil || string(out) != "Alford: ready\n" {
			t.Errorf("the health check beside it: %v, %s", err, out)
		}
		h.UntilLive()
		if !forced {
			checkCPU(t, h)
		}
		pid := child(t, c.Process.Pid)
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(root, "logs", "server-Alford.log")
		processtest.Eventually(t, "a reload", func() bool { return strings.Contains(read(t, log), `"reload finished"`) })
		if forced {
			processtest.Suspend(t, h.Running["Hamilton"].Cmd.Process.Pid)
		}
		say(t, h.Server("Alford").Listen, "IAMAT kiwi +34.068930-118.445127 5\n")
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if forced {
			processtest.Eventually(t, "a stop", func() bool { return strings.Contains(read(t, log), `"stopping"`) })
			<-time.After(300 * time.Millisecond) // signals that come closer together count as one
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Wait()
		code := c.ProcessState.ExitCode()
		switch {
		case forced && (code != 1 || !strings.Contains(read(t, log), "second signal")):
			t.Errorf("after a second signal: exit code %d, %s", code, output.String())
		case !forced && code != 0:
			t.Errorf("exit code %d, %s", code, output.String())
		case !forced && h.Status("Hamilton").Records == 0:
			t.Error("the neighbor has no records")
		}
		if forced {
			_ = h.Running["Hamilton"].Cmd.Process.Signal(syscall.SIGCONT)
		}
	}
}

// checkCPU checks that herd load does not take the machine's PID 1 for the server.
func checkCPU(t *testing.T, h *processtest.Herd) {
	t.Helper()
	for name, known := range map[string]bool{"Alford": false, "Hamilton": true} {
		_, errOut, code := h.Command("", "load", "--at", name, "-d", "500ms", "--warmup", "0", "--json", "r.json")
		var r load.Report
		if err := json.Unmarshal([]byte(read(t, filepath.Join(h.Dir, "r.json"))), &r); err != nil || code != 0 {
			t.Fatalf("exit code %d, %v, %s", code, err, errOut)
		}
		if (r.ServerPerLine > 0) != known {
			t.Errorf("%s: CPU %g s a line", name, r.ServerPerLine)
		}
	}
}

// child returns the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	one, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("the children are %q: %v", text, err)
	}
	return one
}

func say(t *testing.T, addr, lines string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, lines); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
}
