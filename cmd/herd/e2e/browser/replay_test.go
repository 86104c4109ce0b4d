package browser

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
)

// replayOf opens the replay of a client, paused at its end.
func replayOf(t *testing.T, h *processtest.Herd, server, id string, width, height int64) *page {
	t.Helper()
	p := open(t, url(h, server)+"#view=replay&client="+base64.RawURLEncoding.EncodeToString([]byte(id)), width, height)
	p.has(1, ".replay[data-playing=true]")
	p.keys(kb.End)
	p.has(1, ".replay[data-playing=false][data-ended=true]")
	return p
}

// look is what the drawing shows, as text.
const look = `JSON.stringify([document.querySelector(".replay").dataset.position, document.querySelector(".caption").textContent,
	[...document.querySelectorAll(".replay .box")].map((e) => [e.dataset.server, e.dataset.has, e.dataset.current, e.textContent]),
	[...document.querySelectorAll(".replay .arrow")].map((e) => e.dataset.carried),
	[...document.querySelectorAll(".replay .pulse")].map((e) => [e.getAttribute("class"), e.getAttribute("cx"), e.getAttribute("cy")]),
	[...document.querySelectorAll(".steps li")].map((e) => [e.dataset.done, e.firstChild.getAttribute("aria-current")])])`

// An update is seen to spread, without being asked for. Each step forward has something happen, and each step back
// restores what was there.
func TestReplay(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	p := open(t, url(h, "Welsh")+"#view=replay", 1280, 900)
	p.has(1, ".replay[data-flood='']")
	p.has(5, ".replay .box")
	h.Ask("Ball", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n")
	p.has(1, ".replay[data-playing=true][data-live=true]")
	p.until(`document.querySelector(".flood-name").textContent === "Update of kiwi"`)
	p.keys(" ")
	p.has(1, ".replay[data-playing=false]")
	p.keys(kb.Home)
	p.has(1, ".replay[data-position='0']")
	p.has(5, ".replay .box[data-has=false]")
	p.until(`[...document.querySelectorAll(".replay .box .text")].every((e) => e.textContent === "not yet")`)
	n := value[int](p, `Number(document.querySelector(".replay").dataset.length)`)
	if n < 9 || n > 13 { // 5 servers have it; 4, 5 or 6 AT lines, each sent, and those beyond 4 duplicates
		t.Errorf("%d steps", n)
	}
	looks := []string{value[string](p, look)}
	for i := 1; i <= n; i++ {
		p.keys(kb.ArrowRight)
		p.has(1, fmt.Sprintf(".replay[data-position='%d']", i))
		now := value[string](p, look)
		if now == looks[i-1] {
			t.Errorf("step %d changes nothing: %s", i, now)
		}
		looks = append(looks, now)
	}
	p.has(5, ".replay .box[data-has=true]")
	p.until(`[...document.querySelectorAll(".replay .box .text")].every((e) => /^(from a client|after .+)$/.test(e.textContent))`)
	p.has(4, ".replay .arrow[data-carried=new]")
	p.has(0, ".replay .pulse")
	p.until(`/^5 servers in [\d.]+ (µs|ms|s), [456] AT lines, [012] duplicates?\.$/.test(document.querySelector(".caption").textContent)`)
	captions := value[string](p, `[...document.querySelectorAll(".steps li")].map((e) => e.textContent).join("\n")`)
	if !strings.HasPrefix(captions, "0Ball received it from a client\n") || strings.Count(captions, " received it from ") != 5 || !strings.Contains(captions, "Ball sent it to ") {
		t.Error(captions)
	}
	for i := n - 1; i >= 0; i-- {
		p.keys(kb.ArrowLeft)
		p.has(1, fmt.Sprintf(".replay[data-position='%d']", i))
		if now := value[string](p, look); now != looks[i] {
			t.Errorf("back at %d: %s, was %s", i, now, looks[i])
		}
	}
	p.press(fmt.Sprintf(".steps li:nth-child(%d) button", n-1))
	p.has(1, fmt.Sprintf(".replay[data-position='%d']", n-1))
	if now := value[string](p, look); now != looks[n-1] {
		t.Errorf("by click: %s, was %s", now, looks[n-1])
	}

	// A newer one is not shown until it is asked for, and then by itself.
	h.Ask("Alford", "IAMAT pear +1+1 1520023934\n")
	p.has(1, ".replay[data-floods='2']")
	p.until(`document.querySelector(".flood-name").textContent === "Update of kiwi"`)
	p.press("[data-do=live]")
	p.until(`document.querySelector(".flood-name").textContent === "Update of pear"`)
	p.has(1, ".replay[data-playing=true]")
	p.until(`Number(document.querySelector(".replay").dataset.position) > 4 && document.querySelector(".replay .pulse")`)
	p.keys(" ")
	p.picture("replay-light")
	p.press("#theme input[value=dark]")
	p.has(1, "html[data-theme=dark]")
	p.picture("replay-dark")

}

// Everything is done by keyboard, and where nothing may move, there are steps.
func TestReplayByKeyboard(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Ball", "Welsh")
	for i, id := range []string{"kiwi", "pear"} {
		h.Ask("Ball", "IAMAT "+id+" +1+1 1520023934\n")
		h.UntilEqual(i + 1)
	}
	p := open(t, "about:blank", 1280, 900)
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(url(h, "Alford") + "#view=replay"))
	p.has(1, ".replay[data-floods='2'][data-playing=true]") // of the minute before
	p.has(1, ".replay[data-playing=false][data-ended=true]")
	p.tabTo(".timeline")
	p.keys(kb.ArrowLeft)
	p.until(`document.querySelector(".flood-name").textContent === "Update of kiwi"`)
	p.until(`document.querySelector(".timeline").getAttribute("aria-valuetext") === "flood 1 of 2"`)
	p.has(1, ".replay[data-live=false]")
	p.tabTo("[data-do=play]")
	p.has(1, ".replay[data-playing=true]")
	p.keys(" ")
	p.has(1, ".replay[data-playing=false]")
	p.keys(kb.Home)
	p.keys(kb.ArrowRight)
	p.until(`document.querySelector(".unseen").textContent === "Ball received it from a client."`)
	p.tabTo(".steps li:nth-child(2) button")
	p.keys(kb.Enter)
	p.has(1, ".replay[data-position='2']")
	p.has(1, ".pulse") // stands still in the middle of its link
	p.keys(kb.End)
	p.until(`document.querySelector(".unseen").textContent.startsWith("3 servers in ")`)
	p.press(".controls [data-do=live]")
	p.until(`document.querySelector(".flood-name").textContent === "Update of pear"`)
	p.has(1, ".replay[data-live=true]")
}

