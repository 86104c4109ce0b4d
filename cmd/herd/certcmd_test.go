package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// certDir returns the path of a herd.toml with the servers Alford and Ball; extra is put at its beginning.
func certDir(t *testing.T, extra string) (config string) {
	t.Helper()
	config = filepath.Join(t.TempDir(), "herd.toml")
	text := extra + "\n[[server]]\nname = \"Alford\"\naddress = \"alford.example.org:4000\"\nlisten = \"127.0.0.1:4000\"\n" +
		"console = \"[::1]:5000\"\nneighbors = [\"Ball\"]\n" +
		"\n[[server]]\nname = \"Ball\"\naddress = \"127.0.0.2:4000\"\nneighbors = [\"Alford\"]\n"
	writeFile(t, config, "[herd]\nname = \"ucla\"\nsecret_file = \"secret\"\n"+text)
	writeFile(t, filepath.Join(filepath.Dir(config), "secret"), "0123456789abcdef\n")
	return config
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// herdCert runs the command. dir in its output is replaced.
func herdCert(config string, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = run(append(append([]string{"cert"}, args...), "--config", config), strings.NewReader(""), &o, &e)
	clean := strings.NewReplacer(filepath.Dir(config)+"/", "")
	return clean.Replace(o.String()), clean.Replace(e.String()), code
}

func readCert(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(readFile(t, file)))
	if block == nil {
		t.Fatal("no PEM in " + file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	keptBoth = "kept     tls/Alford.pem (--force replaces it)\nkept     tls/Ball.pem (--force replaces it)\n"
	madeCA   = "written  tls/ca.pem\nwritten  tls/ca-key.pem\n"
	madeA    = "written  tls/Alford.pem\nwritten  tls/Alford-key.pem\n"
	madeB    = "written  tls/Ball.pem\nwritten  tls/Ball-key.pem\n"
	toUse    = `
To use them, write into herd.toml and restart one server after another:

    [tls]
    links = "optional"     # then, after another round of restarts, "required"

    [clients]
    tls = "optional"

    [console]
    tls = "optional"
`
	withTLS = "[tls]\nlinks = \"optional\"\n"
)

// What herd cert prints, and what it writes: each row begins with what the setup has left.
func TestCert(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		toml   string
		before func(t *testing.T, dir string, cert func(args ...string))
		args   []string
		out    string
		errOut string // begins with it
		code   int
		writes []string // files that are new or changed; nil: none
	}{
		"the first run":        {"", nil, nil, madeCA + madeA + madeB + toUse, "", 0, []string{"ca.pem", "ca-key.pem", "Alford.pem", "Alford-key.pem", "Ball.pem", "Ball-key.pem"}},
		"with TLS in use":      {withTLS, nil, nil, madeCA + madeA + madeB, "", 0, []string{"ca.pem", "ca-key.pem", "Alford.pem", "Alford-key.pem", "Ball.pem", "Ball-key.pem"}},
		"again":                {withTLS, func(_ *testing.T, _ string, cert func(...string)) { cert() }, nil, keptBoth, "", 0, nil},
		"a name":               {withTLS, nil, []string{"Ball"}, madeCA + madeB, "", 0, []string{"ca.pem", "ca-key.pem", "Ball.pem", "Ball-key.pem"}},
		"a name, forced":       {withTLS, func(_ *testing.T, _ string, cert func(...string)) { cert() }, []string{"Ball", "--force"}, madeB, "", 0, []string{"Ball.pem", "Ball-key.pem"}},
		"all, forced":          {withTLS, func(_ *testing.T, _ string, cert func(...string)) { cert() }, []string{"--force"}, madeA + madeB, "", 0, []string{"Alford.pem", "Alford-key.pem", "Ball.pem", "Ball-key.pem"}},
		"a new server":         {withTLS, func(_ *testing.T, _ string, cert func(...string)) { cert("Alford") }, nil, "kept     tls/Alford.pem (--force replaces it)\n" + madeB, "", 0, []string{"Ball.pem", "Ball-key.pem"}},
		"an unknown name":      {withTLS, nil, []string{"Ball", "ball"}, "", "herd: unknown server \"ball\"; servers in herd.toml: Alford, Ball\n", 2, nil},
		"the same certificate": {withTLS + "cert = \"tls/herd.pem\"\n", nil, nil, "", "herd: tls.cert or tls.key is the same file for several servers: write {name} into both, as in tls/{name}.pem\n", 1, nil},
		"the same key":         {withTLS + "key = \"tls/herd.pem\"\n", nil, nil, "", "herd: tls.cert or tls.key is the same file for several servers: write {name} into both, as in tls/{name}.pem\n", 1, nil},
		"the same certificate, one server": {withTLS + "cert = \"tls/herd.pem\"\n", nil, []string{"Ball"}, madeCA + "written  tls/herd.pem\nwritten  tls/Ball-key.pem\n", "", 0,
			[]string{"ca.pem", "ca-key.pem", "herd.pem", "Ball-key.pem"}},
		"one file for both": {withTLS + "key = \"tls/{name}.pem\"\n", nil, []string{"Ball"}, "", "herd: tls.ca, tls.cert, tls.key and the key beside tls.ca must be different files\n", 1, nil},
		"the CA as key":     {withTLS + "key = \"tls/ca-key.pem\"\n", nil, []string{"Ball"}, "", "herd: tls.ca, tls.cert, tls.key and the key beside tls.ca must be different files\n", 1, nil},
		"a directory that cannot be made": {withTLS, func(t *testing.T, dir string, _ func(...string)) { writeFile(t, filepath.Join(dir, "tls"), "") }, nil,
			"", "herd: stat tls/Alford.pem: not a directory\n", 1, nil},
		"a directory of the CA that cannot be made": {withTLS + "ca = \"secret/ca.pem\"\n", nil, nil, "", "herd: open secret/ca.pem: not a directory\n", 1, nil},
		"a CA without its key": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert("Alford")
			os.Remove(filepath.Join(dir, "tls", "ca-key.pem"))
		}, []string{"Ball"}, "", "herd: tls/ca.pem exists, but not its key: open tls/ca-key.pem: no such file or directory\n", 1, nil},
		"a key without its CA": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert("Alford")
			os.Remove(filepath.Join(dir, "tls", "ca.pem"))
		}, []string{"Ball"}, "", "herd: tls/ca-key.pem exists, but not tls/ca.pem: move it away, or restore its certificate\n", 1, nil},
		"a CA whose key is readable by others": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert("Alford")
			os.Chmod(filepath.Join(dir, "tls", "ca-key.pem"), 0o644)
		}, []string{"Ball"}, "", "herd: tls/ca.pem exists, but not its key: tls/ca-key.pem is readable by others: change its mode to 600, or to 640 if root owns it\n", 1, nil},
		"a key that is readable by others": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert()
			os.Chmod(filepath.Join(dir, "tls", "Ball-key.pem"), 0o604)
		}, nil, "kept     tls/Alford.pem (--force replaces it)\n" +
			"kept     tls/Ball.pem, but tls.key: tls/Ball-key.pem is readable by others: change its mode to 600, or to 640 if root owns it (--force replaces it)\n", "", 1, nil},
		"a certificate without its key": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert()
			os.Remove(filepath.Join(dir, "tls", "Ball-key.pem"))
		}, []string{"Ball"}, "kept     tls/Ball.pem, but tls.key: open tls/Ball-key.pem: no such file or directory; herd cert makes the files of [tls] (--force replaces it)\n", "", 1, nil},
		"a certificate of another server": {withTLS, func(t *testing.T, dir string, cert func(...string)) {
			cert()
			for _, file := range []string{".pem", "-key.pem"} {
				writeFile(t, filepath.Join(dir, "tls", "Ball"+file), readFile(t, filepath.Join(dir, "tls", "Alford"+file)))
			}
		}, []string{"Ball"}, `kept     tls/Ball.pem, but tls.cert: tls/Ball.pem: neighbors would refuse it: the certificate is not for this name: it has ["Alford" "localhost" "alford.example.org"], not "Ball" (--force replaces it)` + "\n", "", 1, nil},
		"a certificate of another CA": {withTLS, func(_ *testing.T, dir string, cert func(...string)) {
			cert()
			os.Remove(filepath.Join(dir, "tls", "ca.pem"))
			os.Remove(filepath.Join(dir, "tls", "ca-key.pem"))
			cert("Alford", "--force")
		}, []string{"Ball"}, "kept     tls/Ball.pem, but tls.cert: tls/Ball.pem: neighbors would refuse it: x509: certificate signed by unknown authority", "", 1, nil},
		"longer than its CA": {withTLS, func(_ *testing.T, _ string, cert func(...string)) { cert("Alford", "--days", "1") }, []string{"Ball"}, "",
			"herd: tls/ca.pem expires on ", 1, nil},
		"a host that is another server's name": {withTLS, func(t *testing.T, dir string, _ func(...string)) {
			file := filepath.Join(dir, "herd.toml")
			writeFile(t, file, strings.ReplaceAll(strings.ReplaceAll(readFile(t, file), "127.0.0.2", "ALFORD"), "[::1]:5000", "ball.:5000"))
		}, nil, madeCA + madeA + "without  ball. in tls/Alford.pem: it is the name of another server\n" +
			madeB + "without  ALFORD in tls/Ball.pem: it is the name of another server\n", "", 0,
			[]string{"ca.pem", "ca-key.pem", "Alford.pem", "Alford-key.pem", "Ball.pem", "Ball-key.pem"}},
		"a certificate that has another server's name, too": {withTLS, func(t *testing.T, dir string, cert func(...string)) {
			file := filepath.Join(dir, "herd.toml")
			text := readFile(t, file)
			writeFile(t, file, strings.NewReplacer(`"Alford"`, `"Hamilton"`, "127.0.0.2", "alford").Replace(text))
			cert("Ball")
			writeFile(t, file, text)
		}, []string{"Ball"}, `kept     tls/Ball.pem, but tls.cert: tls/Ball.pem: it has "alford", the name of another server: ` +
			"with its key one could be that server (--force replaces it)\n", "", 1, nil},
		"no days":       {withTLS, nil, []string{"--days", "0"}, "", "herd: --days: want a whole number from 1 to 825, got 0", 2, nil},
		"too many days": {withTLS, nil, []string{"--days", "826"}, "", "herd: --days: want a whole number from 1 to 825, got 826", 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := certDir(t, c.toml)
			dir := filepath.Dir(config)
			if c.before != nil {
				c.before(t, dir, func(args ...string) {
					if out, errOut, code := herdCert(config, args...); code != 0 {
						t.Fatal(out, errOut)
					}
				})
			}
			before := files(t, filepath.Join(dir, "tls"))
			out, errOut, code := herdCert(config, c.args...)
			sameOut := out == c.out || strings.HasSuffix(c.out, "authority") && strings.HasPrefix(out, c.out)
			if code != c.code || !sameOut || c.errOut == "" && errOut != "" || !strings.HasPrefix(errOut, c.errOut) || strings.Count(errOut, "\n") > 1 {
				t.Errorf("exit code %d, printed\n%s\nwant %d and\n%s\nstandard error %q, want %q", code, out, c.code, c.out, errOut, c.errOut)
			}
			var writes []string
			for file, text := range files(t, filepath.Join(dir, "tls")) {
				if before[file] != text {
					writes = append(writes, file)
				}
			}
			slices.Sort(writes)
			slices.Sort(c.writes)
			if !slices.Equal(writes, c.writes) {
				t.Errorf("writes %q, want %q", writes, c.writes)
			}
		})
	}
}

