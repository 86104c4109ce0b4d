package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/places/google/googletest"
)

// Neither the API key from the environment nor a request with it appears in dumps of the process.
func TestKeyInADump(t *testing.T) {
	t.Setenv(keyVariable, googletest.Key)
	for _, d := range []googletest.Dialect{googletest.LegacyAPI, googletest.NewAPI} {
		t.Run(string(d), func(t *testing.T) {
			google := googletest.Start(t)
			google.Set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			h, listeners := processtest.NewHerd(t, fmt.Sprintf("[places]\nprovider = %q\n"+
				"base_url = %q\ntimeout = \"20s\"\n[log]\nlevel = \"debug\"\nformat = \"text\"\n", d, google.URL), "Alford")
			h.Flags = []string{"--pprof"}
			h.Start("Alford", listeners["Alford"]...)
			h.UntilLive()
			c, err := net.Dial("tcp", h.Server("Alford").Address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = io.WriteString(c, "IAMAT puma +3.0+4.0 5\nWHATSAT puma 1 2\n")
			if err != nil {
				t.Fatal(err)
			}
			processtest.Eventually(t, "it is asked", func() bool { return google.Asked() == 1 })
			seen := &bytes.Buffer{}
			look(t, h, seen)
			if said := seen.String(); !strings.Contains(said, "google.(*client).fetch") {
				t.Error("no lookup is on its way in the dump")
			}
			checkSecret(t, seen.Bytes(), googletest.Key)
		})
	}
}

// look collects everything that a server outputs, and ends it with a stack dump.
func look(t *testing.T, h *processtest.Herd, seen *bytes.Buffer) {
	t.Helper()
	const name = "Alford"
	r := h.Running[name]
	for _, page := range []string{
		"/status.json", "/healthz", "/livez", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
	} {
		resp, err := http.Get("http://" + h.Server(name).Console + page)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", page, resp.Status)
		}
		_, _ = io.Copy(seen, resp.Body)
		resp.Body.Close()
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.Cmd.Process.Pid))
	if err != nil {
		t.Errorf("NOT RUN: the title of the process: %v", err)
	}
	seen.Write(title)
	if err := r.Cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	h.Wait(r)
	delete(h.Running, name)
	said := r.Stderr.String()
	if !strings.Contains(said, "goroutine ") || strings.Contains(said, "DATA RACE") {
		t.Errorf("no dump of the stacks, or more, in %q", said)
	}
	seen.WriteString(said)
	entries, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-"+name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	seen.Write(entries)
}

// checkSecret looks for a secret in all its encodings.
func checkSecret(t *testing.T, text []byte, secret string) {
	t.Helper()
	if len(text) < 10_000 {
		t.Errorf("only %d bytes were looked at", len(text))
	}
	for what, i := range dressed(text, secret) {
		t.Errorf("the key, %s, is in %q", what, text[max(0, i-200):min(len(text), i+200)])
	}
}

// dressed finds a secret, or half of it, in a text, in plain or in an encoding of its bytes. A part without
// special characters is unchanged in URLs, HTML and quotes.
func dressed(text []byte, secret string) map[string]int {
	found := map[string]int{}
	low := strings.ToLower(string(text))
	// Remove separators between the digits of bytes.
	between := strings.NewReplacer("\\x", "", "%", "", "0x", "", ",", "", " ", "", "\n", "")
	packed := between.Replace(low)
	parts := map[string]string{"all of it": secret, "a half": secret[len(secret)/2:]}
	for what, part := range parts {
		note := func(how, in, form string) {
			if i := strings.Index(in, strings.ToLower(form)); i >= 0 {
				found[what+" "+how] = min(i, len(text)-1)
			}
		}
		note("plain", low, part)
		note("escaped for a URL", low, url.QueryEscape(part))
		note("in hex", packed, hex.EncodeToString([]byte(part)))
		note("as bytes", low, strings.Trim(fmt.Sprint([]byte(part)), "[]"))
		for shift := range 3 { // it may begin within a group of three bytes
			form := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + part))
			form = form[(8*shift+5)/6 : len(form)-1] // without the characters that depend on adjacent bytes
			note("in base64", low, form)
			note("in base64 for URLs", low, strings.NewReplacer("+", "-", "/", "_").Replace(form))
		}
	}
	return found
}

