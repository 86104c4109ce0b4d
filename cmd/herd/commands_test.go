package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

func TestClientCommands(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, processtest.Embedded, "Alford")
	at := h.Server("Alford").Address
	tests := []struct {
		name   string
		in     string
		args   []string
		code   int
		stdout string // a prefix
		stderr string // a part
	}{
		{"iamat", "", []string{"iamat", "kiwi", "+34.068930-118.445127"}, 0, "AT Alford +", ""},
		{"iamat in the south", "", []string{"iamat", "puma", "-33.4489-70.6693", "1520023934.5"}, 0, "AT Alford +", ""},
		{"iamat refused", "", []string{"iamat", "kiwi", "34-118"}, 1, "",
			"> IAMAT POSITION: 34-118 is not a position in ISO 6709 decimal degrees; want LAT,LNG as "},
		{"iamat of many", "a +1-1 5\n\nb +2-2 6\nb +2-2 6\n", []string{"iamat", "-"}, 0, "AT Alford +", ""},
		{"iamat of many, quietly", "a +1-1 7\nb +2-2 7\n", []string{"iamat", "-", "--quiet"}, 0, "", "herd: standard input: 2 lines sent, 2 answered\n"},
		{"iamat, quietly", "", []string{"iamat", "a", "+1-1", "-q"}, 2, "", "--quiet requires -"},
		{"iamat of many, one bad", "a +1-1 5\nb 2 6\n", []string{"iamat", "-", "--continue"}, 1, "AT Alford +",
			"2 lines sent, 2 answered, 1 of them refused"},
		{"whatsat", "", []string{"whatsat", "kiwi"}, 0, "AT Alford +", ""},
		{"whatsat, with all", "", []string{"whatsat", "kiwi", "10", "1"}, 0, "AT Alford +", ""},
		{"whatsat, JSON", "", []string{"whatsat", "kiwi", "--json"}, 0, "{\n", ""},
		{"whatsat refused", "", []string{"whatsat", "nobody"}, 1, "", "> WHATSAT REQUEST: There is no location data"},
		{"whatsat refused, one reason", "", []string{"whatsat", "kiwi", "60"}, 1, "", "herd: > WHATSAT RADIUS: 60 is not an integer from 0 to 50\n"},
		{"whatsat refused, JSON", "", []string{"whatsat", "nobody", "--json"}, 1, "", "There is no location data"},
		{"at an address", "", []string{"whatsat", "kiwi", "--at", at}, 0, "AT Alford +", ""},
		{"at a name", "", []string{"whatsat", "kiwi", "--at", "Alford"}, 0, "AT Alford +", ""},
		{"at nobody", "", []string{"whatsat", "kiwi", "--at", "Ball"}, 2, "", `unknown server "Ball"; servers in herd.toml: Alford`},
		{"at nothing", "", []string{"whatsat", "kiwi", "--at", "127.0.0.1:1"}, 1, "", "connection refused"},
		{"too few", "", []string{"iamat"}, 2, "", "usage: herd iamat CLIENT COORDS [TIME]"},
		{"no such engine", "", []string{"serve", "Alford", "--engine", "threads"}, 2, "",
			"--engine: want one of loop, goroutines, owner, got threads"},
		{"no such engine of all", "", []string{"up", "--engine", ""}, 2, "",
			`--engine: want one of loop, goroutines, owner, got ""`},
		{"send", "", []string{"send", "help"}, 0, "Available commands:\n> IAMAT ", ""},
		{"send, several arguments", "", []string{"send", "WHATSAT", "kiwi", "10", "1"}, 0, "AT Alford +", ""},
		{"send, a negative argument", "", []string{"send", "IAMAT", "puma", "-33.4489-70.6693", "1520023934.5"}, 0, "AT Alford +", ""},
		{"send quit", "", []string{"send", "quit"}, 0, "> Goodbye\n", ""},
		{"send, unknown", "", []string{"send", "\tGOTO kiwi "}, 1, "? \tGOTO kiwi \n", ""},
		{"send, bad fields", "", []string{"send", "WHATSAT kiwi 10"}, 1, "> WHATSAT ", ""},
		{"send an empty line", "", []string{"send", ""}, 1, "? \n", ""},
		{"send, JSON", "", []string{"send", "a\xffb", "--json"}, 1,
			`{"server":"Alford","line":"a\ufffdb","reply":"? a\ufffdb","reply_b64":"PyBh/2I=","ok":false}` + "\n", ""},
		{"send a token, older form", "", []string{"send", "tOKEN", "herd_s3cret", "--json"}, 1,
			`{"server":"Alford","line":"tOKEN [redacted]","reply":"? tOKEN [redacted]",`, ""},
		{"send a token, two lines", "", []string{"send", "TOKEN herd_s3cret\nquit"}, 2, "", `want one line, got "TOKEN [redacted]"`},
		{"send two lines", "", []string{"send", "help\nquit"}, 2, "", `want one line, got "help\nquit"`},
		{"send HTTP", "", []string{"send", "GET / HTTP/1.1"}, 1, "", "the server closed the connection before a complete reply"},
		{"send the line of a neighbor", "", []string{"send", "HELLO herd/1 ucla Ball Alford 0123456789abcdef 00112233445566778899aabbccddeeff"},
			1, "", "is not a herd server: unexpected reply \"REFUSE from: Ball is not a neighbor of Alford\""},
		{"ping", "", []string{"ping", "-c", "3", "--interval", "1ms"}, 0, "SERVER", ""},
		{"ping all", "", []string{"ping", "--all", "-c", "3", "--interval", "1ms", "--json"}, 0, `{"server":"Alford","answered":3,"lost":0,`, ""},
		{"ping all at one", "", []string{"ping", "--all", "--at", "Alford"}, 2, "", "--all excludes --at and --dialect"},
		{"ping nobody", "", []string{"ping", "--at", "127.0.0.1:1", "-c", "2", "--interval", "1ms", "--json"}, 1,
			`{"server":"127.0.0.1:1","answered":0,"lost":2,"last":0,"min":0,"p50":0,"p90":0,"p99":0,"max":0,"error":"connection refused","waiting":0}`, ""},
		{"places", "", []string{"places", "34.06893,-118.445127", "10"}, 0, "DISTANCE", ""},
		{"places in the south", "", []string{"places", "-33.8568,151.2153", "--json"}, 0, "{\n", ""},
		{"places nowhere", "", []string{"places", "91,0"}, 2, "", "91,0 is not a position: want LAT,LNG as 34.06,-118.44"},
		{"status", "", []string{"status"}, 0, "ucla: 1 of 1 answered, no problems\n", ""},
		{"status of one", "", []string{"status", "Alford"}, 0, "Alford: up ", ""},
		{"status of nobody", "", []string{"status", "Ball"}, 2, "", `unknown server "Ball"; servers in herd.toml: Alford`},
		{"status at an interval", "", []string{"status", "--interval", "1s"}, 2, "", "--interval requires --watch"},
		{"ready", "", []string{"ready"}, 0, "Alford: ready\n", ""},
		{"ready of one", "", []string{"ready", "Alford", "--json"}, 0, "[\n", ""},
		{"ready of nobody", "", []string{"ready", "Ball"}, 2, "", `unknown server "Ball"`},
		{"config", "", []string{"config"}, 0, "[herd]\nname = \"ucla\"", ""},
		{"token", "", []string{"token", "fleet7", "--write", "fleet7/"}, 0, "herd_", "herd.toml names no tokens file"},
		{"token without a file", "", []string{"token", "fleet7", "--read", "--add"}, 1, "", "herd.toml names no tokens file"},
		{"tokens without a file", "", []string{"token"}, 1, "", "    tokens = \"tokens.toml\"\n"},
		{"token without a right", "", []string{"token", "fleet7"}, 2, "",
			"fleet7 needs at least one right: --read, --write PREFIX ('' for every client), --console, --operate"},
		{"token without a name", "", []string{"token", "--read"}, 2, "", "--read needs the NAME of a new token"},
		{"token with a bad name", "", []string{"token", "7fleet", "--read"}, 2, "", "7fleet is not a name for a token: want a letter"},
		{"token for a moment", "", []string{"token", "fleet7", "--read", "--expires", "0d"}, 2, "",
			"--expires: want a time from 1s to 3650d, as 1h or 30d, got 0d"},
		{"token with a bad prefix", "", []string{"token", "fleet7", "--write", "a b"}, 2, "", "--write: want the beginning of client ids, got \"a b\": "},
		{"study", "", []string{"study", "--quick"}, 2, "", "study is a separate program now"},
		{"help of study", "", []string{"study", "--help"}, 2, "", "make study"},
		{"version", "", []string{"version"}, 0, "herd ", ""},
		{"version, as a flag", "", []string{"--version"}, 0, "herd ", ""},
		{"help about a command", "", []string{"help", "load"}, 0, "", ""},
		{"help about nothing", "", []string{"help", "nope"}, 2, "", `unknown command "nope"`},
		{"help about too much", "", []string{"help", "load", "nope"}, 2, "", `unknown command "load nope"`},
		{"completion", "", []string{"completion", "bash"}, 0, "# bash completion", ""},
		{"a command misspelled", "", []string{"stauts"}, 2, "", "herd: unknown command \"stauts\"; did you mean status? see herd --help\n"},
		{"help about a command misspelled", "", []string{"help", "lod"}, 2, "", "unknown command \"lod\"; did you mean top or load? see herd --help\n"},
		{"no command", "", []string{"kiwi"}, 2, "", "herd: unknown command \"kiwi\"; see herd --help\n"},
		{"help of an unknown command", "", []string{"nope", "--help"}, 2, "", `unknown command "nope"`},
		{"help of an unknown command, short", "", []string{"-h", "nope"}, 2, "", `unknown command "nope"`},
		{"help of an unknown shell", "", []string{"completion", "tcsh", "--help"}, 2, "", "supported shells: bash, zsh, fish, powershell"},
		{"completion of an unknown shell", "", []string{"completion", "tcsh"}, 2, "", "supported shells: bash, zsh, fish, powershell"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := h.Command(test.in, test.args...)
			if code != test.code || !strings.HasPrefix(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("exit code %d, want %d\nstdout %q\nstderr %q", code, test.code, stdout, stderr)
			}
			if n := strings.Count(stderr, "\n"); n > 1 && !strings.Contains(stderr, "lines sent") && test.args[0] != "token" {
				t.Errorf("%d lines on stderr, want one: %q", n, stderr)
			}
		})
	}
}

