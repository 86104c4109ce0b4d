package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
	"serverherd/protocol"
)

const aToken = "herd_0123456789abcdef"

// doors are a server and its console that note how they are asked.
type doors struct {
	config string // herd.toml

	mu     sync.Mutex
	firsts []string // first lines of the connections
	asked  []string // Authorization headers
	errors []error  // of signatures
}

// openDoors writes a herd.toml with both. extra is put at its beginning.
func openDoors(t *testing.T, extra string, answer http.HandlerFunc) *doors {
	t.Helper()
	d := &doors{config: filepath.Join(t.TempDir(), "herd.toml")}
	server := fakeServer(t, func(c *net.TCPConn) {
		lines := bufio.NewScanner(c)
		for n := 0; lines.Scan(); n++ {
			line := lines.Bytes()
			if n == 0 {
				d.mu.Lock()
				d.firsts = append(d.firsts, string(line))
				d.mu.Unlock()
			}
			if _, err := c.Write(welcoming(line)); err != nil {
				return
			}
		}
	})
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asked = append(d.asked, r.Header.Get("Authorization"))
		q := access.Question{Server: "Alford", Method: r.Method, Target: r.URL.RequestURI()}
		_, err := access.Verify([]string{aSecret}, q, r.Header.Get("Authorization"), time.Now(), time.Time{})
		d.errors = append(d.errors, err)
		d.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(console.Close)
	text := fmt.Sprintf("%s[[server]]\nname = \"Alford\"\naddress = %q\nconsole = %q\n", extra, server, console.Listener.Addr())
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

const aSecret = "0123456789abcdef0123456789abcdef"

// welcoming is the reply to a line of a server that takes every token.
func welcoming(line []byte) []byte {
	c, err := protocol.Paper.Parse(line, protocol.MaxClientID)
	switch {
	case err != nil:
		return protocol.Paper.AppendUnknown(nil, line)
	case c.Verb == protocol.VerbTOKEN:
		return protocol.Paper.AppendWelcome(nil, "fleet7")
	case c.Verb == protocol.VerbIAMAT:
		return fmt.Appendf(nil, "AT Alford +0.5 %s\n\n", line[len("IAMAT "):])
	case c.Verb == protocol.VerbWHATSAT:
		return fmt.Appendf(nil, "AT Alford +0.5 %s +1+1 5\n{\n}\n\n", c.Client)
	}
	return protocol.Paper.AppendHelp(nil, line)
}

// reset forgets what was noted.
func (d *doors) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.firsts, d.asked, d.errors = nil, nil, nil
}

// tokenCommands are the commands that speak to client ports and to consoles.
var tokenCommands = []struct {
	line                      string
	clients, console, changes bool // changes something by the consoles
}{
	{"iamat kiwi +1+1 5", true, false, false}, {"whatsat kiwi", true, false, false}, {"send help", true, false, false}, {"shell", true, false, false},
	{"ping -c 1", true, false, false}, {"ping --all -c 1", true, false, false},
	{"load -c 2 -d 50ms --warmup 0s --idle 1 --slow-readers 0 --churn 50", true, true, false}, {"demo -d 100ms --clients 10", true, true, false},
	{"status", false, true, false}, {"status Alford", false, true, false}, {"ready", false, true, false}, {"top --once --interval 100ms", false, true, false},
	{"trace kiwi", false, true, false}, {"client kiwi", false, true, false}, {"watch kiwi", false, true, false}, {"export", false, true, false},
	{"reload", false, true, true}, {"reload Alford", false, true, true}, {"loglevel", false, true, false}, {"loglevel debug", false, true, true},
}

// Every command that has a client port or a console to speak to has --token, and those in the table are all of them.
func TestTokenCommands(t *testing.T) {
	t.Parallel()
	without := []string{"up", "serve", "places", "config", "study", "version", "completion", "help", "token", "cert"}
	for _, c := range newRoot().Commands() {
		has := c.Flags().Lookup(tokenName) != nil
		if has == slices.Contains(without, c.Name()) {
			t.Errorf("herd %s: has --token: %v", c.Name(), has)
		}
		tested := false
		for _, test := range tokenCommands {
			tested = tested || strings.Fields(test.line)[0] == c.Name()
		}
		if has && !tested {
			t.Errorf("herd %s is not in tokenCommands", c.Name())
		}
	}
}

