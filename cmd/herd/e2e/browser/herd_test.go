package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/herd"
	"serverherd/herd/config"
)

var all = []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"}

// dropped is what the browser says about a connection that has ended, and about a server that is gone.
var dropped = []string{"WebSocket connection to", "net::ERR_CONNECTION_REFUSED"}

func url(h *processtest.Herd, name string) string { return "http://" + h.Server(name).Console + "/" }

// A server that is killed is red, with its links, and comes back.
func TestHerdView(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	h.Ask("Ball", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n")
	p := open(t, url(h, "Alford"), 1280, 900)
	p.has(5, ".box[data-state=ready]")
	p.has(5, ".card[data-level=good]")
	p.has(10, ".arrow[data-level=good]")
	p.has(10, "tr[data-from][data-level=good]")
	p.until(`[...document.querySelectorAll("[data-value=records]")].every((e) => e.textContent === "1")`)
	p.until(`[...document.querySelectorAll("[data-value=lines]")].every((e) => e.textContent === "0")`)
	p.has(1, "html[data-connection=open] #state[data-answered='5'][data-of='5'][data-problems='0']")
	p.picture("light")

	h.Kill("Welsh")
	killed := time.Now()
	p.has(1, ".box[data-server=Welsh][data-level=bad][data-state=down]")
	t.Logf("red after %v", time.Since(killed))
	p.has(1, ".card[data-server=Welsh][data-level=bad]")
	p.has(2, ".arrow[data-from=Welsh][data-level=bad]")
	p.until(`document.querySelectorAll(".arrow[data-to=Welsh]:not([data-level=good])").length === 2`)
	p.until(`document.querySelector(".summary").textContent.startsWith("4 of 5 servers answer.")`)
	p.until(`document.querySelector(".problems").textContent.includes("Welsh: no answer")`)
	p.picture("dead")
	p.tabTo("#theme input")
	p.keys(kb.ArrowLeft)
	p.until(`document.documentElement.dataset.theme === "dark" && location.hash === "#theme=dark"`)
	p.picture("dead-dark")

	h.Start("Welsh")
	p.has(5, ".box[data-state=ready][data-level=good]")
	p.has(10, ".arrow[data-level=good]")
	p.picture("dark")
}

// The page says that its own server is gone, and connects again.
func TestOwnServerRestarts(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	p := open(t, url(h, "Alford"), 800, 700, dropped...)
	p.has(2, ".box[data-level=good]")
	h.Kill("Alford")
	p.has(1, "html[data-connection=lost]")
	p.until(`document.getElementById("news").textContent.startsWith("No connection to Alford since")`)
	p.picture("lost")
	h.Start("Alford")
	p.until(`document.getElementById("news").textContent.startsWith("Alford was restarted. Connected again at")`)
	p.has(1, "html[data-connection=open]")
	p.has(2, ".box[data-level=good]")
	h.Stop("Alford") // in good order
	p.has(1, "html[data-connection=lost]")
	h.Start("Alford")
	p.has(1, "html[data-connection=open]")
	p.has(2, ".box[data-level=good]")
}

// Everything is reached by keyboard, and the fragment can be shared.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Ball", "Welsh")
	p := open(t, url(h, "Ball"), 1280, 900)
	p.has(3, ".box[data-level=good]")
	p.tabTo("#theme input")
	order := []string{".box[data-server=Alford]", ".box[data-server=Ball]", ".box[data-server=Welsh]",
		".card[data-server=Alford] a", ".card[data-server=Ball] a", ".card[data-server=Welsh] a"}
	for _, selector := range order {
		p.keys(kb.Tab)
		if !value[bool](p, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			t.Fatalf("not %s has the focus but %s", selector, value[string](p, "document.activeElement.outerHTML"))
		}
	}
	p.keys(kb.Enter)
	p.until(`location.hash === "#server=Welsh"`)
	p.has(1, ".card[data-server=Welsh][data-selected=true]")
	p.has(1, ".box[data-selected=true]")
	shared := open(t, url(h, "Alford")+"#theme=dark&server=Alford", 1280, 900)
	shared.has(1, ".box[data-server=Alford][data-selected=true]")
	shared.has(2, ".arrow[data-near=false]") // Ball and Welsh
	shared.has(1, "html[data-theme=dark]")
	shared.picture("selected")
	p.keys(kb.Escape)
	p.has(0, "[data-selected=true]")
}

