package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/view"
)

// Files of [tls] that are missing or wrong prevent the start of a server, and of up, before it starts one. The error, of
// one line, names the server, the key and the file. herd config does not read them.
func TestCertificatesWrongAtTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(dir string) error // of what herd cert has made
		want  string                 // DIR is the directory with the files
	}{
		"no CA":          {func(dir string) error { return os.Remove(filepath.Join(dir, "ca.pem")) }, "tls.ca: open DIR/ca.pem: no such file or directory; herd cert makes the files of [tls]"},
		"no certificate": {func(dir string) error { return os.Remove(filepath.Join(dir, "Alford.pem")) }, "tls.cert: open DIR/Alford.pem: no such file or directory; herd cert makes the files of [tls]"},
		"no key":         {func(dir string) error { return os.Remove(filepath.Join(dir, "Alford-key.pem")) }, "tls.key: open DIR/Alford-key.pem: no such file or directory; herd cert makes the files of [tls]"},
		"nothing":        {os.RemoveAll, "tls.ca: open DIR/ca.pem: no such file or directory; herd cert makes the files of [tls]"},
		"an empty CA":    {func(dir string) error { return os.Truncate(filepath.Join(dir, "ca.pem"), 0) }, "tls.ca: DIR/ca.pem has no certificate in PEM"},
		"an open key":    {func(dir string) error { return os.Chmod(filepath.Join(dir, "Alford-key.pem"), 0o644) }, "tls.key: DIR/Alford-key.pem is readable by others: change its mode to 600, or to 640 if root owns it"},
		"a directory": {func(dir string) error {
			_ = os.Remove(filepath.Join(dir, "Alford.pem"))
			return os.Mkdir(filepath.Join(dir, "Alford.pem"), 0o700)
		}, "tls.cert: read DIR/Alford.pem: is a directory"},
		"the key of another server": {func(dir string) error {
			return os.Rename(filepath.Join(dir, "Hamilton-key.pem"), filepath.Join(dir, "Alford-key.pem"))
		}, "tls.cert and tls.key: DIR/Alford.pem and DIR/Alford-key.pem: tls: private key does not match public key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, listeners := processtest.NewHerd(t, tlsModes("required"), "Alford", "Hamilton")
			for _, all := range listeners {
				for _, l := range all {
					l.Close()
				}
			}
			if _, errOut, code := h.Command("", "cert"); code != 0 {
				t.Fatal(errOut)
			}
			dir := filepath.Join(h.Dir, "tls")
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			want := "herd: Alford: " + strings.ReplaceAll(c.want, "DIR", dir) + "\n"
			for _, line := range []string{"serve Alford", "up"} {
				out, errOut, code := h.Command("", strings.Fields(line)...)
				if code != exitFailed || out != "" || !strings.HasSuffix(errOut, want) || line == "up" && errOut != want {
					t.Errorf("herd %s: exit code %d, %q, %q, want %q", line, code, out, errOut, want)
				}
			}
			if _, errOut, code := h.Command("", "config"); code != 0 {
				t.Errorf("herd config: exit code %d, %s", code, errOut)
			}
		})
	}
}

// The page sends lines over TLS where clients must, to each server. Its requests come over TLS, too.
func TestSendOverTLS(t *testing.T) {
	t.Parallel()
	h := startOverTLS(t, "required", "")
	client, url := h.Console("Alford")
	for _, s := range h.Servers {
		body := `{"server":"` + s.Name + `","line":"IAMAT kiwi +1+1 5"}`
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/send", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", url)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		var sent console.SendAnswer
		if json.Unmarshal(text, &sent) != nil || err != nil || !sent.OK || !strings.HasPrefix(sent.Reply, "AT "+s.Name+" ") {
			t.Errorf("%s: %s %s, %v", s.Name, answer.Status, text, err)
		}
	}
}

// Over TLS, load and demo count what the servers count, and no handshake fails.
func TestLoadOverTLSCounts(t *testing.T) {
	t.Parallel()
	h := startOverTLS(t, "required", "")
	iamats := func() (n uint64) {
		for _, s := range h.Servers {
			st := h.Status(s.Name)
			if st == nil || st.Counters.TLSFailed+st.Counters.TLSMissing > 0 {
				t.Fatalf("%+v", st)
			}
			n += st.Counters.IAMAT
		}
		return n
	}
	out, errOut, code := h.Command("", "load", "-c", "4", "-d", "500ms", "--warmup", "100ms", "--idle", "3", "--slow-readers", "0",
		"--churn", "20", "--servers", "all", "--json", "-")
	var r load.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s", code, err, errOut)
	}
	sum := iamats()
	if r.All.Sent == 0 || r.All.Sent != sum || r.All.Replies != sum || r.All.Errors != 0 || r.Idle != 3 {
		t.Errorf("%d IAMATs, %+v", sum, r.All)
	}
	out, errOut, code = h.Command("", "demo", "-d", "500ms", "--clients", "50", "--rate", "200", "--yes")
	said := regexp.MustCompile(`(?m)^([0-9,]+) updates in .*, 0 errors$`).FindStringSubmatch(out)
	if code != 0 || said == nil || said[1] != view.Count(iamats()-sum) {
		t.Errorf("exit code %d, %d IAMATs, %s%s", code, iamats()-sum, out, errOut)
	}
}