// A server is down: the others' steps are there, and it is said why its are not.
func TestReplayWithoutOneServer(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	h.Kill("Hamilton")
	h.Ask("Ball", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n")
	processtest.Eventually(t, "four have it", func() bool {
		out, _, _ := h.Command("", "trace", "kiwi")
		return strings.Contains(out, "4 of 5 servers have it")
	})
	p := replayOf(t, h, "Alford", "kiwi", 1280, 900)
	p.has(4, ".replay .box[data-has=true]")
	p.has(1, ".replay .box[data-server=Hamilton][data-has=false][data-level=bad]")
	p.picture("replay-one-down")
	p.until(`document.querySelector(".missing").textContent.startsWith("Hamilton: no answer at")`)
	p.until(`document.querySelector(".caption").textContent.startsWith("4 servers in ")`)
	p.press(".controls [data-do=live]")
	p.until(`location.hash === "#view=replay"`)
	p.until(`document.querySelector(".flood-counts").textContent.endsWith("4 of 5 servers answer")`)
}

// Ids of any bytes are text, on a phone too.
func TestReplayOfHostileIDs(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	ids := []string{"<img/src=x/onerror=console.log(1)>", "\u202eltr\x00\x1b[31m\xff", strings.Repeat("W", 1024)}
	for i, id := range ids {
		h.Ask("Ball", "IAMAT "+id+" +1+1 1520023934\n")
		h.UntilEqual(i + 1)
	}
	for i, id := range ids {
		p := replayOf(t, h, "Alford", id, 360, 740)
		p.has(5, ".replay .box[data-has=true]")
		want := []string{"Update of <img/src=x/onerror=console.log(1)>", `Update of \\u202eltr\\x00\\x1b[31m\\xff`, "Update of WWWW"}[i]
		p.until(fmt.Sprintf(`document.querySelector(".flood-name").textContent.startsWith("%s")`, want))
		if p.count("img") != 0 {
			t.Error("an element from a text")
		}
		p.fits()
		if tall := value[int](p, `document.querySelector(".flood-name").offsetHeight`); tall > 100 {
			t.Errorf("the name is %d pixels tall", tall)
		}
		p.picture(fmt.Sprintf("replay-phone-%d", i))
	}
}

// press clicks an element.
func (p *page) press(selector string) {
	p.t.Helper()
	value[bool](p, fmt.Sprintf("(document.querySelector(%q).click(), true)", selector))
}
