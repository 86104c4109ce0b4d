package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/config"
)

// startOverTLS starts Alford and Hamilton with a mode of TLS for links, clients and consoles, and certificates of herd cert.
func startOverTLS(t *testing.T, mode, extra string) *processtest.Herd {
	t.Helper()
	h, listeners := processtest.NewHerd(t, tlsModes(mode)+extra, "Alford", "Hamilton")
	if _, errOut, code := h.Command("", "cert"); code != 0 {
		t.Fatal(errOut)
	}
	if mode == "required" {
		h.CA = filepath.Join(h.Dir, "tls", "ca.pem")
	}
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()
	return h
}

func tlsModes(mode string) string {
	return fmt.Sprintf("[tls]\nlinks = %q\n[clients]\ntls = %[1]q\n[console]\ntls = %[1]q\n", mode)
}

// clientLines are commands that speak to client ports, and what they read.
var clientLines = []string{
	"iamat kiwi +1+1 5", "whatsat kiwi", "send WHATSAT kiwi 10 0", "ping -c 2 --interval 1ms",
	"load -c 3 -d 100ms --warmup 0s --idle 1 --slow-readers 0 --churn 20 --mix iamat:whatsat",
}

const shellInput = "WHATSAT kiwi 10 0\n"

// tlsTargets are where commands may find a server, with their flags, and what is wrong then in each mode; "" for nothing.
func tlsTargets(h *processtest.Herd, other string) map[string]struct {
	flags                   []string
	off, optional, required string
} {
	at := h.Server("Alford").Address
	ca := filepath.Join(h.Dir, "tls", "ca.pem")
	const (
		noTLS     = "no TLS there: is [clients] tls off there? Try without --tls"
		untrusted = "TLS: the certificate is not of a trusted authority; set tls.ca or --ca to the file of its CA"
		needed    = "; does it need --tls?"
	)
	return map[string]struct {
		flags                   []string
		off, optional, required string
	}{
		"a name":                           {nil, "", "", ""},
		"a name, --tls":                    {[]string{"--tls"}, noTLS, "", ""},
		"a name, --ca":                     {[]string{"--ca", ca}, noTLS, "", ""},
		"a name, wrong --ca":               {[]string{"--ca", other}, noTLS, untrusted, untrusted},
		"HOST:PORT":                        {[]string{"--at", at}, "", "", needed},
		"HOST:PORT, --ca":                  {[]string{"--at", at, "--ca", ca}, noTLS, "", ""},
		"HOST:PORT, --tls --ca":            {[]string{"--at", at, "--tls", "--ca", ca}, noTLS, "", ""},
		"HOST:PORT, --tls: system's roots": {[]string{"--at", at, "--tls"}, noTLS, untrusted, untrusted},
		"HOST:PORT, wrong --ca":            {[]string{"--at", at, "--ca", other}, noTLS, untrusted, untrusted},
		"no file":                          {[]string{"--ca", "no-file"}, "--ca: open no-file: no such file or directory", "--ca: open no-file: no such file or directory", "--ca: open no-file: no such file or directory"},
		"no certificate":                   {[]string{"--ca", h.Config()}, "--ca: " + h.Config() + " has no certificate in PEM", "--ca: " + h.Config() + " has no certificate in PEM", "--ca: " + h.Config() + " has no certificate in PEM"},
	}
}

// Every command that speaks to servers as clients do, in each mode, with each way to name the server: it works, or says in
// one line what to do, and not that the server may not run.
func TestClientCommandsOverTLS(t *testing.T) {
	t.Parallel()
	other := makeTestCerts(t, "Alford").of("Alford").CA
	for _, mode := range config.TLSModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := startOverTLS(t, mode, "")
			for name, target := range tlsTargets(h, other) {
				lines := slices.Clone(clientLines)
				if mode != "required" { // the commands differ in nothing more
					lines = lines[:2]
				} else if target.flags == nil || target.flags[0] != "--at" {
					lines = append(lines, "ping --all -c 1", "load --servers all -c 2 -d 50ms --warmup 0s", "demo -d 300ms --clients 10 --rate 100 --yes")
				}
				want := map[string]string{"off": target.off, "optional": target.optional, "required": target.required}[mode]
				for _, line := range append(lines, "shell") {
					out, errOut, code := h.Command(shellInput, append(strings.Fields(line), target.flags...)...)
					switch {
					case want == "" && code != 0:
						t.Errorf("herd %s, %s: exit code %d, %s%s", line, name, code, out, errOut)
					case want == "":
					case code != exitFailed || !strings.Contains(strings.Join(strings.Fields(out+errOut), " "), partShown(line, want)):
						t.Errorf("herd %s, %s: exit code %d, %s%s, want %q", line, name, code, out, errOut, want)
					case strings.Contains(errOut, "running?") || strings.Count(errOut, "\n") > 1 && !strings.HasPrefix(line, "load"):
						t.Errorf("herd %s, %s: %s", line, name, errOut)
					}
				}
			}
			if mode == "off" {
				return
			}
			for _, s := range h.Servers {
				if st := h.Status(s.Name); st == nil || len(st.Links) != 1 || !st.Links[0].TLS || st.TLS == nil || st.TLS.Links != mode {
					t.Errorf("%s: %+v", s.Name, st)
				}
			}
		})
	}
}

