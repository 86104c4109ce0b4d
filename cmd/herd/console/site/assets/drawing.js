// The drawing: a box for each server, two arrows for each pair of neighbors. What it shows is also in the cards and the
// table of links, so the arrows are hidden from screen readers. A box is a link that selects its server.
import { setAttribute, setData, setText, svg } from "./dom.js";
import { border, layout } from "./layout.js";
import { count, cut, printable, rate } from "./format.js";

const narrow = 520; // px: boxes are small below, and with many servers
const many = 9;
const apart = 5; // px from the line between two servers to each of the arrows
const tip = 7;
const crowded = 24; // arrows: with more of them, only those of the selected server have labels
const character = 6.6; // px, about
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 2 }); // 1.2K

export class Drawing {
  constructor(select) {
    this.onSelect = select;
    this.root = svg("svg", { class: "graph", role: "group", "aria-label": "Servers and links" });
    this.boxes = [];
    this.arrows = [];
    this.selected = "";
    this.width = 0;
    new ResizeObserver((entries) => this.place(Math.round(entries[0].contentRect.width))).observe(this.root);
  }

  build(servers) {
    this.state = null;
    this.boxes = servers.map((s) => this.box(s.name));
    this.arrows = servers.flatMap((s, i) => s.neighbors.map((to) =>
      arrow(i, servers.findIndex((o) => o.name === to), s.name, to))).filter((a) => a.to >= 0);
    this.root.replaceChildren(...this.arrows.map((a) => a.root), ...this.boxes.map((b) => b.root));
    this.place(this.width);
  }

  box(name) {
    const shape = svg("rect", { rx: 7 });
    const mark = svg("circle", { class: "mark", r: 4.5 });
    const title = svg("text", { class: "name" });
    const text = svg("text", { class: "text" });
    const full = svg("title");
    const root = svg("a", { class: "box", "data-server": name, "data-level": "unknown", "data-state": "unknown" },
      full, shape, mark, title, text);
    root.addEventListener("click", (e) => {
      e.preventDefault();
      this.onSelect?.(name);
    });
    return { name, root, shape, mark, title, text, full, words: "", lines: undefined };
  }

  // place positions everything for a width.
  place(width) {
    this.width = width;
    if (width === 0 || this.boxes.length === 0) return;
    this.small = width < narrow || this.boxes.length >= many;
    const [w, h] = this.small ? [Math.min(104, width / 3.2), 42] : [150, 56];
    const { at, height } = layout(this.boxes.length, this.arrows.map((a) => [a.from, a.to]), width, w, h);
    setAttribute(this.root, "viewBox", `0 0 ${width} ${Math.ceil(height)}`);
    setAttribute(this.root, "height", Math.ceil(height));
    this.boxes.forEach((b, i) => this.placeBox(b, at[i], w, h));
    this.arrows.forEach((a) => placeArrow(a, at[a.from], at[a.to], w, h));
    this.write();
    this.placed();
  }

  // placed is for drawings with more in them.
  placed() {}

  placeBox(b, at, w, h) {
    setAttribute(b.root, "transform", `translate(${(at.x - w / 2).toFixed(1)} ${(at.y - h / 2).toFixed(1)})`);
    setAttribute(b.shape, "width", w);
    setAttribute(b.shape, "height", h);
    setAttribute(b.mark, "cx", 13);
    setAttribute(b.mark, "cy", h / 2 - 9);
    for (const [e, x, y] of [[b.title, 25, h / 2 - 4.5], [b.text, this.small ? 9 : 25, h / 2 + 13]]) {
      setAttribute(e, "x", x);
      setAttribute(e, "y", y);
    }
    b.fits = Math.floor((w - (this.small ? 14 : 32)) / character);
    b.fitsName = Math.floor((w - 32) / (1.1 * character));
  }