// files are the files of a directory, if it is one.
func files(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		all[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	return all
}

// What is in the certificates: the names by which neighbors, clients and browsers reach a server, and for how long. The keys
// are for the user only.
func TestCertificatesOfCert(t *testing.T) {
	t.Parallel()
	config := certDir(t, "")
	dir := filepath.Join(filepath.Dir(config), "tls")
	began := time.Now()
	if _, errOut, code := herdCert(config, "--days", "30"); code != 0 {
		t.Fatal(errOut)
	}
	ca := readCert(t, filepath.Join(dir, "ca.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for server, hosts := range map[string][]string{
		"Alford": {"Alford", "localhost", "alford.example.org", "127.0.0.1", "::1"},
		"Ball":   {"Ball", "localhost", "127.0.0.2", "127.0.0.1"},
	} {
		c := readCert(t, filepath.Join(dir, server+".pem"))
		for _, host := range hosts {
			if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
				t.Errorf("%s as %s: %v", server, host, err)
			}
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s as a neighbor: %v", server, err)
		}
		if c.VerifyHostname("example.org") == nil || c.IsCA {
			t.Errorf("%s has too much: %q, CA %v", server, c.DNSNames, c.IsCA)
		}
		if life := c.NotAfter.Sub(began); life < 30*24*time.Hour-time.Minute || life > 30*24*time.Hour+time.Hour {
			t.Errorf("%s is valid for %v", server, life)
		}
	}
	for _, e := range []string{"ca-key.pem", "Alford-key.pem", "Ball-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, e)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("tls: %v, %v", info.Mode(), err)
	}
}