// Each command presents the token on every connection and to every console, by the flag and by the environment, and
// prints it nowhere.
func TestCommandsPresentTheToken(t *testing.T) {
	d := openDoors(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error": "not for ` + aToken[:5] + `"}`))
	})
	for _, test := range tokenCommands {
		for _, how := range []string{"flag", "environment", "both"} {
			t.Run(test.line+", "+how, func(t *testing.T) {
				d.reset()
				args := append(strings.Fields(test.line), "--config", d.config, "--timeout", "30s")
				switch how {
				case "flag":
					args = append(args, "--token", aToken)
				case "environment":
					t.Setenv(tokenVariable, aToken)
				case "both":
					t.Setenv(tokenVariable, "white space, and not used")
					args = append(args, "--token", aToken)
				}
				var out, errOut bytes.Buffer
				code := run(args, strings.NewReader("help\n"), &out, &errOut)
				if code != 0 && test.clients && !test.console {
					t.Errorf("exit code %d, %s", code, &errOut)
				}
				if text := out.String() + errOut.String(); strings.Contains(text, aToken) {
					t.Errorf("the token is printed: %s", text)
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if test.clients != (len(d.firsts) > 0) || slices.ContainsFunc(d.firsts, func(line string) bool { return line != "TOKEN "+aToken }) {
					t.Errorf("first lines %q", d.firsts)
				}
				if test.console != (len(d.asked) > 0) || slices.ContainsFunc(d.asked, func(h string) bool { return h != "Bearer "+aToken }) {
					t.Errorf("the console was asked with %q", d.asked)
				}
			})
		}
	}
}

// Without a token, the first of the herd's secrets signs what consoles are asked.
func TestCommandsSign(t *testing.T) {
	t.Parallel()
	d := openDoors(t, "[herd]\nsecret_file = \"secret\"\n", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.config), "secret"), []byte(aSecret+"\nanother_secret_of_the_herd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range tokenCommands {
		if !test.console {
			continue
		}
		d.reset()
		var out, errOut bytes.Buffer
		_ = run(append(strings.Fields(test.line), "--config", d.config, "--timeout", "30s"), strings.NewReader(""), &out, &errOut)
		d.mu.Lock()
		if test.changes { // by the secret one may only read
			if len(d.asked) == 0 || slices.ContainsFunc(d.asked, func(h string) bool { return h != "" }) {
				t.Errorf("herd %s: the console was asked with %q", test.line, d.asked)
			}
		} else if len(d.errors) == 0 || slices.ContainsFunc(d.errors, func(err error) bool { return err != nil }) {
			t.Errorf("herd %s: signatures %q, %v", test.line, d.asked, d.errors)
		}
		if text := out.String() + errOut.String() + strings.Join(d.firsts, ""); strings.Contains(text, aSecret) {
			t.Errorf("herd %s: the secret is printed or sent: %s", test.line, text)
		}
		d.mu.Unlock()
	}
}

// A console that does not let a command in makes it say what to do.
func TestConsoleRefuses(t *testing.T) {
	t.Parallel()
	refusing := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error": "no token"}`))
	}
	open, secret := openDoors(t, "", refusing), openDoors(t, "[herd]\nsecret_file = \"secret\"\n", refusing)
	if err := os.WriteFile(filepath.Join(filepath.Dir(secret.config), "secret"), []byte(aSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := openDoors(t, "[herd]\nsecret_file = \"nowhere\"\n", refusing)
	nowhere := filepath.Join(filepath.Dir(missing.config), "nowhere")
	for _, c := range []struct {
		name, config string
		args         []string
		want         string
	}{
		{"a secret that cannot be read", missing.config, nil, "; set $HERD_TOKEN to a token with the right console, or be a user who may read " +
			"the herd's secret: open " + nowhere + ": no such file or directory"},
		{"nothing", open.config, nil,
			"; set $HERD_TOKEN to a token with the right console, or use a herd.toml with the herd's secret"},
		{"a token", open.config, []string{"--token", aToken}, "; --token or $HERD_TOKEN must be a token with the right console"},
		{"a secret", secret.config, nil, "; the herd's secret must be the same here and there, and the clocks, or set $HERD_TOKEN to a token with the right console"},
	} {
		for _, line := range []string{"status", "client kiwi", "watch kiwi", "export", "trace kiwi"} {
			var out, errOut bytes.Buffer
			code := run(slices.Concat(strings.Fields(line), []string{"--config", c.config}, c.args), strings.NewReader(""), &out, &errOut)
			if want := "401 Unauthorized from "; code != exitFailed || !strings.Contains(errOut.String(), want) ||
				!strings.Contains(errOut.String(), ": no token"+c.want) {
				t.Errorf("%s, %s: exit code %d, %s", c.name, line, code, &errOut)
			}
			if line == "status" && !strings.Contains(out.String(), "  no access\n") {
				t.Errorf("%s: %s", c.name, &out)
			}
		}
	}
}

// What cannot be a token is a usage error that does not have it.
func TestMalformedToken(t *testing.T) {
	for value, want := range map[string]string{
		"secret text":                  "$HERD_TOKEN: want a token: the token contains white space or a control character",
		"secret\n":                     "$HERD_TOKEN: want a token: the token contains white space or a control character",
		strings.Repeat("secret", 100):  "$HERD_TOKEN: want a token: the token is longer than 256 bytes",
		"\u0085\u00a0secret\x01secret": "$HERD_TOKEN: want a token: the token contains white space or a control character",
	} {
		t.Setenv(tokenVariable, value)
		for _, line := range []string{"iamat kiwi +1+1", "status", "shell"} {
			var out, errOut bytes.Buffer
			code := run(strings.Fields(line), strings.NewReader(""), &out, &errOut)
			if code != exitUsage || errOut.String() != "herd: "+want+"\n" || out.Len() > 0 {
				t.Errorf("%q: exit code %d, %q", value, code, &errOut)
			}
		}
		if code := run([]string{"version"}, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}); code != 0 {
			t.Errorf("herd version needs a token: exit code %d", code)
		}
	}
}

