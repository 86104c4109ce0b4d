// The Map view: where the clients are. It draws when something has changed, and not otherwise.
import { el, setAttribute, setData, setText } from "./dom.js";
import { count, cut, plural, printable } from "./format.js";
import { Camera, xOf, yOf } from "./camera.js";
import { Dots, tenths } from "./dots.js";
import { Find } from "./find.js";
import { Gestures } from "./gestures.js";
import { Inspector } from "./inspector.js";
import { Land } from "./land.js";
import { Legend } from "./legend.js";
import { Names } from "./names.js";
import { Painter } from "./paint.js";
import { Times } from "./times.js";
import { fromFragment, toFragment } from "./ids.js";
import { tenthsOf, step, words } from "./ages.js";

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
    this.selected = ""; // base64
    this.client = null; // the last message about it
    this.following = false;
    this.free = true; // nobody has chosen a view: all clients are shown when they are there
    this.build();
    this.draw = this.draw.bind(this);
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
    this.ring = el("div", { class: "ring", hidden: "" });
    this.tip = el("div", { class: "tip", hidden: "" });
    this.empty = el("p", { class: "empty", hidden: "" }, "No client has told where it is. ", el("code", {}, "bin/herd demo"),
      " makes some that travel.");
    this.surface = el("div", { class: "surface", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-describedby": "map-keys" },
      el("div", { class: "cross" }), this.ring, this.tip);
    this.counts = el("p", { class: "counts", role: "status" }, "Waiting for the clients");
    this.find = new Find((id) => this.open(id, true));
    const button = (text, label, f) => {
      const b = el("button", { type: "button", "aria-label": label, title: label }, text);
      b.addEventListener("click", f);
      return b;
    };
    const zoom = (by) => () => this.zoom(this.camera.width / 2, this.camera.height / 2, by);
    this.stage = el("div", { class: "stage" }, land, dots, this.surface, this.find.root,
      el("div", { class: "zoom" }, button("+", "Zoom in", zoom(1)), button("−", "Zoom out", zoom(-1)), button("Fit", "Show all clients", () => this.fit())),
      this.empty, el("div", { class: "foot" }, this.counts, this.legend.root),
      el("p", { id: "map-keys", hidden: "" }, "Arrow keys move the map, + and - zoom, 0 shows all clients, Enter opens the client nearest to the center, Escape closes it."));
    this.inspector = new Inspector(new Times(this.fragment), {
      close: () => this.close(), follow: (yes) => this.follow(yes), center: () => this.center(),
    });
    this.root = el("div", { class: "map" }, this.stage, this.inspector.root);
    this.root.view = this; // for tests
    new Gestures(this.surface, {
      pan: (dx, dy) => this.pan(dx, dy), zoom: (left, top, by) => this.zoom(left, top, by), fit: () => this.fit(),
      click: (left, top, reach) => this.click(left, top, reach), hover: (left, top) => this.hover(left, top), leave: () => this.leave(),
      pick: () => this.click(this.camera.width / 2, this.camera.height / 2, Infinity),
    });
    this.root.addEventListener("keydown", (e) => {
      if (e.key === "Escape") this.close();
    });
  }

  show() {
    this.shown = true;
    this.connection.want({ type: "dots", on: true });
    this.want();
    this.resize();
  }

  hide() {
    this.shown = false;
    this.connection.want({ type: "dots", on: false });
    this.connection.want({ type: "client" });
    this.dots.reset(-1);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = 0;
  }

  // want asks for the selected client.
  want() {
    if (this.shown) this.connection.want(this.selected ? { type: "client", id_b64: this.selected } : { type: "client" });
  }

  message(m) {
    if (m.type === "dots") {
      this.dots.reset(m.generation);
      this.names.reset(m.generation);
      this.clients = m.clients;
      this.expected = m.shown;
      this.oneOf = m.one_of;
      this.tell();
    } else if (m.type === "dots-done" && m.generation === this.dots.generation) {
      this.dots.done = true;
      this.clients = m.clients;
      if (this.free) this.fit();
      this.tell();
      this.request();
    } else if (m.type === "name") {
      this.names.answer(m);
    } else if (m.type === "client" && m.id_b64 === this.selected) {
      this.located(m);
    }
  }

  binary(data) {
    if (data.getUint8(0) !== 1 || !this.dots.binary(data)) return;
    this.tell();
    this.request();
  }

  // tell says how many clients there are.
  tell() {
    const { dots } = this, n = dots.count;
    const text = !dots.done ? `Loading ${count(n)} of ${plural(this.expected, "client", "clients")}` :
      this.oneOf > 1 ? `${count(n)} clients: 1 of ${this.oneOf} clients shown` : plural(n, "client", "clients");
    setText(this.counts, text);
    setData(this.root, "clients", n);
    setData(this.root, "generation", dots.generation);
    setData(this.root, "done", dots.done);
    setAttribute(this.surface, "aria-label", `Map. ${text}.`);
    this.empty.hidden = !dots.done || n > 0;
  }

  // located takes what the server knows about the selected client.
  located(m) {
    const first = !this.client?.known;
    this.client = m;
    this.inspector.show(m);
    if (!m.known) return;
    if (this.following) this.center();
    else if (first && this.reveal) this.visit();
    this.placeRing();
  }

  // visit shows the selected client, if it is not on the map that one sees.
  visit() {
    const at = this.camera.screen(xOf(this.client.lng), yOf(this.client.lat));
    const inside = at.left > 30 && at.top > 30 && at.left < this.camera.width - 30 && at.top < this.camera.height - 30;
    if (!inside || this.free) this.camera.set(xOf(this.client.lng), yOf(this.client.lat), Math.max(this.camera.zoom, 5));
    this.free = false;
    this.reveal = false;
    this.moved();
  }

  center() {
    if (!this.client?.known) return;
    this.free = false;
    this.camera.set(xOf(this.client.lng), yOf(this.client.lat), Math.max(this.camera.zoom, 4));
    this.moved();
  }

  follow(yes) {
    if (yes === this.following) return;
    this.fragment.set("follow", yes ? "1" : "", false);
  }

  // changed takes what the fragment says.
  changed() {
    const id = fromFragment(this.fragment.get("client")), at = this.fragment.get("at");
    if (id !== this.selected) {
      this.selected = id;
      this.client = null;
      this.ring.hidden = true;
      this.reveal = at === "" || at === this.written;
      this.inspector.open(id);
      this.want();
    }
    const following = id !== "" && this.fragment.get("follow") === "1";
    if (following !== this.following) {
      this.following = following;
      if (following) this.center();
    }
    this.inspector.following(following);
    if (at !== "" && at !== this.written) {
      this.written = at;
      this.wanted = at; // until the size is known
      if (this.camera.width > 1) this.go();
    }
  }

  go() {
    if (this.camera.go(this.wanted)) this.free = false;
    this.wanted = "";
    this.moved(true);
  }

  open(id, reveal) {
    this.fragment.set("client", toFragment(id), true);
    this.reveal = reveal;
    if (reveal && this.client?.known) this.visit();
  }

  close() {
    this.follow(false);
    this.fragment.set("client", "", true);
    this.surface.focus({ preventScroll: true });
  }

  fit() {
    this.follow(false);
    const all = this.dots.bounds();
    if (all) this.camera.fit(all);
    this.moved();
  }

  pan(dx, dy) {
    this.follow(false);
    this.free = false;
    this.camera.pan(dx, dy);
    this.moved();
  }

  zoom(left, top, by) {
    this.free = false;
    if (this.following) [left, top] = [this.camera.width / 2, this.camera.height / 2];
    this.camera.zoomAt(left, top, by);
    this.moved();
  }

  click(left, top, reach) {
    const slot = this.dots.at(this.camera, left, top, reach);
    if (slot >= 0) this.names.get(slot, (name) => this.open(name.id_b64, false));
  }

  hover(left, top) {
    const slot = this.dots.at(this.camera, left, top, 6);
    this.surface.classList.toggle("over", slot >= 0);
    if (slot < 0) this.leave();
    else if (slot !== this.under) {
      this.tip.hidden = true;
      this.under = slot;
      this.names.get(slot, (name) => this.label(slot, name));
    }
  }

  label(slot, name) {
    if (slot !== this.under) return;
    const { x, y } = this.dots, at = this.camera.screen(x[slot], y[slot]);
    this.tip.replaceChildren(el("bdi", {}, cut(printable(name.id), 60)), ` ${words(this.dots.age(slot))} old`);
    this.tip.hidden = false;
    this.tip.style.left = `${Math.max(4, Math.min(at.left + 10, this.camera.width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${at.top > 50 ? at.top - 36 : at.top + 14}px`;
  }

  leave() {
    this.under = -1;
    this.tip.hidden = true;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.surface;
    if (width === 0 || height === 0) return;
    this.camera.resize(width, height);
    if (this.wanted) this.go();
    else if (this.free && this.dots.done) this.fit();
    else if (this.following) this.center();
    this.moved();
  }

  recolor() {
    this.colors = null;
    this.moved(true);
  }

  // moved draws the map anew, for another part of the world.
  moved(given = false) {
    this.viewChanged = true;
    this.leave();
    this.placeRing();
    this.request();
    clearTimeout(this.saying);
    if (!given && !this.free && this.shown) this.saying = setTimeout(() => this.say(), settle);
  }

  // say writes the view into the fragment.
  say() {
    if (!this.shown || this.following) return;
    this.written = this.camera.text;
    this.fragment.set("at", this.written, false);
  }

  placeRing() {
    if (!this.client?.known) return;
    const at = this.camera.screen(xOf(this.client.lng), yOf(this.client.lat));
    this.ring.hidden = false;
    this.ring.style.transform = `translate(${at.left.toFixed(1)}px, ${at.top.toFixed(1)}px)`;
  }

  // request has the map drawn with the next frame.
  request() {
    if (this.shown && !this.frame) this.frame = requestAnimationFrame(this.draw);
  }

  draw() {
    this.frame = 0;
    clearTimeout(this.timer);
    if (this.camera.width <= 1) return;
    const ratio = Math.min(devicePixelRatio, 2), now = performance.now();
    this.colors ??= this.legend.colors();
    if (this.viewChanged) this.land.draw(this.camera, ratio, this.colors);
    this.viewChanged = false;
    const since = still.matches ? Infinity : now - flash;
    const { drawn, youngest } = this.painter.paint(this.dots, this.camera, ratio, tenths(), this.colors, this.size(ratio), since);
    this.draws = (this.draws ?? 0) + 1;
    setData(this.root, "drawn", drawn);
    setData(this.root, "draws", this.draws);
    // Drawn again when the flashes end, or when the newest dot has another color.
    const ends = this.dots.last > since ? this.dots.last - since : Infinity;
    const k = step(youngest), older = drawn > 0 ? 100 * (tenthsOf(k + 1) - tenthsOf(k)) : Infinity;
    const pause = Math.min(ends, Math.max(1000, older), 60000);
    this.timer = setTimeout(() => this.request(), pause);
  }

  // size is the pixels across a dot: fewer dots are larger.
  size(ratio) {
    const n = this.dots.count;
    const size = (n <= 100 ? 7 : n <= 5000 ? 5 : 3) + (this.camera.zoom >= 4 ? 2 : 0);
    return 2 * Math.round((size * ratio - 1) / 2) + 1;
  }
}
