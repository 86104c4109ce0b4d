package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"serverherd/cmd/herd/e2e/processtest"
)

// TestPictures makes the pictures of the documents, for make screenshots: of the page, with five servers and the demo.
func TestPictures(t *testing.T) {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		t.Skip("NOT RUN: it makes pictures: make screenshots")
	}
	h := processtest.StartHerd(t, "", all...)
	demo := exec.Command(processtest.Binary, "demo", "--clients", "2000", "--rate", "2000", "--seed", "7", "--config", h.Config())
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Process.Kill() })
	h.UntilEqual(2000)
	shot := func(p *page, name string) {
		t.Helper()
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(png) > 300<<10 {
			t.Errorf("%s has %d bytes", name, len(png))
		}
	}
	// The numbers of a second, after the flash of the first positions.
	const there = ".map[data-done=true][data-clients='2000'][data-draws]:not([data-drawn='0'])"
	moving := `Number(document.querySelector(".map").dataset.draws) > 15 && document.querySelector(".totals").textContent.includes(" lines/s")`
	p := open(t, url(h, "Alford")+"#view=map&theme=dark", 1280, 720)
	p.has(1, there)
	p.until(moving)
	shot(p, "map")
	p = open(t, url(h, "Alford")+"#view=map&theme=light", 360, 740)
	p.has(1, there)
	p.until(moving)
	shot(p, "phone")
	h.Kill("Welsh")
	p = open(t, url(h, "Alford")+"#theme=light", 1280, 900)
	p.has(1, ".box[data-server=Welsh][data-level=bad]")
	p.until(`document.querySelector(".totals").textContent.includes(" lines/s")`)
	shot(p, "herd")
	h.Start("Welsh")
	h.UntilLive()

	_ = demo.Process.Signal(os.Interrupt)
	_ = demo.Wait()
	h.UntilEqual(2000)
	h.Ask("Ball", "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n")
	h.UntilEqual(2001)
	p = open(t, url(h, "Alford")+"#view=replay&theme=dark&client=a2l3aS5jcy51Y2xhLmVkdQ", 1280, 820)
	p.until(`document.querySelector(".flood-name").textContent === "Update of kiwi.cs.ucla.edu"`)
	p.has(1, ".replay[data-playing=false]")
	p.keys(kb.Home)
	for i := range 6 {
		p.has(1, fmt.Sprintf(".replay[data-position='%d']", i))
		p.keys(kb.ArrowRight)
	}
	p.has(1, ".replay[data-position='6']")
	shot(p, "replay")
}