// A server that needs tokens serves who has one, and tells the others what to do.
func TestTokensOfAServer(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"paper", "cs131"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			h, listeners := processtest.NewHerd(t, "[herd]\ndialect = \""+dialect+"\"\n[clients]\ntokens = \"tokens.toml\"\n", "Alford")
			writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "", token("fleet", access.Read|access.Write))
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			const good, bad = "herd_fleet_secret", "herd_fleet_wrong"
			for _, line := range []string{"iamat kiwi +1+1 5", "whatsat kiwi", "ping -c 3 --interval 1ms", "send WHATSAT kiwi 10 0", "shell",
				"load -c 3 -d 100ms --warmup 0s --idle 1 --churn 50 --mix iamat:whatsat", "demo -d 200ms"} {
				out, errOut, code := h.Command("IAMAT kiwi +1+1 6\n", append(strings.Fields(line), "--token", good)...)
				if code != 0 {
					t.Errorf("herd %s: exit code %d, %q, %q", line, code, out, errOut)
				}
				want := "the server refused the token: unknown or expired"
				if dialect == "cs131" {
					want = "the server refused the token"
				}
				out, errOut, code = h.Command("help\n", append(strings.Fields(line), "--token", bad)...)
				if code != exitFailed || !strings.Contains(out+errOut, want) || strings.Contains(out+errOut, bad) ||
					strings.Contains(out+errOut, "is the server running") {
					t.Errorf("herd %s with a wrong token: exit code %d, %q, %q", line, code, out, errOut)
				}
			}
			out, errOut, code := h.Command("", "iamat", "kiwi", "+1+1")
			if want := "herd: > TOKEN: required: the first line must be TOKEN and your token; see --token\n"; code != exitFailed || out != "" ||
				dialect == "paper" && errOut != want {
				t.Errorf("without a token: exit code %d, %q, %q", code, out, errOut)
			}
		})
	}
}

// The shell's completion offers no files for a token or for the name of one.
func TestTokenCompletion(t *testing.T) {
	t.Setenv(tokenVariable, aToken)
	for _, line := range []string{"iamat --token", "status --token", "token", "token x --write", "token x --expires"} {
		var out, errOut bytes.Buffer
		code := run(append(append([]string{"__complete"}, strings.Fields(line)...), ""), strings.NewReader(""), &out, &errOut)
		if code != 0 || out.String() != ":4\n" || strings.Contains(errOut.String(), aToken) { // 4: no files
			t.Errorf("%s: exit code %d, %q, %q", line, code, &out, &errOut)
		}
	}
}

// Servers take the signature of a command that has their herd.toml, and refuse that of another secret.
func TestConsoleChecksSignatures(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[herd]\nsecret_file = \"secret\"\n", "Alford")
	secret := func(text string) {
		if err := os.WriteFile(filepath.Join(h.Dir, "secret"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret(aSecret)
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	if out, errOut, code := h.Command("", "status"); code != 0 {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	secret("another_secret_0123456789")
	const want = ": wrong signature: another secret, server, method, path or query; the herd's secret must be the same here and there"
	if _, errOut, code := h.Command("", "export"); code != exitFailed || !strings.Contains(errOut, want) {
		t.Errorf("another secret: exit code %d, %s", code, errOut)
	}
}

// The servers of up do not inherit the token of whoever starts it, nor its server, nor the socket of its service
// manager.
func TestNotInherited(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]bool{
		"HERD_TOKEN=herd_x": true, "HERD_TOKEN=": true, "LISTEN_FDS=1": true, "HERD_TOKENS=x": false, "HERD_SECRET=x": false, "PATH=/bin": false,
		"HERD_SERVER=Alford": true, "NOTIFY_SOCKET=/run/x": true, "WATCHDOG_USEC=1": true, "WATCHDOG_PID=1": true, "WATCHDOG=1": false,
	} {
		if notInherited(variable) != want {
			t.Errorf("%s is inherited: %v", variable, want)
		}
	}
}
