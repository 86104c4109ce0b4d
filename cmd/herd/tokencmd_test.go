package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
)

// tokensDir returns a directory with a herd.toml that names a tokens file, and the two paths.
func tokensDir(t *testing.T) (config, file string) {
	t.Helper()
	dir := t.TempDir()
	config, file = filepath.Join(dir, "herd.toml"), filepath.Join(dir, "tokens.toml")
	text := "[clients]\ntokens = \"tokens.toml\"\n\n[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:4000\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, file
}

func herdToken(config string, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = run(append(append([]string{"token"}, args...), "--config", config), strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var tokenForm = regexp.MustCompile(`^herd_[A-Za-z0-9_-]{43}$`)

// What is printed is a token and its line: the file has the same token then, with the rights that were asked for.
func TestToken(t *testing.T) {
	t.Parallel()
	config, file := tokensDir(t)
	for i, c := range []struct {
		args    []string
		rights  access.Right
		prefix  string
		expires time.Duration
		says    string // on standard error, behind the name
	}{
		{[]string{"--read"}, access.Read, "", 0, "read, until its line is removed; it cannot be shown again"},
		{[]string{"--write", ""}, access.Write, "", 0, "write (all clients), until"},
		{[]string{"--write="}, access.Write, "", 0, "write (all clients), until"},
		{[]string{"--write", "fleet7/"}, access.Write, "fleet7/", 0, "write (fleet7/...), until"},
		{[]string{"--write", `a"b\c'd#`}, access.Write, `a"b\c'd#`, 0, `write (a"b\c'd#...), until`},
		{[]string{"--write", "\x1b[2J\u202e日本\x00"}, access.Write, "\x1b[2J\u202e日本\x00", 0, `write (\x1b[2J\u202e日本\x00...), until`},
		{[]string{"--write", "-5", "--read"}, access.Write | access.Read, "-5", 0, "read, write (-5...), until"},
		{[]string{"--console", "--operate", "--expires", "30d"}, access.Console | access.Operate, "", 30 * 24 * time.Hour, "console, operate, until 2"},
		{[]string{"--read", "--expires", "1s"}, access.Read, "", time.Second, "read, until 2"},
		{[]string{"--read", "--expires", "1h30m"}, access.Read, "", 90 * time.Minute, "read, until 2"},
	} {
		for _, how := range []string{"", "--add", "--json", "both"} {
			name := fmt.Sprintf("t%d%s", i, strings.Trim(how, "-"))
			args := append([]string{name}, c.args...)
			added, asJSON := how == "--add" || how == "both", how == "--json" || how == "both"
			if added {
				args = append(args, "--add")
			}
			if asJSON {
				args = append(args, "--json")
			}
			began := time.Now()
			out, errOut, code := herdToken(config, args...)
			ended := time.Now()
			if code != 0 {
				t.Errorf("%q: exit code %d, %s", args, code, errOut)
				continue
			}
			text, line, _ := strings.Cut(out, "\n")
			if asJSON {
				var j newTokenJSON
				if err := json.Unmarshal([]byte(out), &j); err != nil || j.Added != added || j.Name != name || errOut != "" || j.File != file {
					t.Errorf("%q: %v, %s, %s", args, err, out, errOut)
				}
				text, line = j.Token, j.Line+"\n"
			} else if want := " of " + name + ": " + c.says; !strings.Contains(errOut, want) {
				t.Errorf("%q: says %q, not %q", args, errOut, want)
			}
			if !tokenForm.MatchString(text) || strings.Contains(errOut, text) {
				t.Errorf("%q: token %q, %s", args, text, errOut)
			}
			if added && !asJSON {
				if line != "" {
					t.Errorf("%q: prints more than the token: %q", args, out)
				}
				if !strings.Contains(errOut, "herd reload") {
					t.Errorf("%q: does not say how servers read it: %s", args, errOut)
				}
			}
			if added {
				line = readFile(t, file)
			}
			tokens, err := access.Parse(file, []byte(line))
			if err != nil {
				t.Errorf("%q: %v", args, err)
				continue
			}
			got := tokens.Find([]byte(text))
			if got == nil || got.Name != name || got.Rights != c.rights || got.Prefix != c.prefix {
				t.Errorf("%q: %+v", args, got)
				continue
			}
			if c.expires == 0 != got.Expires.IsZero() {
				t.Errorf("%q: expires %v", args, got.Expires)
			}
			// Not too early, and less than a second late.
			if first, last := began.Add(c.expires), ended.Add(c.expires+time.Second); c.expires > 0 && (got.Expires.Before(first) || got.Expires.After(last)) {
				t.Errorf("%q: expires %v, not between %v and %v", args, got.Expires, first, last)
			}
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the new file: %v, %v", info.Mode(), err)
	}
}

// The list has everything but hashes, and is safe for a terminal.
func TestTokenList(t *testing.T) {
	t.Parallel()
	config, file := tokensDir(t)
	if out, errOut, code := herdToken(config); code != exitFailed || out != "" || !strings.HasSuffix(errOut, "tokens.toml does not exist; herd token NAME --add creates it\n") {
		t.Errorf("without a file: exit code %d, %q, %q", code, out, errOut)
	}
	gone := token("gone", access.Read)
	gone.Expires = time.Now().Add(-time.Minute)
	later := token("later", access.Write|access.Console)
	later.Prefix, later.Expires = "\x1b[31mfleet7/", time.Now().Add(3*time.Hour+30*time.Second)
	writeTokens(t, file, "", gone, later, token("all", access.Write), token("op", access.Operate))
	want := `NAME   RIGHTS          EXPIRES  WRITES
gone   read            expired  -
later  write, console  in 3h0m  \x1b[31mfleet7/...
all    write           never    all clients
op     operate         never    -
`
	if out, errOut, code := herdToken(config); code != 0 || out != want || errOut != "" {
		t.Errorf("exit code %d, %q\n%s\nwant\n%s", code, errOut, out, want)
	}
	out, errOut, code := herdToken(config, "--json")
	var all []tokenJSON
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || errOut != "" || len(all) != 4 {
		t.Fatalf("exit code %d, %v, %s%s", code, err, out, errOut)
	}
	if !all[0].Expired || all[1].Expired || *all[1].Prefix != later.Prefix || *all[2].Prefix != "" || all[3].Prefix != nil ||
		all[2].Expires != nil || !slices.Equal(all[1].Rights, []string{"write", "console"}) {
		t.Errorf("%s", out)
	}
	for _, t1 := range []access.Token{gone, later} {
		if hash := fmt.Sprintf("%x", t1.Hash); strings.Contains(out, hash[:8]) {
			t.Errorf("the hash is printed: %s", out)
		}
	}
	writeTokens(t, file, "")
	if out, _, code := herdToken(config, "--json"); code != 0 || out != "[]\n" {
		t.Errorf("no token: exit code %d, %q", code, out)
	}
}

// A file that cannot take the token stays as it is.
func TestTokenIsNotAdded(t *testing.T) {
	t.Parallel()
	a := token("a", access.Read)
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"readable by all", a.Line(), 0o644, "FILE is readable by others: change its mode to 600, or to 640 if root owns it"},
		{"a name that exists", strings.Replace(a.Line(), "a =", "new =", 1), 0o600, "FILE has a token new already; choose another name, or remove its line"},
		{"a mistake", a.Line() + "herd_secret\n", 0o600, "FILE:2: not valid TOML; a token's line is: NAME = { sha256 = \"...\", rights = [\"read\"] }"},
		{"a table at its end", fmt.Sprintf("[a]\nsha256 = \"%x\"\nrights = [\"read\"]\n", a.Hash), 0o600, "FILE:1: a: unknown key \"new\"; known keys: sha256, rights, prefix, expires"},
	} {
		config, file := tokensDir(t)
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"new", "--read", "--add"}, {"new", "--read"}} {
			out, errOut, code := herdToken(config, args...)
			if got := strings.ReplaceAll(errOut, file, "FILE"); code != exitFailed || out != "" || got != "herd: "+c.want+"\n" {
				t.Errorf("%s: exit code %d, %q, %q", c.name, code, out, got)
			}
		}
		if got := readFile(t, file); got != c.text {
			t.Errorf("%s: the file is %q now", c.name, got)
		}
		if all, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".tokens*")); len(all) > 0 {
			t.Errorf("%s: left %q", c.name, all)
		}
	}
}