// The search finds all encodings at every offset.
func TestDressed(t *testing.T) {
	const secret = googletest.Key
	for front := range 4 {
		before := strings.Repeat("a", front)
		text := before + secret + "zz"
		for what, dress := range map[string]string{
			"plain": text, "another case": strings.ToUpper(text), "a half": text[len(text)/2-2:],
			"hex": hex.EncodeToString([]byte(text)), "hex with spaces": fmt.Sprintf("% x", text),
			"Go's bytes": fmt.Sprintf("%#v", []byte(text)), "numbers": fmt.Sprint([]byte(text)),
			"base64":  base64.StdEncoding.EncodeToString([]byte(text)),
			"URL":     base64.RawURLEncoding.EncodeToString([]byte(text)),
			"quoted":  fmt.Sprintf("%q", text),
			"escaped": strings.ReplaceAll(fmt.Sprintf("% x", " "+text), " ", "%"),
		} {
			if found := dressed([]byte("before "+dress+" behind"), secret); len(found) == 0 {
				t.Errorf("%s behind %d: not found in %s", what, front, dress)
			}
		}
	}
	none := []byte("AIza [key] " + strings.Repeat("0123456789 ", 100))
	if found := dressed(none, secret); len(found) > 0 {
		t.Errorf("found %v where it is not", found)
	}
}

// The key comes from a file that others cannot read, or from the environment.
func TestKey(t *testing.T) {
	s := googletest.Start(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	foreign := httptest.NewTLSServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(foreign.Close)
	key := func(mode os.FileMode, text string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := key(0o600, googletest.Key+"\n")
	for _, c := range []struct{ name, env, file, base, want string }{
		{"from the environment", googletest.Key, "", s.URL, ""},
		{"from a file", "", good, s.URL, ""},
		{"none", "", "", s.URL, "no API key: set $GOOGLE_PLACES_API_KEY or places.key_file"},
		{"a file with a byte order mark", "", key(0o600, "\ufeff"+googletest.Key+"\r\n"), s.URL, ""},
		{"a file of UTF-16", "", key(0o600, "\xff\xfek\x00"), s.URL, "key: text is UTF-16: save it as UTF-8"},
		{"an empty file", googletest.Key, key(0o600, "\n"), s.URL, "no API key"},
		{"a file that others read", "", key(0o644, googletest.Key), s.URL, "change its mode to 600"},
		{"a directory", "", t.TempDir(), s.URL, "is not a regular file"},
		{"no file", "", "/nowhere/key", s.URL, "no such file"},
		{"two lines", "", key(0o600, googletest.Key+"\nmore"), s.URL,
			"invalid API key: expected one line"},
		{"nobody there", "", good, nobody, "places provider google: cannot connect to the server"},
		{"a foreign certificate", "", good, foreign.URL,
			"places provider google: invalid TLS certificate of the server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := processtest.New(t, fmt.Sprintf("[places]\nprovider = \"google\"\nbase_url = %q\n"+
				"key_file = %q\ntimeout = \"20s\"\n[[server]]\nname = \"Alford\"\n"+
				"address = \"127.0.0.1:1\"\n", c.base, c.file))
			t.Setenv(keyVariable, c.env)
			out, errOut, code := h.Command("", "places", "35.68,139.76")
			switch {
			case strings.Contains(out+errOut, googletest.Key):
				t.Errorf("the key is shown: %s%s", out, errOut)
			case c.want == "" && (code != 0 || !strings.Contains(out, "train_station")):
				t.Errorf("exit %d\n%s%s", code, out, errOut)
			case c.want != "" && (code != 1 || !strings.Contains(errOut, c.want)):
				t.Errorf("exit %d, %q, want %q", code, errOut, c.want)
			}
		})
	}
}
