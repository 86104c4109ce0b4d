package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"serverherd/herd/config"
)

// filesIn are the files of a server in a directory.
func filesIn(dir string, name string) config.TLS {
	return config.TLS{
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "{name}.pem"), Key: filepath.Join(dir, "{name}-key.pem"),
	}.Of(name)
}

// made makes a server's certificate by the authority of a directory, and loads it.
func made(t *testing.T, dir, name string) *Certs {
	t.Helper()
	a, _, err := OpenAuthority(filepath.Join(dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Make(filesIn(dir, name), config.Server{Name: name, Address: "127.0.0.1:1"}, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	c, err := Load(filesIn(dir, name), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake connects two configurations and returns what each side says, and what the server has seen.
func handshake(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, atServer, atClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		s := tls.Server(c, server)
		err = s.Handshake()
		seen = s.ConnectionState()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		c.Close()
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := tls.Client(c, client)
	if atClient = s.Handshake(); atClient == nil {
		_, atClient = s.Read(make([]byte, 1)) // with TLS 1.3 the server's verdict comes after the handshake
	} else {
		c.Close()
	}
	return seen, <-done, atClient
}

// A link is between two servers that have certificates of one authority for their names.
func TestLinks(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	alford, ball := made(t, dir, "Alford"), made(t, dir, "Ball")
	stranger := made(t, elsewhere, "Ball")
	seen, atServer, atClient := handshake(t, ball.Port(), alford.Link("Ball"))
	if atServer != nil || atClient != nil || len(seen.VerifiedChains) == 0 || seen.PeerCertificates[0].DNSNames[0] != "Alford" ||
		seen.Version != tls.VersionTLS13 {
		t.Errorf("%v, %v, %+v", atServer, atClient, seen)
	}
	for _, name := range []string{"ball", "BALL", "Ball.", "Alford", "*", ""} {
		if _, _, err := handshake(t, ball.Port(), alford.Link(name)); !errors.Is(err, ErrName) {
			t.Errorf("Ball as %q: %v", name, err)
		}
	}
	if _, _, err := handshake(t, stranger.Port(), alford.Link("Ball")); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("another authority at the server: %v", err)
	}
	if _, err, _ := handshake(t, ball.Port(), stranger.Link("Ball")); err == nil {
		t.Error("another authority at the client: no error")
	}
	trusting := stranger.Link("Ball") // and one that does not check
	trusting.VerifyConnection = nil
	if _, err, _ := handshake(t, ball.Port(), trusting); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("another authority at the client: %v", err)
	}
	plain := &tls.Config{InsecureSkipVerify: true}
	if seen, err, _ := handshake(t, ball.Port(), plain); err != nil || seen.VerifiedChains != nil {
		t.Errorf("a client without a certificate: %v", err)
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true} {
		old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version}
		if _, err, _ := handshake(t, ball.Port(), old); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if _, err, _ := handshake(t, ball.Console(), old); err == nil {
			t.Errorf("the console: %s", tls.VersionName(version))
		}
	}
}

// Files that change are read again. Broken ones are not used.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	c := made(t, dir, "Alford")
	if changed, err := c.Reload(false); changed || err != nil {
		t.Errorf("nothing has changed: %v, %v", changed, err)
	}
	first := c.current.Load().cert.Leaf.SerialNumber
	files := filesIn(dir, "Alford")
	for name, break_ := range map[string]func(){
		"no key":      func() { os.Remove(files.Key) },
		"another key": func() { made(t, dir, "Ball"); os.Rename(filesIn(dir, "Ball").Key, files.Key) },
		"another name": func() {
			made(t, dir, "Ball")
			os.Rename(filesIn(dir, "Ball").Cert, files.Cert)
			os.Rename(filesIn(dir, "Ball").Key, files.Key)
		},
		"another authority": func() {
			elsewhere := t.TempDir()
			made(t, elsewhere, "Alford")
			os.Rename(filesIn(elsewhere, "Alford").Cert, files.Cert)
			os.Rename(filesIn(elsewhere, "Alford").Key, files.Key)
		},
		"no PEM":       func() { os.WriteFile(files.Cert, []byte("nonsense"), 0o644) },
		"an empty CA":  func() { os.WriteFile(files.CA, nil, 0o644) },
		"an open key":  func() { os.Chmod(files.Key, 0o644) },
		"a half write": func() { os.Truncate(files.Cert, 300) },
	} {
		t.Run(name, func(t *testing.T) {
			saved := map[string][]byte{}
			for _, file := range []string{files.CA, files.Cert, files.Key} {
				saved[file], _ = os.ReadFile(file)
			}
			break_()
			if changed, err := c.Reload(true); changed || err == nil || c.current.Load().cert.Leaf.SerialNumber.Cmp(first) != 0 {
				t.Errorf("%v, %v", changed, err)
			}
			for file, text := range saved {
				os.Remove(file)
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	made(t, dir, "Alford")
	if changed, err := c.Reload(false); !changed || err != nil || c.current.Load().cert.Leaf.SerialNumber.Cmp(first) == 0 {
		t.Errorf("a new certificate: %v, %v", changed, err)
	}
}

// After a failure, the files that are in use may be back, with their times.
func TestFilesAreBack(t *testing.T) {
	dir := t.TempDir()
	c := made(t, dir, "Alford")
	cert := filesIn(dir, "Alford").Cert
	if err := os.Rename(cert, cert+".old"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if changed, err := c.Reload(false); changed || err == nil {
			t.Errorf("%v, %v", changed, err)
		}
	}
	if err := os.Rename(cert+".old", cert); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := c.Reload(false); changed != want || err != nil {
			t.Errorf("%v, %v, want %v", changed, err, want)
		}
	}
}

// A server whose links are without TLS may have any certificate: clients may know it by its host.
func TestCertificateWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	made(t, dir, "Ball")
	files := filesIn(dir, "Ball")
	if _, err := Load(files, "Alford"); !errors.Is(err, ErrName) {
		t.Errorf("with links: %v", err)
	}
	files.Links = "off"
	if _, err := Load(files, "Alford"); err != nil {
		t.Errorf("without: %v", err)
	}
}

// Neighbors accept a certificate only if it may be used on both sides.
func TestCertificateForServersOnly(t *testing.T) {
	dir := t.TempDir()
	a, _, err := OpenAuthority(filepath.Join(dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{DNSNames: []string{"Alford"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	_, text, err := sign(template, a.cert, key, a.key, time.Hour)
	files := filesIn(dir, "Alford")
	if err := errors.Join(err, writePair(files.Cert, files.Key, text, key)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(files, "Alford"); err == nil || !strings.Contains(err.Error(), "neighbors would refuse it: ") {
		t.Errorf("the error is %v", err)
	}
}

// Certificates that have expired, or are not valid yet, are not loaded.
func TestValidity(t *testing.T) {
	dir := t.TempDir()
	a, _, err := OpenAuthority(filepath.Join(dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	files := filesIn(dir, "Alford")
	if err := a.Make(files, config.Server{Name: "Alford"}, -time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(files, "Alford"); err == nil || !strings.Contains(err.Error(), "has expired on") {
		t.Errorf("expired: %v", err)
	}
}

// A certificate has no name of another server, whatever the hosts of its addresses are, and one that has is not loaded for
// links. DNS ignores case.
func TestNamesOfOthers(t *testing.T) {
	dir := t.TempDir()
	a, _, err := OpenAuthority(filepath.Join(dir, "ca.pem"), "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	files := filesIn(dir, "Ball")
	files.Links = "required"
	ball := config.Server{Name: "Ball", Address: "alford:1", Listen: "Alford.:1", Console: "ball:2"}
	others := []string{"Alford", "LOCALHOST", "ball"}
	if err := a.Make(files, ball, time.Hour, others...); err != nil {
		t.Fatal(err)
	}
	c, err := Load(files, "Ball", others...)
	if err != nil {
		t.Fatal(err)
	}
	if names := c.current.Load().cert.Leaf.DNSNames; !slices.Equal(names, []string{"Ball"}) {
		t.Errorf("the certificate is for %q", names)
	}
	if omitted := Omitted(ball, others); !slices.Equal(omitted, []string{"localhost", "alford", "Alford.", "ball"}) {
		t.Errorf("omitted: %q", omitted)
	}
	if err := a.Make(files, ball, time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, refused := range map[string]bool{"Alford": true, "ALFORD": true, "localhost": true, "ball": true, "Alf": false} {
		_, err := Load(files, "Ball", name)
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "the name of another server") {
			t.Errorf("where %s is another server: %v", name, err)
		}
	}
	if changed, err := c.Reload(true); changed || err == nil {
		t.Errorf("read again: %v", err)
	}
}

// The authority is made once; its key is secret.
func TestAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	ca := filepath.Join(dir, "ca.pem")
	first, created, err := OpenAuthority(ca, "ucla", 24*time.Hour)
	if err != nil || len(created) != 2 {
		t.Fatal(created, err)
	}
	again, created, err := OpenAuthority(ca, "ucla", 24*time.Hour)
	if err != nil || len(created) != 0 || !again.cert.Equal(first.cert) {
		t.Fatal(created, err)
	}
	info, err := os.Stat(KeyFile(ca))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if _, _, err := OpenAuthority(ca, "ucla", 1000*24*time.Hour); err == nil {
		t.Error("a certificate would outlive its authority")
	}
	os.Remove(KeyFile(ca))
	if _, _, err := OpenAuthority(ca, "ucla", 24*time.Hour); err == nil || !strings.Contains(err.Error(), "exists, but") {
		t.Errorf("without its key: %v", err)
	}
}

// If the certificate cannot be written, as on a full disk, its key is not replaced.
func TestPairIsReplacedTogether(t *testing.T) {
	dir := t.TempDir()
	made(t, dir, "Alford")
	files := filesIn(dir, "Alford")
	before, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := OpenAuthority(files.CA, "ucla", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	files.Cert = filepath.Join(files.CA, "no directory", "Alford.pem")
	if err := a.Make(files, config.Server{Name: "Alford"}, 24*time.Hour); err == nil {
		t.Fatal("no error")
	}
	after, err := os.ReadFile(files.Key)
	if err != nil || string(after) != string(before) {
		t.Errorf("the key was replaced: %v", err)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, ".cert*")); len(all) > 0 {
		t.Errorf("left: %q", all)
	}
}
