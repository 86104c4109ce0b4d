package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd/access"
)

// Over TLS the page works as without: its WebSocket is over TLS, it shows which links are, and the cookie of a login is
// for TLS only. The browser does not know the development CA.
func TestPageOverTLS(t *testing.T) {
	t.Parallel()
	const token = "herd_browser-token"
	extra := "[tls]\nlinks = \"required\"\n[clients]\ntokens = \"tokens.toml\"\nopen = true\n[console]\ntls = \"required\"\n"
	h, listeners := processtest.NewHerd(t, extra, "Alford", "Welsh")
	one := access.Token{Name: "browser", Hash: access.Hash([]byte(token)), Rights: access.Console}
	if err := os.WriteFile(filepath.Join(h.Dir, "tokens.toml"), []byte(one.Line()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := h.Command("", "cert"); code != 0 {
		t.Fatal(errOut)
	}
	h.CA = filepath.Join(h.Dir, "tls", "ca.pem")
	for _, s := range h.Servers {
		h.Start(s.Name, listeners[s.Name]...)
	}
	h.UntilLive()
	_, at := h.Console("Alford")
	p := open(t, "about:blank", 1280, 900)
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
		return err
	}), chromedp.Navigate(at+"/"))
	p.has(1, "html[data-connection=open] #state[data-answered='2'][data-of='2'][data-problems='0']")
	p.until(`location.protocol === "https:"`)
	p.until(`[...document.querySelectorAll("tr[data-from] .word")].map((e) => e.textContent).join("; ") === "live, TLS; live, TLS"`)
	const login = `fetch("/login", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"token":"` + token + `"}'}).then((r) => String(r.status))`
	if status := p.async(login); status != "200" {
		t.Errorf("login: %s", status)
	}
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		all, err := cdp.Call(ctx, target, network.GetCookies, network.GetCookiesParams{})
		if err == nil && (len(all.Cookies) != 1 || !all.Cookies[0].Secure || !all.Cookies[0].HTTPOnly) {
			t.Errorf("%d cookies: %+v", len(all.Cookies), all.Cookies)
		}
		return err
	}))
}