func TestWhatsatJSONIsJSON(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "[herd]\ndialect = \"cs131\"\n"+processtest.Embedded, "Alford")
	h.Command("", "iamat", "kiwi", "+34.068930-118.445127")
	out, _, _ := h.Command("", "whatsat", "kiwi", "10", "3", "--json")
	var object struct{ Results []json.RawMessage }
	if err := json.Unmarshal([]byte(out), &object); err != nil || len(object.Results) != 3 {
		t.Errorf("%d results, %v: %s", len(object.Results), err, out)
	}
}

// status reports problems, also by its exit code.
func TestStatusOfAHerdThatIsNotWhole(t *testing.T) {
	h := processtest.StartHerd(t, "", processtest.Names...)
	processtest.Eventually(t, "all is well", func() bool {
		_, _, code := h.Command("", "status")
		return code == 0
	})
	h.Kill("Ball")
	out, _, code := h.Command("", "status")
	if code != 1 || !strings.Contains(out, "4 of 5 answered") || !strings.Contains(out, "no answer at") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A configuration error is one line on standard error.
func TestConfigMistake(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "herd.toml")
	if err := os.WriteFile(file, []byte("[herd]\nnme = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config"}, {"serve", "Alford"}, {"up"}, {"status"}} {
		_, stderr, code := processtest.Command(t, dir, "", args...)
		if want := "herd: herd.toml:2: herd.nme: unknown key; known keys: name, dialect, unfinished_line, secret_file\n"; code != 1 || stderr != want {
			t.Errorf("%v: exit code %d, %q, want %q", args, code, stderr, want)
		}
	}
	if _, stderr, code := processtest.Command(t, t.TempDir(), "", "status"); code != 1 || !strings.Contains(stderr, "set --config") {
		t.Errorf("without a file: exit code %d, %q", code, stderr)
	}
}

