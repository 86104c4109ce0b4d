package browser

import (
	"fmt"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// moving gives a map view 100,000 dots and then, ten times a second as a server may, another place for MOVED of them, while
// the map is dragged with each frame. It resolves to what that took.
const moving = `(async () => {
	const view = document.querySelector(".map").view, n = 100000, rounds = 8, generation = 4000000000;
	const places = (round, n) => {
		const data = new DataView(new ArrayBuffer(8 + 16 * n));
		data.setUint8(0, 1);
		data.setUint32(4, generation, true);
		for (let i = 0; i < n; i++) {
			const a = 2 * Math.PI * ((i * 0.618034) % 1) + round / 50, b = 140 * ((i * 0.7548777) % 1) - 60;
			data.setUint32(8 + 16 * i, i, true);
			data.setInt32(12 + 16 * i, 1e7 * (b + Math.sin(a)), true);
			data.setInt32(16 + 16 * i, 1e7 * (180 * Math.sin(a)), true);
			data.setUint32(20 + 16 * i, i % 100000, true);
		}
		return data;
	};
	const frames = Array.from({ length: rounds }, (_, round) => places(round, MOVED));
	view.message({ type: "dots", generation, clients: n, shown: n, one_of: 1 });
	view.binary(places(0, n));
	view.message({ type: "dots-done", generation, clients: n });
	const next = () => new Promise(requestAnimationFrame);
	await next();
	view.zoom(300, 300, ZOOM);
	for (let i = 0; i < 30; i++) await next();
	const before = view.draws, begun = performance.now();
	let binary = 0, draw = 0, message = 0;
	const original = view.draw;
	view.draw = () => { const t = performance.now(); original(); draw += performance.now() - t; };
	while (performance.now() - begun < 3000) {
		const t = performance.now();
		if (t - begun >= 100 * message) view.binary(frames[message++ % rounds]);
		binary += performance.now() - t;
		view.pan(2, 0);
		await next();
	}
	view.draw = original;
	const seconds = (performance.now() - begun) / 1000, draws = view.draws - before;
	const size = document.querySelector("canvas.dots");
	return draws + " frames in " + seconds.toFixed(1) + " s: " + (draws / seconds).toFixed(1) + " a second, of " + size.width + " x " +
		size.height + " pixels; " + (draw / draws).toFixed(1) + " ms to draw one, " + (binary / message).toFixed(1) + " ms to take " + MOVED + " positions";
})()`

// Frames prints how many frames a second there are while 100,000 dots and the map move. It asserts that they are drawn,
// not how fast.
func TestFrames(t *testing.T) {
	if !testing.Verbose() {
		t.Skip("prints figures: go test -run Frames -v")
	}
	h := processtest.StartHerd(t, "", "Alford")
	for _, with := range []struct{ zoom, moved int }{{0, 1000}, {0, 100_000}, {3, 1000}, {3, 100_000}} {
		p := open(t, url(h, "Alford")+"#view=map", 1280, 800)
		p.has(1, "html[data-connection=open]")
		p.until(`Number(document.querySelector("canvas.land").dataset.points) > 0`)
		t.Logf("zoomed in by %d, %d updates/s: %s", with.zoom, 10*with.moved,
			p.async(fmt.Sprintf("((ZOOM, MOVED) => %s)(%d, %d)", moving, with.zoom, with.moved)))
		p.has(1, ".map[data-clients='100000']")
	}
}

// FirstPaint prints when a page of the console shows something, and when it has the state of all servers, since its
// loading began. It asserts that it does.
func TestFirstPaint(t *testing.T) {
	if !testing.Verbose() {
		t.Skip("prints figures: go test -run FirstPaint -v")
	}
	h := processtest.StartHerd(t, "", all...)
	for _, view := range []string{"herd", "map", "herd", "map", "herd", "map"} {
		p := open(t, url(h, "Alford")+"#view="+view, 1280, 900)
		p.has(1, "#state[data-answered='5']")
		p.until(`performance.getEntriesByName("first-contentful-paint").length === 1`)
		t.Logf("%s: first paint after %.0f ms; %d files, %d bytes", view,
			value[float64](p, `performance.getEntriesByName("first-contentful-paint")[0].startTime`),
			value[int](p, `performance.getEntriesByType("resource").length + 1`),
			value[int](p, `[...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")].reduce((n, e) => n + e.transferSize, 0)`))
	}
}