// A token is added behind a line without its end, to the file behind a link, and the mode stays.
func TestTokenIsAddedToAFile(t *testing.T) {
	t.Parallel()
	config, link := tokensDir(t)
	file := filepath.Join(filepath.Dir(link), "elsewhere.toml")
	a := token("a", access.Read)
	text := "# ours\n" + strings.TrimSuffix(a.Line(), "\n")
	if err := os.WriteFile(file, []byte(text), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere.toml", link); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := herdToken(config, "b", "--read", "--add")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errOut)
	}
	got := readFile(t, file)
	if !strings.HasPrefix(got, text+"\nb = {") {
		t.Errorf("%q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o400 {
		t.Errorf("the file is %v, %v", info, err)
	}
	tokens, err := access.Parse(link, []byte(got))
	if err != nil || len(tokens.All()) != 2 || tokens.Find([]byte(strings.TrimSpace(out))) == nil {
		t.Errorf("%v, %q", err, got)
	}
}

// Two commands at the same time lose no line.
func TestTokensAreAddedAtTheSameTime(t *testing.T) {
	t.Parallel()
	config, file := tokensDir(t)
	const n = 16
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, errOut, code := herdToken(config, fmt.Sprintf("t%d", i), "--read", "--add"); code != 0 {
				t.Errorf("exit code %d, %s", code, errOut)
			}
		})
	}
	all.Wait()
	if tokens, err := readTokens(file); err != nil || len(tokens.All()) != n {
		t.Errorf("%v, %s", err, readFile(t, file))
	}
}

