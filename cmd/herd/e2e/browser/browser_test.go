package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
)

// tabs is the context of the browser that all tests share; nil without Chromium.
var tabs context.Context

func TestMain(m *testing.M) { processtest.Main(withBrowser{m}) }

// withBrowser runs tests with a browser.
type withBrowser struct{ processtest.Runner }

func (w withBrowser) Run() int {
	found := false
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		_, err := exec.LookPath(name)
		found = found || err == nil
	}
	if !found {
		return w.Runner.Run()
	}
	ctx, cancel := chromedp.NewContext(context.Background())
	defer cancel()
	if err := chromedp.Do(ctx); err != nil { // starts it
		fmt.Fprintln(os.Stderr, "Chromium does not start:", err)
		return 1
	}
	tabs = ctx
	return w.Runner.Run()
}

// page is a tab.
type page struct {
	t   *testing.T
	ctx context.Context
}

// open opens a URL in a tab with a window of a size. When the test has ended, there must have been no message on the
// page's console, no exception, and no report of the browser, such as one about the Content-Security-Policy, but for
// those with a text in expected.
func open(t *testing.T, url string, width, height int64, expected ...string) *page {
	t.Helper()
	if tabs == nil {
		const how = "NOT RUN: the page in a browser: apt-get install chromium"
		if os.Getenv("CI") != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	ctx, cancel := chromedp.NewContext(tabs)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 3*processtest.Patience)
	t.Cleanup(stop)
	p := &page{t, ctx}
	p.do(chromedp.EmulateViewport(width, height))
	complaints := make(chan string, 1000)
	add := func(text string) {
		for _, one := range expected {
			if strings.Contains(text, one) {
				return
			}
		}
		complaints <- text
	}
	calls, thrown := chromedp.Events(ctx, runtime.ConsoleAPICalled), chromedp.Events(ctx, runtime.ExceptionThrown)
	entries := chromedp.Events(ctx, cdplog.EntryAdded)
	go func() {
		for e, err := range calls {
			if err == nil {
				add(fmt.Sprintf("console: %s %v", e.Type, e.Args))
			}
		}
	}()
	go func() {
		for e, err := range thrown {
			if err == nil {
				add(fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
			}
		}
	}()
	go func() {
		for e, err := range entries {
			if err == nil {
				add(fmt.Sprintf("browser: %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
			}
		}
	}()
	t.Cleanup(func() {
		for len(complaints) > 0 {
			t.Error(<-complaints)
		}
	})
	p.do(chromedp.Navigate(url))
	return p
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// value is the value of a JavaScript expression.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// async is the text that a JavaScript promise resolves to.
func (p *page) async(expression string) string {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until a JavaScript expression is true. A page that is being replaced, as by a form, has no value yet.
func (p *page) until(expression string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the page: %s", value[string](p, "document.body?.innerText ?? ''"))
		}
	}()
	processtest.Eventually(p.t, expression, func() bool {
		is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err != nil && !strings.Contains(err.Error(), "navigated or closed") {
			p.t.Fatalf("%s: %v", expression, err)
		}
		return err == nil && is
	})
}

// count is the number of elements that a selector matches.
func (p *page) count(selector string) int {
	p.t.Helper()
	return value[int](p, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

// has waits until a selector matches n elements.
func (p *page) has(n int, selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelectorAll(%q).length === %d", selector, n))
}

// keys types keys.
func (p *page) keys(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// tabTo types Tab until what a selector matches has the focus.
func (p *page) tabTo(selector string) {
	p.t.Helper()
	for range 50 {
		p.keys(kb.Tab)
		if value[bool](p, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
	}
	p.t.Fatalf("the keyboard does not reach %s", selector)
}

// picture writes what the page shows to $SCREENSHOTS/name.png, for people, if that is set.
func (p *page) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