// A failed write to standard output is an error of every command, including help.
func TestCommandsIntoAFullDisk(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatalf("NOT RUN, there is no /dev/full here: %v", err)
	}
	defer full.Close()
	h.Ask("Alford", "IAMAT kiwi +1+1 1\n")
	for _, args := range [][]string{
		{"--help"}, {"help"}, {"help", "load"}, {"iamat", "--help"}, {"version"}, {"--version"}, {"completion", "bash"},
		{"config"}, {"status"}, {"status", "--json"}, {"places", "1,1"}, {"iamat", "kiwi", "+1+1"},
		{"whatsat", "kiwi"}, {"whatsat", "kiwi", "--json"}, {"send", "help"}, {"send", "help", "--json"}, {"token", "a", "--read"},
		{"ping", "-c", "1"}, {"ping", "-c", "1", "--json"}, {"top", "--once", "--interval", "100ms"}, {"load", "-c", "1", "-d", "100ms", "--warmup", "0s"},
	} {
		c := exec.Command(processtest.Binary, append(args, "--config", h.Config())...)
		var stderr bytes.Buffer
		c.Dir, c.Stdout, c.Stderr = h.Dir, full, &stderr
		_ = c.Run()
		if code := c.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: exit code %d, %s", args, code, &stderr)
		}
	}
}
