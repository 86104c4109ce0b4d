package deploy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

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