  update(m) {
    this.state = m;
    m.servers.forEach((s, i) => {
      const b = this.boxes[i];
      if (!b) return;
      setData(b.root, "state", s.state);
      setData(b.root, "level", s.level);
      const words = s.state === "starting" ? "starting" : printable(s.text);
      b.words = s.state === "starting" ? "starting" : printable(s.short ?? s.text);
      setText(b.full, [printable(s.name), words, printable(s.detail ?? "")].filter(Boolean).join(": "));
      setAttribute(b.root, "aria-label", `${printable(s.name)}: ${words}`);
    });
    for (const l of m.links) {
      const a = this.arrows.find((one) => one.root.dataset.from === l.from && one.root.dataset.to === l.to);
      if (!a) continue;
      setData(a.root, "level", l.level);
      setText(a.full, `${printable(l.from)} to ${printable(l.to)}: ${printable(l.text)}`);
      setAttribute(a.line, "stroke-width", (1.5 + Math.min(3, Math.log10(1 + (l.rate ?? 0)))).toFixed(2));
      const state = printable(l.text).split(":")[0].split(",")[0];
      a.words = l.level === "good" ? `${rate(l.rate)}/s` : l.behind > 0 ? `${count(l.behind)} behind` : state;
      if (l.rate === undefined && l.level === "good") a.words = "";
      a.fewer = l.level === "good" && a.words ? `${compact.format(l.rate)}/s` : a.words;
    }
    this.write();
  }

  // write sets the texts whose length depends on the room for them.
  write() {
    for (const b of this.boxes) {
      setText(b.title, cut(printable(b.name), b.fitsName));
      setText(b.text, cut(b.words, b.fits));
    }
    for (const a of this.arrows) {
      const of = a.root.dataset;
      const near = of.from === this.selected || of.to === this.selected;
      const shown = near || (this.selected === "" && this.arrows.length <= crowded);
      const words = a.words.length > a.room ? a.fewer : a.words;
      const text = shown && a.room ? cut(words, a.room) : "";
      setText(a.label, text);
      if (text) placeLabel(a, text.length, this.width);
    }
  }

  select(name, fragment) {
    this.selected = name;
    setData(this.root, "selected", name);
    for (const b of this.boxes) {
      setData(b.root, "selected", b.name === name);
      setAttribute(b.root, "href", fragment.link("server", b.name === name ? "" : b.name));
    }
    for (const a of this.arrows) {
      const of = a.root.dataset;
      setData(a.root, "near", name === "" || of.from === name || of.to === name);
    }
    this.write();
  }
}

function arrow(from, to, fromName, toName) {
  const line = svg("path", { class: "line" });
  const head = svg("path", { class: "head" });
  const label = svg("text", { class: "label", "text-anchor": "middle" });
  const full = svg("title");
  const root = svg("g", {
    class: "arrow", "aria-hidden": "true", "data-from": fromName, "data-to": toName, "data-level": "unknown", "data-near": "true",
  }, full, line, head, label);
  return { root, line, head, label, full, from, to, words: "", fewer: "", room: 0, middle: null };
}

// placeArrow draws an arrow on the left of the line between two servers, seen from the first one.
function placeArrow(a, from, to, w, h) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const ux = (to.x - from.x) / length, uy = (to.y - from.y) / length;
  const side = { x: uy * apart, y: -ux * apart };
  const p = border(from, to, w + 8, h + 8), q = border(to, from, w + 8, h + 8);
  const moved = ({ x, y }, along) => `${(x + side.x + ux * along).toFixed(1)} ${(y + side.y + uy * along).toFixed(1)}`;
  setAttribute(a.line, "d", `M${moved(p, 0)}L${moved(q, -tip)}`);
  a.ends = [p, q].map(({ x, y }) => ({ x: x + side.x, y: y + side.y }));
  const across = ({ x, y }, k) =>
    `${(x + side.x - ux * tip - uy * k).toFixed(1)} ${(y + side.y - uy * tip + ux * k).toFixed(1)}`;
  setAttribute(a.head, "d", `M${moved(q, 0)}L${across(q, 4)}L${across(q, -4)}Z`);
  a.middle = { x: (p.x + q.x) / 2 + side.x, y: (p.y + q.y) / 2 + side.y, nx: uy, ny: -ux };
  const visible = Math.hypot(q.x - p.x, q.y - p.y);
  a.room = visible < 34 ? 0 : Math.max(4, Math.round(Math.abs(ux) * (visible / character) + Math.abs(uy) * 16));
}

// placeLabel puts a label of some characters beside the middle of its arrow, so far away that it does not touch it,
// and inside the drawing.
function placeLabel(a, characters, width) {
  const { x, y, nx, ny } = a.middle;
  const away = 4 + (Math.abs(nx) * characters * 6.4) / 2 + Math.abs(ny) * 6;
  const half = (characters * 6.4) / 2;
  setAttribute(a.label, "x", Math.max(half, Math.min(width - half, x + nx * away)).toFixed(1));
  setAttribute(a.label, "y", (y + ny * away + 4).toFixed(1));
}
