package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A secret is refused if others can use it. A file of root may be readable by its group.
func TestReadSecretModes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode := range fs.FileMode(0o1000) {
		for uid, others := range map[uint32]fs.FileMode{0: 0o037, 1000: 0o077, 65534: 0o077} {
			if got := openToOthers(ofOwner{mode, uid}); got != (mode&others != 0) {
				t.Fatalf("mode %o, owner %d: open %v", mode, uid, got)
			}
		}
	}
	for _, mode := range []fs.FileMode{0o400, 0o600, 0o440, 0o640, 0o660, 0o644, 0o604, 0o666} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		refused := mode&0o037 != 0 || mode&0o040 != 0 && os.Geteuid() != 0
		if _, err := ReadSecret(file); (err != nil) != refused {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// ofOwner is what is known of a file with an owner.
type ofOwner struct {
	mode fs.FileMode
	uid  uint32
}

func (f ofOwner) Name() string       { return "secret" }
func (f ofOwner) Size() int64        { return 1 }
func (f ofOwner) Mode() fs.FileMode  { return f.mode }
func (f ofOwner) ModTime() time.Time { return time.Time{} }
func (f ofOwner) IsDir() bool        { return false }
func (f ofOwner) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

// Another user than root reads a secret of root by its group, and none of its own that its group can read.
func TestSecretOfAnotherUser(t *testing.T) {
	const nobody, ours = 65534, 64321
	if file := os.Getenv("HERD_TEST_SECRET"); file != "" { // as that user, see below
		for name, want := range map[string]string{
			"root-640": "", "root-440": "", "root-600": "permission denied", "root-644": "readable by others",
			"own-600": "", "own-400": "", "own-640": "readable by others",
		} {
			_, err := ReadSecret(filepath.Join(file, name))
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		return
	}
	if os.Geteuid() != 0 {
		const why = "only root can make a secret of another user"
		fmt.Fprintf(os.Stderr, "NOT RUN: %s: %s\n", t.Name(), why)
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "secret") // all directories above can be entered by others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, owner := range map[string]int{"root": 0, "own": nobody} {
		for _, mode := range []fs.FileMode{0o400, 0o600, 0o440, 0o640, 0o644} {
			file := filepath.Join(dir, fmt.Sprintf("%s-%o", name, mode))
			if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(file, owner, ours); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A copy of this program: that user may not reach the original.
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "self"), self, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(dir, "self"), "-test.run", "^TestSecretOfAnotherUser$", "-test.v")
	c.Env = append(os.Environ(), "HERD_TEST_SECRET="+dir)
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{ours}}}
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A program that is no server goes on without a secret that it cannot read, and does not overlook one that is wrong.
func TestLoadForClient(t *testing.T) {
	const beyond = "[[server]]\nname = \"Alford\"\naddress = \"192.0.2.1:11500\"\n"
	file, secret := filepath.Join(t.TempDir(), "herd.toml"), "[herd]\nsecret_file = \"secret\"\n"
	t.Setenv(SecretVariable, "")
	for _, test := range []struct{ text, secret, server, client string }{
		{secret + beyond, strings.Repeat("x", 16), "", ""},
		{secret + beyond, "", "no such file", ""},
		{beyond, "", "requires a shared secret", ""},
		{secret + beyond, "short", "shorter than the minimum", "shorter than the minimum"},
		{secret + beyond + "x = 1\n", "", "unknown key", "unknown key"},
	} {
		path := filepath.Join(filepath.Dir(file), "secret")
		_ = os.Remove(path)
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if test.secret != "" {
			if err := os.WriteFile(path, []byte(test.secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		says := func(err error, want string) {
			t.Helper()
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q, secret %q: %v, want %q", test.text, test.secret, err, want)
			}
		}
		_, err := Load(file, Resources{Descriptors: 20000})
		says(err, test.server)
		c, err := LoadForClient(file, Resources{Descriptors: 20000})
		says(err, test.client)
		missing := test.client == "" && strings.Contains(test.server, "no such file")
		if err == nil && (c.Herd.SecretMissing != nil) != missing {
			t.Errorf("%q: %v", test.text, c.Herd.SecretMissing)
		}
	}
}
