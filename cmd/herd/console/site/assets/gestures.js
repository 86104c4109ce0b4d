// What is done to the map with mouse, fingers and keys.

const slop = 5; // CSS pixels that a click may move
const keyPan = 90; // CSS pixels

export class Gestures {
  // on has pan(dx, dy), zoom(left, top, by), fit(), click(left, top, reach), hover(left, top), leave() and pick(): open what
  // is at the center.
  constructor(surface, on) {
    this.surface = surface;
    this.on = on;
    this.fingers = new Map(); // pointers that are down
    this.moved = false;
    surface.addEventListener("pointerdown", (e) => this.down(e));
    surface.addEventListener("pointermove", (e) => this.move(e));
    for (const type of ["pointerup", "pointercancel"]) surface.addEventListener(type, (e) => this.up(e));
    surface.addEventListener("pointerleave", () => on.leave());
    surface.addEventListener("dblclick", (e) => on.zoom(...this.point(e), e.shiftKey ? -1 : 1));
    surface.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    surface.addEventListener("keydown", (e) => this.key(e));
  }

  point(e) {
    const box = this.surface.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  down(e) {
    if (e.button !== 0) return;
    if (this.fingers.size === 0) this.moved = false;
    this.fingers.set(e.pointerId, this.point(e));
    this.first = this.point(e);
    this.surface.setPointerCapture(e.pointerId);
    this.on.leave();
  }

  move(e) {
    const to = this.point(e), from = this.fingers.get(e.pointerId);
    if (!from) {
      if (e.pointerType !== "touch") this.on.hover(...to);
      return;
    }
    if (this.fingers.size === 1) {
      if (!this.moved && Math.hypot(to[0] - this.first[0], to[1] - this.first[1]) < slop) return;
      this.moved = true;
      this.on.pan(from[0] - to[0], from[1] - to[1]);
    } else if (this.fingers.size === 2) {
      this.moved = true;
      const other = [...this.fingers].find(([id]) => id !== e.pointerId)[1];
      const middle = (p) => [(p[0] + other[0]) / 2, (p[1] + other[1]) / 2];
      const apart = (p) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
      const [a, b] = [middle(from), middle(to)];
      this.on.pan(a[0] - b[0], a[1] - b[1]);
      this.on.zoom(...b, Math.log2(apart(to) / apart(from)));
    }
    this.fingers.set(e.pointerId, to);
  }

  up(e) {
    const known = this.fingers.delete(e.pointerId);
    if (known && !this.moved && e.type === "pointerup") this.on.click(...this.point(e), e.pointerType === "mouse" ? 6 : 16);
  }

  wheel(e) {
    e.preventDefault();
    const pixels = e.deltaY * (e.deltaMode === 1 ? 20 : 1);
    // A pinch on a touchpad comes as a wheel with the control key.
    this.on.zoom(...this.point(e), Math.max(-1, Math.min(1, -pixels * (e.ctrlKey ? 0.012 : 0.003))));
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const middle = [this.surface.clientWidth / 2, this.surface.clientHeight / 2];
    const keys = {
      ArrowLeft: () => this.on.pan(-keyPan, 0), ArrowRight: () => this.on.pan(keyPan, 0),
      ArrowUp: () => this.on.pan(0, -keyPan), ArrowDown: () => this.on.pan(0, keyPan),
      "+": () => this.on.zoom(...middle, 0.5), "=": () => this.on.zoom(...middle, 0.5), "-": () => this.on.zoom(...middle, -0.5),
      "0": () => this.on.fit(), Home: () => this.on.fit(), Enter: () => this.on.pick(),
    };
    if (!keys[e.key]) return;
    e.preventDefault();
    keys[e.key]();
  }
}
