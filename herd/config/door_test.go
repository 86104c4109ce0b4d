package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Beyond loopback, a listener needs tokens, or herd.toml must say that it shall be open. The error has the lines to write.
func TestDoors(t *testing.T) {
	for _, c := range []struct {
		clients, console string // addresses
		text             string
		wrong            string   // the beginning of the error; "" if there is none
		lines            string   // that the error has; written into herd.toml, the server is accepted
		open             []string // beyond loopback
	}{
		{"127.0.0.1:1", "[::1]:2", "", "", "", nil},
		{"127.0.0.1:1", "", "", "", "", nil},
		{"0.0.0.0:1", "127.0.0.1:2", "", "Alford: clients at 0.0.0.0:1 are beyond loopback", "[clients]\nopen = true", []string{"clients"}},
		{"[::]:1", "127.0.0.1:2", "", "Alford: clients at [::]:1 are beyond loopback", "[clients]\ntokens = \"tokens.toml\"", []string{"clients"}},
		{"127.0.0.1:1", "10.0.0.1:2", "", "Alford: the console at 10.0.0.1:2 is beyond loopback", "[console]\nopen = true", nil},
		{"10.0.0.1:1", "10.0.0.1:2", "[clients]\nopen = true\n", "Alford: the console at 10.0.0.1:2", "[console]\nopen = true", []string{"clients"}},
		{"10.0.0.1:1", "10.0.0.1:2", "[console]\nopen = true\n", "Alford: clients at 10.0.0.1:1", "[clients]\nopen = true", []string{"clients", "console"}},
		{"10.0.0.1:1", "10.0.0.1:2", "[clients]\ntokens = \"x\"\n", "", "", nil},
		{"10.0.0.1:1", "10.0.0.1:2", "[clients]\ntokens = \"x\"\nopen = true\n[console]\nopen = true\n", "", "", []string{"clients", "console"}},
	} {
		parse := func(text string) *Config {
			text += "\n[[server]]\nname = \"Alford\"\naddress = \"" + c.clients + "\"\n"
			if strings.HasPrefix(c.clients, "0.0.0.0") || strings.HasPrefix(c.clients, "[::]") {
				text = strings.Replace(text, "address = ", "address = \"10.0.0.1:1\"\nlisten = ", 1)
			}
			if c.console != "" {
				text += "console = \"" + c.console + "\"\n"
			}
			cfg, err := Parse("herd.toml", []byte(text), "a secret of 16 bytes and more", Resources{})
			if err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		cfg := parse(c.text)
		err := cfg.CheckServer(cfg.Servers[0])
		if (err != nil) != (c.wrong != "") || err != nil && !strings.HasPrefix(err.Error(), c.wrong) {
			t.Errorf("%+v: %v", c, err)
		}
		if open := cfg.OpenBeyondLoopback(c.clients, c.console); !slices.Equal(open, c.open) {
			t.Errorf("%+v: open %q", c, open)
		}
		if err == nil {
			continue
		}
		for line := range strings.SplitSeq(c.lines, "\n") {
			if !strings.Contains(err.Error(), "    "+line) {
				t.Errorf("%+v: no line %s in: %v", c, line, err)
			}
		}
		with := parse(c.text + c.lines)
		if err := with.CheckServer(with.Servers[0]); err != nil {
			t.Errorf("with the lines of the error: %v", err)
		}
	}
}

// Load neither needs nor reads the tokens: commands on a client's machine have none.
func TestTokensAreNotLoaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "herd.toml")
	if err := os.WriteFile(file, []byte("[clients]\ntokens = \"tokens.toml\"\n"+twoServers), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, Resources{})
	if err != nil || c.Clients.Tokens != filepath.Join(filepath.Dir(file), "tokens.toml") || !c.Clients.Required() {
		t.Errorf("%+v %v", c, err)
	}
}
