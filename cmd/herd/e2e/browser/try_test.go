package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
)

// write replaces the text of an input by typing.
func (p *page) write(selector, text string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("{const e = document.querySelector(%q); e.focus(); e.select()}", selector)))
	p.keys(text)
}

// A line that the form sends reaches one server, and all others; the reply is explained.
func TestTry(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	p := open(t, url(h, "Alford")+"#view=try&theme=light", 1280, 900, refusals)
	p.has(5, ".try option")
	p.until(`document.querySelector("[name=line]").value.startsWith("IAMAT me +34.068930-118.445127 1")`)
	p.picture("try-empty")
	p.write("[name=client]", "kiwi.cs.ucla.edu")
	p.write("[name=lat]", "1.01")
	p.write("[name=lng]", "-2e-1") // is sent as it is typed
	p.until(`document.querySelector("[name=line]").value.startsWith("IAMAT kiwi.cs.ucla.edu +1.01-2e-1 1")`)
	p.write("[name=lng]", "2")
	p.do(chromedp.Evaluate[chromedp.Void](`{const s = document.querySelector("[name=server]"); s.value = "Holiday"; s.dispatchEvent(new Event("change", {bubbles: true}))}`))
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='1'] .exchange[data-kind=stored]")
	sent := value[string](p, `document.querySelector(".exchange .sent code").textContent`)
	at := value[string](p, `document.querySelector(".exchange .got code").textContent`)
	if !strings.HasPrefix(sent, "IAMAT kiwi.cs.ucla.edu +1.01+2 1") || !strings.HasPrefix(at, "AT Holiday ") {
		t.Errorf("sent %q, reply %q", sent, at)
	}
	p.has(6, ".atfields > div")
	p.until(`document.querySelector(".atfields").textContent.includes("latitude 1.01° north, longitude 2° east")`)
	h.UntilEqual(1)
	for _, name := range all {
		if got := h.Ask(name, "WHATSAT kiwi.cs.ucla.edu 10 0\n"); !strings.HasPrefix(got, at+"\n") {
			t.Errorf("%s: %q, want %q", name, got, at)
		}
	}
	link := value[string](p, `document.querySelector(".links-out a").getAttribute("href")`)
	if link != "#view=map&client=a2l3aS5jcy51Y2xhLmVkdQ&theme=light" {
		t.Errorf("the link is %s", link)
	}

	// Another server knows it, and what is near.
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[value=WHATSAT]").click()`))
	p.do(chromedp.Evaluate[chromedp.Void](`{const s = document.querySelector("[name=server]"); s.value = "Ball"; s.dispatchEvent(new Event("change", {bubbles: true}))}`))
	p.until(`document.querySelector("[name=line]").value === "WHATSAT kiwi.cs.ucla.edu 10 5"`)
	p.until(`document.querySelector(".tryform").textContent.includes("Places come from the file of places.")`)
	p.write("[name=bound]", "3")
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='2'] .exchange[data-kind=found] .places[data-places='1']")
	if again := value[string](p, `document.querySelector(".exchange .got code").textContent`); again != at {
		t.Errorf("Ball's AT line is %q, Holiday's %q", again, at)
	}
	p.until(`[...document.querySelectorAll(".exchange[data-kind=found] .far")].map((e) => e.textContent).join() === "1.1 km"`)
	p.picture("try")

	// A server says what is wrong with a line, and the console what it does not send.
	p.write("[name=line]", "IAMAT kiwi.cs.ucla.edu 91+0 5")
	p.has(1, ".tryform[data-edited=true]")
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='3'] .exchange[data-kind=refused]")
	p.until(`document.querySelector(".exchange .word").textContent.startsWith("Ball refuses it: ")`)
	p.picture("try-refused")
	h.Kill("Ball")
	p.write("[name=line]", "WHATSAT kiwi.cs.ucla.edu 10 5")
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='4'] .exchange[data-kind=none]")
	p.until(`document.querySelector("[data-error]").textContent.includes("connection refused")`)
}

// refusals are what the browser says about an answer with an error, which the page shows.
const refusals = "Failed to load resource: the server responded with a status of"

// The form by keyboard, on a phone.
func TestTryByKeyboard(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	p := open(t, url(h, "Alford")+"#view=try&theme=dark", 360, 740)
	p.has(2, ".try option")
	p.tabTo("[name=server]")
	p.keys("W")
	p.tabTo("[name=client]")
	p.keys("phone")
	p.tabTo(".primary")
	p.keys(kb.Enter)
	p.has(1, ".try[data-replies='1'] .exchange[data-kind=stored]")
	p.until(`document.querySelector(".exchange .got code").textContent.startsWith("AT Welsh ")`)
	p.until(`document.documentElement.scrollWidth <= 360`)
	p.picture("try-phone")
	p.tabTo(".links-out a")
	p.keys(kb.Enter)
	p.has(1, "html[data-view=map]")

	// What is around it is asked for by a click that names who is asked, and not before.
	p.has(1, ".inspector[data-known=true] .placesaround:not([hidden])")
	p.until(`document.querySelector(".around button").textContent === "Ask the file of places"`)
	if n := h.Status("Alford").Counters.WHATSAT; n != 0 {
		t.Errorf("%d WHATSATs before the click", n)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".around button").click()`))
	p.has(1, ".placesaround[data-state=done] .places[data-places='0']")
	if n := h.Status("Alford").Counters.WHATSAT; n != 1 {
		t.Errorf("%d WHATSATs after the click", n)
	}
}
