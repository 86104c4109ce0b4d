// The floods of the last minute as ticks, of which one is chosen: with the mouse, or with the arrow keys.
import { el, setAttribute, setData } from "./dom.js";

export const minute = 60000;

export class Timeline {
  constructor(choose) {
    this.choose = choose;
    this.floods = [];
    this.ticks = new Map(); // by hash
    this.current = "";
    this.track = el("div", { class: "ticks", "aria-hidden": "true" });
    this.root = el("div", { class: "timeline", role: "slider", tabindex: "0", "aria-label": "Floods of the last minute", "aria-valuemin": "1" }, this.track,
      el("span", { class: "old", "aria-hidden": "true" }, "1 minute ago"), el("span", { class: "new", "aria-hidden": "true" }, "now"));
    this.root.addEventListener("pointerdown", (e) => this.near(e));
    this.root.addEventListener("pointermove", (e) => e.buttons === 1 && this.near(e));
    this.root.addEventListener("keydown", (e) => this.key(e));
  }

  // show shows floods, the oldest first, at their time on the clock of performance.now().
  show(floods, now) {
    this.floods = floods;
    const known = new Set(floods.map((f) => f.hash));
    for (const [hash, tick] of this.ticks) {
      if (known.has(hash)) continue;
      tick.remove();
      this.ticks.delete(hash);
    }
    for (const f of floods) {
      let tick = this.ticks.get(f.hash);
      if (!tick) {
        tick = el("i", { "data-hash": f.hash });
        this.ticks.set(f.hash, tick);
        this.track.append(tick);
      }
      tick.style.left = `${Math.max(0, Math.min(100, 100 - ((now - f.at) / minute) * 100)).toFixed(2)}%`;
    }
    this.mark(this.current);
  }

  mark(hash) {
    this.ticks.get(this.current)?.removeAttribute("data-current");
    this.current = hash;
    const tick = this.ticks.get(hash), i = this.floods.findIndex((f) => f.hash === hash);
    if (tick) setData(tick, "current", true);
    setAttribute(this.root, "aria-valuemax", Math.max(1, this.floods.length));
    setAttribute(this.root, "aria-valuenow", i + 1 || 1);
    setAttribute(this.root, "aria-valuetext", i < 0 ? `${this.floods.length} floods, none chosen` : `flood ${i + 1} of ${this.floods.length}`);
    setData(this.root, "floods", this.floods.length);
  }

  // by goes to an earlier or a later flood.
  by(n) {
    const i = this.floods.findIndex((f) => f.hash === this.current);
    const next = this.floods[Math.max(0, Math.min(this.floods.length - 1, i < 0 ? this.floods.length - 1 : i + n))];
    if (next && next.hash !== this.current) this.choose(next.hash);
  }

  near(e) {
    const box = this.track.getBoundingClientRect();
    let best = null, distance = Infinity;
    for (const [hash, tick] of this.ticks) {
      const d = Math.abs(box.left + (parseFloat(tick.style.left) / 100) * box.width - e.clientX);
      if (d < distance) [best, distance] = [hash, d];
    }
    if (best && best !== this.current) this.choose(best);
  }

  key(e) {
    const n = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity }[e.key];
    if (!n) return;
    e.preventDefault();
    e.stopPropagation();
    this.by(n);
  }
}
