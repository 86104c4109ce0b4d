// The drawing of the herd with the AT lines of a flood on their way.
import { Drawing } from "./drawing.js";
import { setAttribute, setData, setText, svg } from "./dom.js";
import { when } from "./captions.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class FloodDrawing extends Drawing {
  constructor() {
    super(null);
    this.pulses = svg("g", { class: "pulses", "aria-hidden": "true" });
  }

  build(servers) {
    super.build(servers);
    this.root.append(this.pulses);
  }

  // placed is called when everything has been positioned anew.
  placed() {
    if (this.state) this.draw();
  }

  // show shows a state of a flood, see floodstate.js.
  show(flood, state) {
    const missing = new Map(flood.missing.map((m) => [m.server, m]));
    this.update({
      servers: this.boxes.map((b) => {
        const i = state.has.get(b.name);
        const done = i !== undefined || state.position === flood.steps.length;
        const { silent, why } = missing.get(b.name) ?? {};
        const text = i === undefined ? (silent ? "no answer" : done ? "no event of it" : "not yet") :
          flood.steps[i].kind === "stored" ? (this.small ? "from client" : "from a client") : flood.steps[i].kind === "read" ? "from the bucket" : flood.steps[i].unknown ? "has it" : `after ${when(flood.steps[i])}`;
        return { name: b.name, state: i === undefined ? "without" : "with", level: silent ? "bad" : i === undefined ? "unknown" : "good", text, detail: why };
      }),
      links: [],
    });
    this.flood = { flood, state };
    this.draw();
  }

  draw() {
    if (!this.flood) return;
    const { state } = this.flood;
    for (const b of this.boxes) {
      setData(b.root, "has", state.has.has(b.name));
      setData(b.root, "current", state.current === b.name);
    }
    for (const a of this.arrows) {
      const { from, to } = a.root.dataset;
      const is = (f) => f.from === from && f.to === to;
      const arrived = state.arrived.filter(is), flying = state.lines.some(is);
      setData(a.root, "carried", flying ? "now" : arrived.some((f) => !f.duplicate) ? "new" : arrived.length > 0 ? "duplicate" : "nothing");
    }
    const moving = state.lines.filter((f) => f.from !== f.to);
    while (this.pulses.children.length > moving.length) this.pulses.lastChild.remove();
    while (this.pulses.children.length < moving.length) this.pulses.append(svg("circle", { r: 7 }));
    moving.forEach((f, i) => this.pulse(this.pulses.children[i], f));
  }

  pulse(e, f) {
    const a = this.arrows.find((one) => one.root.dataset.from === f.from && one.root.dataset.to === f.to);
    setAttribute(e, "class", f.arrival < 0 ? "pulse lost" : f.duplicate ? "pulse duplicate" : "pulse");
    if (!a?.ends) {
      setAttribute(e, "r", 0);
      return;
    }
    const [p, q] = a.ends, far = still.matches ? 0.5 : f.far;
    setAttribute(e, "r", this.small ? 5 : 7);
    setAttribute(e, "cx", (p.x + (q.x - p.x) * far).toFixed(1));
    setAttribute(e, "cy", (p.y + (q.y - p.y) * far).toFixed(1));
  }

  // empty shows the herd without a flood.
  empty() {
    this.flood = null;
    this.pulses.replaceChildren();
    for (const b of this.boxes) {
      setData(b.root, "has", false);
      setText(b.text, "");
    }
  }
}
