// The Map view: where the clients are. It draws when something has changed, and not otherwise.
import { el, setAttribute, setData, setText } from "./dom.js";
import { count, plural } from "./format.js";
import { Camera } from "./camera.js";
import { Dots, tenths } from "./dots.js";
import { Find } from "./find.js";
import { Gestures } from "./gestures.js";
import { Land } from "./land.js";
import { Legend } from "./legend.js";
import { Names } from "./names.js";
import { Painter } from "./paint.js";
import { Selection } from "./selection.js";
import { Tip } from "./tip.js";
import { tenthsOf, step } from "./ages.js";

const flash = 250; // ms that a new update is seen
const settle = 400; // ms after the last movement until the fragment has the view
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class MapView {
  constructor(fragment, connection) {
    this.name = "map";
    this.title = "Map";
    this.fragment = fragment;
    this.connection = connection;
    this.camera = new Camera();
    this.dots = new Dots();
    this.names = new Names((m) => connection.send(m));
    this.draws = 0;
    this.draw = this.draw.bind(this);
    this.build();
    fragment.listen(() => this.changed());
    new MutationObserver(() => this.recolor()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolor());
    new ResizeObserver(() => this.resize()).observe(this.surface);
  }

  build() {
    const land = el("canvas", { class: "land", "aria-hidden": "true" }), dots = el("canvas", { class: "dots", "aria-hidden": "true" });
    this.land = new Land(land, () => this.moved());
    this.painter = new Painter(dots);
    this.legend = new Legend();
    this.surface = el("div", { class: "surface", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-describedby": "map-keys" },
      el("div", { class: "cross" }));
    this.tip = new Tip(this.surface, this.dots, this.camera, this.names);
    this.selection = new Selection(this.fragment, this.camera, {
      want: (m) => this.shown && this.connection.want(m), moved: () => this.moved(), closed: () => this.surface.focus({ preventScroll: true }),
    });
    this.surface.append(this.selection.ring);
    this.counts = el("p", { class: "counts", role: "status" }, "Waiting for the clients");
    this.empty = el("p", { class: "empty", hidden: "" }, "No client has sent its position yet. ", el("code", {}, "bin/herd demo"),
      " starts some that travel, and ", el("b", {}, "Try it"), " sends one.");
    const find = new Find((id) => this.selection.open(id, true));
    const zoom = (by) => () => this.zoom(...this.middle(), by);
    const stage = el("div", { class: "stage" }, land, dots, this.surface, find.root,
      el("div", { class: "zoom" }, button("+", "Zoom in", zoom(1)), button("−", "Zoom out", zoom(-1)),
        button("Fit", "Fit to all clients", () => this.fitAll())),
      this.empty, el("div", { class: "foot" }, this.counts, this.legend.root),
      el("p", { id: "map-keys", hidden: "" }, "Arrow keys move the map, + and - zoom, 0 fits it to all clients, Enter opens the client " +
        "nearest to the center, Escape closes it."));
    this.root = el("div", { class: "map" }, stage, this.selection.inspector.root);
    this.root.view = this; // for tests
    new Gestures(this.surface, {
      pan: (dx, dy) => this.pan(dx, dy), zoom: (left, top, by) => this.zoom(left, top, by), fit: () => this.fitAll(),
      click: (left, top, reach) => this.click(left, top, reach), pick: () => this.click(...this.middle(), Infinity),
      hover: (left, top) => this.tip.hover(left, top), leave: () => this.tip.leave(),
    });
    addEventListener("keydown", (e) => {
      if (e.key === "Escape" && this.shown) this.selection.close();
    });
  }

  show() {
    this.shown = true;
    this.connection.want({ type: "dots", on: true });
    this.selection.want();
    this.resize();
  }

  hide() {
    this.shown = false;
    this.connection.want({ type: "dots", on: false });
    this.connection.want({ type: "client" });
    this.dots.reset(-1);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    clearTimeout(this.saying);
    this.frame = 0;
  }

  hello(m) {
    this.selection.inspector.places.greeted(m);
  }

  message(m) {
    if (m.type === "client") {
      this.selection.message(m);
    } else if (m.type === "name") {
      this.names.answer(m);
    } else if (m.type === "dots") {
      this.dots.reset(m.generation);
      this.names.reset(m.generation);
      this.expected = m.shown;
      this.oneOf = m.one_of;
      this.tell();
      this.request();
    } else if (m.type === "dots-done" && m.generation === this.dots.generation) {
      this.dots.done = true;
      if (this.camera.free) this.fit();
      this.tell();
      this.request();
    }
  }

  binary(data) {
    if (data.getUint8(0) !== 1 || !this.dots.binary(data)) return;
    this.tell();
    this.request();
  }

  // tell says how many clients there are.
  tell() {
    const { done, count: n, generation } = this.dots;
    const text = !done ? `Loading ${count(n)} of ${plural(this.expected, "client", "clients")}` :
      this.oneOf > 1 ? `1 of ${this.oneOf} clients shown: ${count(n)}` : plural(n, "client", "clients");
    setText(this.counts, text);
    setData(this.root, "clients", n);
    setData(this.root, "generation", generation);
    setData(this.root, "done", done);
    setAttribute(this.surface, "aria-label", `Map. ${text}.`);
    this.empty.hidden = !done || n > 0;
  }

  // changed takes the view that the fragment says.
  changed() {
    const at = this.fragment.get("at");
    if (at === "" || at === this.written) return;
    this.written = at;
    this.asked = at; // until the size is known
    if (this.camera.width > 1) this.go();
  }

  go() {
    if (this.camera.go(this.asked)) this.camera.free = false;
    this.asked = "";
    this.moved();
  }

  fitAll() {
    this.camera.free = false;
    this.selection.follow(false);
    this.fit();
  }

  fit() {
    const all = this.dots.bounds();
    if (all) this.camera.fit(all);
    this.moved();
  }

  pan(dx, dy) {
    this.selection.follow(false);
    this.camera.free = false;
    this.camera.pan(dx, dy);
    this.moved();
  }

  zoom(left, top, by) {
    this.camera.free = false;
    this.camera.zoomAt(...(this.selection.following ? this.middle() : [left, top]), by);
    this.moved();
  }

  middle() {
    return [this.camera.width / 2, this.camera.height / 2];
  }

  click(left, top, reach) {
    const slot = this.dots.at(this.camera, left, top, reach);
    if (slot >= 0) this.names.get(slot, (name) => this.selection.open(name.id_b64, false));
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.surface;
    if (width === 0 || height === 0) return;
    this.camera.resize(width, height);
    if (this.asked) this.go();
    else if (this.camera.free && this.dots.done) this.fit();
    else if (this.selection.following) this.selection.center();
    this.moved();
  }

  recolor() {
    this.colors = null;
    this.moved();
  }

  // moved draws the map anew, and lets the fragment have the view that somebody has chosen.
  moved() {
    this.viewChanged = true;
    this.tip.leave();
    this.selection.place();
    this.request();
    clearTimeout(this.saying);
    if (!this.camera.free && this.shown) this.saying = setTimeout(() => this.say(), settle);
  }

  say() {
    if (this.selection.following) return;
    this.written = this.camera.text;
    this.fragment.set("at", this.written, false);
  }

  // request has the map drawn with the next frame.
  request() {
    if (this.shown && !this.frame) this.frame = requestAnimationFrame(this.draw);
  }

  draw() {
    this.frame = 0;
    clearTimeout(this.timer);
    if (this.camera.width <= 1) return;
    const ratio = Math.min(devicePixelRatio, 2), now = performance.now(), since = still.matches ? Infinity : now - flash;
    this.colors ??= this.legend.colors();
    if (this.viewChanged) this.land.draw(this.camera, ratio, this.colors);
    this.viewChanged = false;
    const { drawn, youngest } = this.painter.paint(this.dots, this.camera, ratio, tenths(), this.colors, this.size(ratio), since);
    setData(this.root, "drawn", drawn);
    setData(this.root, "draws", ++this.draws);
    // Drawn again when the flashes end, or when the newest dot has another color.
    const ends = this.dots.last > since ? this.dots.last - since : Infinity;
    const k = step(youngest), older = drawn > 0 ? 100 * (tenthsOf(k + 1) - tenthsOf(k)) : Infinity;
    this.timer = setTimeout(() => this.request(), Math.min(ends, Math.max(1000, older), 60000));
  }

  // size is the pixels across a dot: where there are few in a place, they are larger.
  size(ratio) {
    const density = this.dots.count / this.camera.width / this.camera.height;
    const size = (density < 2e-4 ? 7 : density < 6e-3 ? 5 : 3) + (this.camera.zoom >= 4 ? 2 : 0);
    return 2 * Math.round((size * ratio - 1) / 2) + 1;
  }
}

function button(text, label, f) {
  const b = el("button", { type: "button", "aria-label": label, title: label }, text);
  b.addEventListener("click", f);
  return b;
}