// fits checks that nothing is wider than the window, and that no two boxes overlap.
func (p *page) fits() {
	p.t.Helper()
	if over := value[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
		p.t.Errorf("the page is %d pixels too wide", over)
	}
	if n := value[int](p, `(() => {
		const all = [...document.querySelectorAll(".box rect")].map((e) => e.getBoundingClientRect());
		return all.flatMap((a, i) => all.slice(i + 1).filter((b) =>
			a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length +
			all.filter((a) => a.left < 0 || a.right > innerWidth).length;
	})()`); n > 0 {
		p.t.Errorf("%d boxes overlap or are cut off", n)
	}
}

func TestPhone(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", all...)
	p := open(t, url(h, "Alford"), 360, 740)
	p.has(5, ".box[data-level=good]")
	p.has(10, ".arrow[data-level=good]")
	p.fits()
	p.picture("phone")
}

// Herds of other shapes: one server of them runs.
func TestShapes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 8, 20} {
		for _, consoles := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d servers, consoles %v", n, consoles), func(t *testing.T) {
				servers, l := shape(t, n, consoles)
				h := processtest.New(t, "", servers...)
				h.Start(servers[0].Name, l...)
				p := open(t, "http://"+l[1].Addr().String()+"/", 1280, 900)
				p.has(n, ".box")
				p.has(1, ".box[data-server=S0][data-state=ready], .box[data-server=S0][data-state=starting]")
				if consoles {
					p.has(n-1, ".box[data-state=down]")
				} else {
					p.has(n-1, ".box[data-state=hidden]")
				}
				p.fits()
				p.picture(fmt.Sprintf("shape-%d-%v", n, consoles))
			})
		}
	}
}

// shape returns n servers in a ring with a chord, and the listeners of the first one.
func shape(t *testing.T, n int, consoles bool) (servers []config.Server, listeners []net.Listener) {
	t.Helper()
	host := processtest.Host()
	for range 2 {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	for i := range n {
		s := config.Server{Name: fmt.Sprintf("S%d", i), Address: fmt.Sprintf("%s:%d", host, 1+i)}
		if consoles {
			s.Console = fmt.Sprintf("%s:%d", host, 101+i)
		}
		if i == 0 {
			s.Address = listeners[0].Addr().String()
			if consoles {
				s.Console = listeners[1].Addr().String()
			}
		}
		s.Listen = s.Address
		for k := range n {
			if d := (k - i + n) % n; d == 1 || d == n-1 || n > 4 && (i == 0 && k == n/2 || k == 0 && i == n/2) {
				if k != i {
					s.Neighbors = append(s.Neighbors, fmt.Sprintf("S%d", k))
				}
			}
		}
		servers = append(servers, s)
	}
	return servers, listeners
}

// What answers at another console's address is text to the page.
func TestHostileConsole(t *testing.T) {
	t.Parallel()
	const evil = "<img src=x onerror=console.log(1)>\u202e\x00\x1b[31m"
	h, listeners := processtest.NewHerd(t, "", "Alford", "Welsh")
	s := herd.Status{Server: "Welsh", Engine: evil, Version: evil, Waiting: evil, Digest: evil, Now: time.Now(),
		Links: []herd.LinkStatus{{Neighbor: "Alford", State: evil, Error: evil + strings.Repeat("x", 3000), Agreement: evil}}}
	text, _ := json.Marshal(s)
	welsh := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = bytes.NewReader(text).WriteTo(w)
	})}
	go welsh.Serve(listeners["Welsh"][1])
	t.Cleanup(func() { welsh.Close() })
	listeners["Welsh"][0].Close()
	h.Start("Alford", listeners["Alford"]...)
	p := open(t, url(h, "Alford"), 360, 740)
	p.has(1, ".card[data-server=Welsh][data-state=starting]")
	p.until(`document.querySelector(".card[data-server=Welsh] .detail").textContent.startsWith("<img src=x onerror=console.log(1)>\\u{202e}\\u{0}\\u{1b}[31m")`)
	if n := p.count("img"); n != 0 {
		t.Errorf("%d elements from a text", n)
	}
	p.fits()
	p.picture("hostile")
}

// Without the Content-Security-Policy, a text that becomes HTML would show nothing in the tests above.
func TestNothingBecomesHTML(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	p := open(t, url(h, "Alford"), 800, 600, "TrustedHTML", "inline")
	p.has(1, ".box")
	if got := value[string](p, `(() => { try { document.body.innerHTML = "<p>"; return "set" } catch (e) { return e.name } })()`); got != "TypeError" {
		t.Errorf("innerHTML: %s", got)
	}
}
