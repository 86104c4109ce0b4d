// Package deploy has no code: it tests what the directory has for other init systems.
package deploy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// givenCommit is the COMMIT of the build.
const givenCommit = "0123456789abcdef0123456789abcdef01234567"

// TestMain builds the binary as the Dockerfile does: it runs without any library, and git tells nothing.
func TestMain(m *testing.M) {
	if os.Getenv(beStuck) != "" {
		stuck()
		return
	}
	os.Setenv("CGO_ENABLED", "0")
	processtest.Main(m, flags()...)
}

func flags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=" + strings.Replace(dockerfileLinks, "$COMMIT", givenCommit, 1)}
}

// The same source in another directory makes the same binary, so that anyone can verify one.
func TestSameSourceSameBinary(t *testing.T) {
	const top = "../../.."
	dir := filepath.Join(t.TempDir(), "elsewhere")
	if err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(top, file)
		sources := []string{".", "cmd", "herd", "places", "protocol", "reactor", "testdata"}
		if top, _, _ := strings.Cut(filepath.ToSlash(name), "/"); err != nil || d.IsDir() && !slices.Contains(sources, top) {
			return cmp.Or(err, fs.SkipDir)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	build := slices.Concat([]string{"go", "build"}, flags(), []string{"-o", "bin/herd", "./cmd/herd"})
	if out, errOut, code := processtest.Run(t, dir, "", build...); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	here, err1 := os.ReadFile(processtest.Binary)
	there, err2 := os.ReadFile(filepath.Join(dir, "bin/herd"))
	if err1 != nil || err2 != nil || !bytes.Equal(here, there) {
		t.Errorf("%d and %d bytes differ: %v, %v", len(here), len(there), err1, err2)
	}
}

// dockerfileLinks are the flags of the linker in the Dockerfile.
const dockerfileLinks = "-w -X main.givenCommit=$COMMIT"

// A binary of the Dockerfile knows the commit that its builder has given.
func TestGivenCommit(t *testing.T) {
	docker := read(t, "Dockerfile")
	for _, want := range []string{"\nARG COMMIT=\n", `-ldflags="` + dockerfileLinks + `"`} {
		if strings.Count(docker, want) != 1 {
			t.Errorf("Dockerfile: no %s", want)
		}
	}
	if out, errOut, code := processtest.Command(t, t.TempDir(), "", "version"); code != 0 || !strings.Contains(out, "\ncommit "+givenCommit+"\n") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
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
	for _, want := range []string{"\nStartLimitIntervalSec=0\n", "\nRestart=always\n", "\nRestartSec=5\n"} {
		if !strings.Contains(unit, want) { // a full disk may last longer than any number of starts
			t.Errorf("the unit has no %q", want)
		}
	}
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
