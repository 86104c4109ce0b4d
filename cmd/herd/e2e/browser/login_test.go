package browser

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
)

// A browser from beyond logs in by a form, works with the rights of its token, and is back at the form when the token's line
// is gone. Browsers look for names below localhost on this machine; for a console such a name is a proxy's.
func TestLogin(t *testing.T) {
	t.Parallel()
	const token = "herd_browser-token"
	extra := "[herd]\nsecret_file = \"secret\"\n[clients]\ntokens = \"tokens.toml\"\n[console]\nhosts = [\"door.localhost\"]\n"
	h, listeners := processtest.NewHerd(t, extra, "Alford", "Welsh")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(h.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rights := access.Token{Name: "browser", Hash: access.Hash([]byte(token)), Rights: access.Read | access.Write | access.Console | access.Operate}
	other := access.Token{Name: "other", Hash: access.Hash([]byte("another")), Rights: access.Read}
	write("secret", "a secret of this herd\n")
	write("tokens.toml", rights.Line()+other.Line())
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()

	_, port, _ := net.SplitHostPort(proxy(t, h.Server("Alford").Console))
	at := fmt.Sprintf("http://door.localhost:%s/", port)
	p := open(t, at, 1280, 800, refusals, "WebSocket connection to", "Autofocus processing was blocked")
	p.has(1, "form.login")
	p.picture("login")
	p.do(chromedp.EmulateViewport(390, 844))
	p.until(`document.documentElement.scrollWidth <= 390`)
	p.picture("login-phone")
	p.write("#token", "herd_wrong")
	p.keys(kb.Enter)
	p.has(1, "form.login [role=alert]")
	p.picture("login-refused-phone")
	p.do(chromedp.EmulateViewport(1280, 800))
	p.write("#token", token)
	p.keys(kb.Enter)
	p.has(1, "html[data-connection=open]")
	p.until(`document.getElementById("logout").textContent === "Log out browser"`)
	// Both consoles answer: they ask each other with the herd's secret.
	p.has(1, "#state[data-answered='2'][data-of='2']")
	p.picture("logged-in")
	p.do(chromedp.EmulateViewport(390, 844))
	p.until(`document.documentElement.scrollWidth <= 390`)
	p.picture("logged-in-phone")
	p.do(chromedp.EmulateViewport(1280, 800))
	if value[string](p, "location.href") != at || strings.Contains(value[string](p, "document.cookie"), "herd") {
		t.Errorf("at %s, a script sees %s", value[string](p, "location.href"), value[string](p, "document.cookie"))
	}

	// What it sends has its token.
	p.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#view=try"`))
	p.has(2, ".try option")
	p.write("[name=client]", "kiwi")
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='1'] .exchange[data-kind=stored]")

	p.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("logout").click()`))
	p.has(1, "form.login")
	p.write("#token", token)
	p.keys(kb.Enter)
	p.has(1, "html[data-connection=open]")

	write("tokens.toml", other.Line())
	if err := h.Running["Alford"].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.has(1, "form.login")
	p.write("#token", token)
	p.keys(kb.Enter)
	p.has(1, "form.login [role=alert]")

	// On this machine, nobody needs a login, also who has a cookie of a login that has ended.
	local := open(t, url(h, "Alford"), 390, 844, refusals)
	local.has(1, "html[data-connection=open]")
	local.until(`document.documentElement.scrollWidth <= 390 && document.getElementById("logout").hidden`)
	local.do(chromedp.Evaluate[chromedp.Void](`document.cookie = "herd.ucla.Alford=x"; location.reload()`))
	local.has(1, "html[data-connection=open]")
	local.picture("local-phone")
}

// proxy passes connections on to an address. It listens at 127.0.0.1, where browsers look for names below localhost.
func proxy(t *testing.T, to string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(out, in)
					out.Close()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}