// partShown is the part of a text that a command prints: a table has less room.
func partShown(line, want string) string {
	if strings.HasPrefix(line, "ping") && len(want) > 40 {
		return want[:40]
	}
	return want
}

// A server whose certificate is that of another one is not spoken to.
func TestCertificateOfAnotherServer(t *testing.T) {
	t.Parallel()
	h := startOverTLS(t, "required", "")
	alford, hamilton := h.Server("Alford"), h.Server("Hamilton")
	alford.Address, hamilton.Address = hamilton.Address, alford.Address
	alford.Listen, hamilton.Listen = alford.Address, hamilton.Address
	alford.Console, hamilton.Console = hamilton.Console, alford.Console
	h.Write(alford, hamilton)
	const want = `the certificate is not for this name: it has ["Hamilton" "localhost"], not "Alford"`
	for _, line := range []string{"iamat kiwi +1+1 5", "send help", "shell", "status", "status Alford", "ready Alford", "client kiwi", "export", "trace kiwi", "watch kiwi", "top --once --interval 100ms"} {
		out, errOut, code := h.Command(shellInput, strings.Fields(line)...)
		if text := strings.Join(strings.Fields(out+errOut), " "); !strings.Contains(text, want) || code != exitFailed && !strings.HasPrefix(line, "top") {
			t.Errorf("herd %s: exit code %d, %s%s", line, code, out, errOut)
		}
	}
}

// Consoles in each mode, by every command that asks them, and by each other. What listens is asked without TLS only if it
// has none.
func TestConsoleCommandsOverTLS(t *testing.T) {
	t.Parallel()
	for _, mode := range config.TLSModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := startOverTLS(t, mode, "")
			if out, errOut, code := h.Command("", "iamat", "kiwi", "+1+1", "5"); code != 0 {
				t.Fatal(out, errOut)
			}
			h.UntilEqual(1)
			all := map[string]string{
				"status": "2 of 2 answered, no problems", "status Alford": "ready", "ready": "", "top --once --interval 100ms": "2 of 2 answered",
				"trace kiwi": "Alford", "client kiwi": "kiwi", "watch kiwi -c 1": "kiwi", "export": "kiwi",
			}
			run := func(how string, answered bool, want string) {
				t.Helper()
				for line, part := range all {
					out, errOut, code := h.Command("", strings.Fields(line)...)
					text := strings.Join(strings.Fields(out+errOut), " ")
					if answered && (code != 0 || !strings.Contains(text, part)) ||
						!answered && (!strings.Contains(text, want) || code != exitFailed && !strings.HasPrefix(line, "top")) {
						t.Errorf("%s: herd %s: exit code %d, %s%s", how, line, code, out, errOut)
					}
				}
			}
			run("as the servers", true, "")
			out, _, _ := h.Command("", "status", "Alford")
			if out = strings.Join(strings.Fields(out), " "); strings.Contains(out, "live, TLS") != (mode != "off") || strings.Contains(out, "certificate valid until ") != (mode != "off") {
				t.Errorf("status Alford: %s", out)
			}
			client, url := h.Console("Alford")
			r, err := client.Get(url + "/herd.json")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if text, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(text), `"answered": 2`) {
				t.Errorf("the consoles do not answer each other: %s", text)
			}
			if hsts := r.Header.Values("Strict-Transport-Security"); hsts != nil {
				t.Errorf("%q", hsts)
			}
			// A herd.toml of another mode than the servers have.
			for other, want := range map[string]map[string]string{
				"off":      {"off": "", "optional": "", "required": "; does it need TLS? Set [console] tls"},
				"optional": {"off": "", "optional": "", "required": ""},
				"required": {"off": "no TLS there: is [console] tls off there? It is required here", "optional": "", "required": ""},
			} {
				h.Change("[console]\ntls = \"" + other + "\"\n")
				run(other+" here", want[mode] == "", want[mode])
			}
			// Without the CA's file nothing is trusted, and nothing is sent in the clear.
			ca := filepath.Join(h.Dir, "tls", "ca.pem")
			if err := os.Rename(ca, ca+".away"); err != nil {
				t.Fatal(err)
			}
			h.Change("[console]\ntls = \"optional\"\n")
			run("without the CA", mode == "off", "tls.ca: open "+ca+": no such file or directory; herd cert makes the files of [tls]")
		})
	}
}
