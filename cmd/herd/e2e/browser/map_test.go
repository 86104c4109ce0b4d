package browser

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
)

// openMap opens the map of a server's console and waits until n clients and land are on it.
func openMap(t *testing.T, h *processtest.Herd, name, fragment string, n int, width, height int64, expected ...string) *page {
	t.Helper()
	p := open(t, url(h, name)+"#view=map"+fragment, width, height, expected...)
	p.has(1, fmt.Sprintf(".map[data-clients='%d'][data-done=true]", n))
	p.until(`Number(document.querySelector("canvas.land").dataset.points) > 0`)
	return p
}

// fragmentOf is an id as the fragment has it.
func fragmentOf(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

// at is where a place is in the window.
func (p *page) at(lat, lng float64) (x, y float64) {
	p.t.Helper()
	xy := value[[]float64](p, fmt.Sprintf(`(() => {
		const map = document.querySelector(".map"), { camera, surface } = map.view, box = surface.getBoundingClientRect();
		const x = %v / 360, y = -Math.log(Math.tan(Math.PI / 4 + %v * Math.PI / 360)) / (2 * Math.PI);
		const { left, top } = camera.screen(Math.round(x * 2 ** 32) | 0, y * 2 ** 32);
		return [box.left + left, box.top + top];
	})()`, lng, lat))
	return xy[0], xy[1]
}

// shows waits until the center of the map is near a place.
func (p *page) shows(lat, lng float64) {
	p.t.Helper()
	p.until(fmt.Sprintf(`(() => {
		const [a, b] = document.querySelector(".map").view.camera.text.split(",").map(Number);
		return Math.abs(a - %v) < 0.1 && Math.abs(b - %v) < 0.1;
	})()`, lat, lng))
}

// says waits until a value in the inspector begins with a text.
func (p *page) says(name, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(".inspector [data-value=%s]").textContent.startsWith(%q)`, name, text))
}

// Clients are dots, which move; a click on one opens the inspector. When nothing happens, nothing is drawn.
func TestMap(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	h.Ask("Alford", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\nIAMAT tui -36.848461+174.763336 1520023934\n")
	h.Ask("Welsh", "IAMAT north +89.9+000.0 1520023934\n")
	p := openMap(t, h, "Ball", "", 3, 1280, 700)
	p.has(1, ".map[data-drawn='3']")
	p.until(`document.querySelector(".counts").textContent === "3 clients"`)
	p.tabTo(".surface")
	p.keys("+" + strings.Repeat(kb.ArrowUp, 20)) // the north is beyond the projection: it is at the edge
	p.until(`Number(document.querySelector(".map").dataset.drawn) < 3`)
	x, y := p.at(85.05, 0)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
	p.until(`document.querySelector(".tip").textContent.startsWith("north")`)
	p.keys("0")
	p.has(1, ".map[data-drawn='3']")
	p.picture("map-three")
	h.Ask("Holiday", "IAMAT new +10+010 1520023934\n")
	p.has(1, ".map[data-clients='4']")

	x, y = p.at(34.068930, -118.445127)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x+1, y+2))
	p.until(`document.querySelector(".tip").textContent.startsWith("kiwi")`)
	p.do(chromedp.MouseClickXY(x+1, y-1))
	p.has(1, ".inspector[data-known=true]")
	p.says("position", "34.06893° N, 118.44513° W")
	p.says("at", "AT Alford +")
	p.says("origin", "Alford")
	p.says("server", "Ball")
	p.says("source", "neighbor ")
	p.until(`location.hash.includes("client=` + fragmentOf("kiwi") + `")`)
	p.has(1, ".ring:not([hidden])")
	p.has(5, ".inspector .flood-tree [data-outcome=client], .inspector .flood-tree [data-outcome=neighbor]")
	p.do(chromedp.Click(chromedp.CSS(".inspector .around button")))
	p.has(1, ".inspector .placesaround[data-state=done] [data-places='0']")

	// It moves, and so do its dot and its ring.
	h.Ask("Hamilton", "IAMAT kiwi +48.85+002.35 1520023935\n")
	p.says("position", "48.85000° N, 2.35000° E")
	p.says("origin", "Hamilton")
	p.until(`document.querySelector(".map").view.dots.at(document.querySelector(".map").view.camera, ...(() => {
		const r = document.querySelector(".ring").getBoundingClientRect(), s = document.querySelector(".surface").getBoundingClientRect();
		return [r.left + r.width / 2 - s.left, r.top + r.height / 2 - s.top];
	})(), 3) >= 0`)
	x, y = p.at(48.85, 2.35)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
	p.until(`document.querySelector(".tip").textContent.startsWith("kiwi")`)
	p.picture("map-inspector")

	p.keys(kb.Escape)
	p.has(1, ".inspector[hidden]")
	p.until(`performance.now() > document.querySelector(".map").view.dots.last + 1000 && !document.querySelector(".map").view.frame`)
	if got := p.async(`(async () => {
		const view = document.querySelector(".map").view, before = view.draws;
		for (let i = 0; i < 20; i++) await new Promise(requestAnimationFrame);
		return String(view.draws - before);
	})()`); got != "0" {
		t.Errorf("%s drawings in 20 frames in which nothing happened", got)
	}
}

// A search finds a client by the beginning of its id, or one that is not there yet. Follow keeps it in the center. The
// fragment has all of that, for another window.
func TestMapFindAndFollow(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	h.Ask("Alford", "IAMAT demo/a +10+010 1520023934\nIAMAT demo/b +20+020 1520023934\nIAMAT other +30+030 1520023934\n")
	p := openMap(t, h, "Welsh", "&theme=dark&time=utc", 3, 1280, 900)
	p.do(chromedp.Focus(chromedp.CSS("#find")))
	p.keys("demo")
	p.has(2, "#found li")
	p.keys(kb.ArrowDown + kb.ArrowDown + kb.Enter)
	p.has(1, ".inspector[data-known=true]")
	p.until(`document.querySelector(".inspector .id").textContent.startsWith("demo/")`)
	p.says("time", "2018-03-02 20:52:14 UTC")

	p.do(chromedp.Focus(chromedp.CSS("#find")))
	p.keys(strings.Repeat(kb.Backspace, len("demo")) + "none" + kb.Enter)
	p.has(1, ".inspector[data-known=false]")
	h.Ask("Alford", "IAMAT none +40+040 1520023934\n")
	p.has(1, ".inspector[data-known=true]")
	p.shows(40, 40)

	p.do(chromedp.Click(chromedp.CSS(".inspector [aria-pressed]")))
	p.has(1, ".inspector [aria-pressed=true]")
	h.Ask("Welsh", "IAMAT none -20-060 1520023935\n")
	p.shows(-20, -60)
	p.until(`location.hash.includes("follow=1")`)
	shared := openMap(t, h, "Alford", "&"+value[string](p, "location.hash.slice(1)"), 4, 1280, 900)
	shared.has(1, "html[data-theme=dark] .inspector[data-known=true] [aria-pressed=true]")
	shared.shows(-20, -60)
	shared.says("time", "2018-03-02 20:52:15 UTC")

	x, y := p.at(-20, -60)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, x, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x+60, y, chromedp.ButtonLeft),
		chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x+200, y+100, chromedp.ButtonLeft),
		chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, x+200, y+100, chromedp.ButtonLeft))
	p.has(1, ".inspector [aria-pressed=false]")
	h.Ask("Welsh", "IAMAT none +50+050 1520023936\n")
	p.says("position", "50.00000° N")
	p.until(`new URLSearchParams(location.hash.slice(1)).get("at") === document.querySelector(".map").view.camera.text`)
	view := value[string](p, `document.querySelector(".map").view.camera.text`)
	again := openMap(t, h, "Alford", "&"+value[string](p, "location.hash.slice(1)"), 4, 1280, 900)
	again.has(1, ".inspector[data-known=true]")
	if got := value[string](again, `document.querySelector(".map").view.camera.text`); got != view {
		t.Errorf("a link to %s shows %s", view, got)
	}
}

// Ids are any bytes, and text to the page.
func TestMapHostileIDs(t *testing.T) {
	t.Parallel()
	ids := []string{"<img/src=x/onerror=console.log(1)>", "\u202eright-to-left", "a\x00b\x1b[31m", "\xff\xfe\x80", strings.Repeat("W", 1024),
		"%3Cscript%3E&client=x#", "日本語🥝"}
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	var lines strings.Builder
	for i, id := range ids {
		fmt.Fprintf(&lines, "IAMAT %s +%d+%03d 1520023934\n", id, 10*i, 10*i)
	}
	h.Ask("Alford", lines.String())
	p := openMap(t, h, "Welsh", "", len(ids), 360, 740)
	for i, id := range ids {
		p.until(fmt.Sprintf(`(location.hash = "view=map&client=%s") && document.querySelector(".map").view.selection.client?.known`, fragmentOf(id)))
		p.says("position", fmt.Sprintf("%d.00000° N, %d.00000° E", 10*i, 10*i))
		if bad := value[bool](p, `/[\p{Cc}\p{Cf}]/u.test(document.querySelector(".inspector").textContent)`); bad {
			t.Errorf("%.40q is shown with control characters", id)
		}
		p.fits()
	}
	p.picture("map-hostile")
	for _, prefix := range []string{"<", "\u202e", "%3C", "日", "W"} {
		p.do(chromedp.Focus(chromedp.CSS("#find")), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const i = document.getElementById("find"); i.value = %q;
			i.dispatchEvent(new Event("input")) })()`, prefix)))
		p.has(1, "#found li")
		p.fits()
		p.keys(kb.Escape)
	}
	if n := p.count("img, script:not([src])"); n != 0 {
		t.Errorf("%d elements from ids", n)
	}
	// What is no id is not asked for: the server would end the connection.
	for _, bad := range []string{"*", "YQ===", "YSBi", fragmentOf(strings.Repeat("x", 1025)), "YR"} {
		p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = "view=map&client=" + encodeURIComponent(%q))`, bad)))
	}
	h.Ask("Alford", "IAMAT last +1+1 1520023934\n")
	p.has(1, fmt.Sprintf("html[data-connection=open] .map[data-clients='%d'][data-generation='1']", len(ids)+1))
}

// All that a mouse can do on the map, keys can.
func TestMapKeyboard(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Ask("Alford", "IAMAT kiwi +10+010 1520023934\nIAMAT tui -30+150 1520023934\n")
	p := openMap(t, h, "Alford", "", 2, 1280, 900)
	p.tabTo(".surface")
	if label := value[string](p, `document.activeElement.getAttribute("aria-label")`); label != "Map. 2 clients." {
		t.Errorf("the map is %q", label)
	}
	camera := func() []float64 {
		return value[[]float64](p, `(({ x, y, zoom }) => [x, y, zoom])(document.querySelector(".map").view.camera)`)
	}
	before := camera()
	p.keys("+++" + kb.ArrowRight + kb.ArrowDown)
	if after := camera(); after[0] == before[0] || after[1] == before[1] || after[2] != before[2]+1.5 {
		t.Errorf("from %v to %v", before, after)
	}
	p.keys("-0")
	if after := camera(); math.Abs(after[2]-before[2]) > 0.01 {
		t.Errorf("from %v to %v", before, after)
	}
	p.keys(kb.ArrowLeft + kb.ArrowLeft + kb.Enter)
	p.has(1, ".inspector[data-known=true][data-client='"+base64.StdEncoding.EncodeToString([]byte("kiwi"))+"']")
	for _, selector := range []string{"#find", ".zoom button[aria-label='Zoom in']", ".inspector .close", ".inspector [aria-pressed]", ".times input"} {
		p.tabTo(selector)
	}
	p.keys(kb.Escape)
	p.has(1, ".inspector[hidden]")
	if !value[bool](p, `document.activeElement.matches(".surface")`) {
		t.Error("the map does not have the focus again")
	}
}

func TestMapPhone(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	h.Ask("Alford", "IAMAT kiwi +10+010 1520023934\nIAMAT tui -30+150 1520023934\n")
	p := openMap(t, h, "Alford", "", 2, 360, 740)
	p.fits()
	p.picture("map-phone")
	x, y := p.at(10, 10)
	p.do(chromedp.MouseClickXY(x, y))
	p.has(1, ".inspector[data-known=true]")
	p.until(`(() => { const a = document.querySelector(".stage").getBoundingClientRect(), b = document.querySelector(".inspector").getBoundingClientRect();
		return a.bottom <= b.top && b.bottom <= document.documentElement.scrollHeight && a.height >= 200 && b.height >= 200 })()`)
	p.fits()
	p.picture("map-phone-inspector")
}

// The map over a restart of its own server, and while another view is shown.
func TestMapOverARestart(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	h.Ask("Alford", "IAMAT kiwi +10+010 1520023934\nIAMAT tui -30+150 1520023934\n")
	p := openMap(t, h, "Alford", "&client="+fragmentOf("kiwi"), 2, 1280, 900, dropped...)
	p.has(1, ".inspector[data-known=true]")
	h.Kill("Alford")
	p.has(1, "html[data-connection=lost] .map[data-clients='2']")
	h.Start("Alford")
	p.has(1, "html[data-connection=open] .map[data-clients='2'][data-done=true]")
	h.Ask("Welsh", "IAMAT kiwi +20+020 1520023935\n")
	p.says("position", "20.00000° N")
	p.do(chromedp.Click(chromedp.CSS("[data-view=herd]")))
	p.has(2, ".box[data-level=good]")
	h.Ask("Welsh", "IAMAT third +20+020 1520023935\n")
	p.do(chromedp.Click(chromedp.CSS("#views [data-view=map]")))
	p.has(1, ".map[data-clients='3'][data-done=true]")
}

// quiet is a herd.toml whose servers do not log lines.
const quiet = "[log]\nlines = false\n"

// sendMany sends an update of each of n clients, time after time.
func sendMany(h *processtest.Herd, server string, n, updates, first int) {
	var lines strings.Builder
	for i := range updates {
		k := first + i
		fmt.Fprintf(&lines, "IAMAT c%d %+f%+f %d\n", k%n, 70*math.Sin(float64(k)), 180*math.Sin(1.7*float64(k)), 1520000000+k)
	}
	h.Ask(server, lines.String())
}

func TestMapOf100000Clients(t *testing.T) {
	t.Parallel()
	const n = 100_000
	h := processtest.StartHerd(t, quiet, "Alford")
	p := open(t, url(h, "Alford")+"#view=map", 1280, 900)
	for first := 0; first < n; first += 10_000 {
		sendMany(h, "Alford", n, 10_000, first)
	}
	p.has(1, fmt.Sprintf(".map[data-clients='%d'][data-done=true]", n))
	openMap(t, h, "Alford", "", n, 1280, 900).picture("map-100000")
}

// The memory of the page does not grow with the number of updates.
func TestMapOf360000Updates(t *testing.T) {
	t.Parallel()
	const n, updates = 2_000, 360_000
	h := processtest.StartHerd(t, quiet, "Alford")
	p := open(t, url(h, "Alford")+"#view=map", 1280, 900)
	heap := func() float64 {
		p.has(1, fmt.Sprintf(".map[data-clients='%d'][data-done=true]", n))
		for range 2 {
			if _, err := chromedp.Call(p.ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
				t.Fatal(err)
			}
		}
		used, err := chromedp.Call(p.ctx, runtime.GetHeapUsage, cdp.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		return used.UsedSize + used.BackingStorageSize
	}
	var after []float64
	for first := 0; first < updates; first += updates / 10 {
		sendMany(h, "Alford", n, updates/10, first)
		after = append(after, heap())
	}
	t.Logf("the heap: %.0f KB", func() (all []float64) {
		for _, one := range after {
			all = append(all, one/1000)
		}
		return all
	}())
	if last := after[len(after)-1]; last > 1.1*after[0] {
		t.Errorf("%.0f bytes after a tenth of the updates, %.0f after all", after[0], last)
	}
}