// Whoever does not get to see an added token learns that its line is useless.
func TestTokenThatCannotBePrinted(t *testing.T) {
	t.Parallel()
	config, file := tokensDir(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatalf("NOT RUN, there is no /dev/full here: %v", err)
	}
	defer full.Close()
	var errOut bytes.Buffer
	code := run([]string{"token", "a", "--read", "--add", "--config", config}, strings.NewReader(""), full, &errOut)
	if want := "no space left on device: nobody knows the token now; remove the line of a from " + file + "\n"; code != exitFailed || !strings.HasSuffix(errOut.String(), want) {
		t.Errorf("exit code %d, %q", code, &errOut)
	}
}

// From a new token to its end: servers take it after SIGHUP, and close its connections when its line is removed.
func TestTokenOfARunningServer(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\n", "Alford")
	file := filepath.Join(h.Dir, "tokens.toml")
	writeTokens(t, file, "", token("other", access.Read))
	h.Start("Alford", listeners["Alford"]...)
	h.UntilLive()
	out, errOut, code := h.Command("", "token", "fleet7", "--read", "--write", "fleet7/", "--expires", "1h", "--add")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errOut)
	}
	text := strings.TrimSpace(out)
	iamat := func(id string) (string, int) {
		out, errOut, code := h.Command("", "iamat", id, "+1+1", "--token", text)
		return out + errOut, code
	}
	if out, code := iamat("fleet7/1"); code != exitFailed || !strings.Contains(out, "the server refused the token: unknown or expired") {
		t.Errorf("before SIGHUP: exit code %d, %s", code, out)
	}
	hangup := func() { _ = h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP) }
	hangup()
	processtest.Eventually(t, "the token is taken", func() bool {
		_, code := iamat("fleet7/1")
		return code == 0
	})
	if out, code := iamat("fleet8/1"); code != exitFailed || !strings.Contains(out, "> IAMAT TOKEN: it may write only clients whose id begins with fleet7/") {
		t.Errorf("outside the prefix: exit code %d, %s", code, out)
	}
	writeTokens(t, file, "", token("other", access.Read))
	hangup()
	processtest.Eventually(t, "the token is refused", func() bool {
		_, code := iamat("fleet7/1")
		return code != 0
	})
}
