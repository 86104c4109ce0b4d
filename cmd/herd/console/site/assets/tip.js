// Says which client is under the mouse.
import { el } from "./dom.js";
import { cut, printable } from "./format.js";
import { words } from "./ages.js";

const reach = 6; // CSS pixels

export class Tip {
  constructor(surface, dots, camera, names) {
    this.surface = surface;
    this.dots = dots;
    this.camera = camera;
    this.names = names;
    this.root = el("div", { class: "tip", hidden: "" });
    this.slot = -1;
    surface.append(this.root);
  }

  hover(left, top) {
    const slot = this.dots.at(this.camera, left, top, reach);
    if (slot === this.slot) return;
    this.leave();
    this.slot = slot;
    this.surface.classList.toggle("over", slot >= 0);
    if (slot >= 0) this.names.get(slot, (name) => this.show(slot, name));
  }

  show(slot, name) {
    if (slot !== this.slot) return;
    const at = this.camera.screen(this.dots.x[slot], this.dots.y[slot]);
    this.root.replaceChildren(el("bdi", {}, cut(printable(name.id), 60)), ` ${words(this.dots.age(slot))} old`);
    this.root.hidden = false;
    this.root.style.left = `${Math.max(4, Math.min(at.left + 10, this.camera.width - this.root.offsetWidth - 4))}px`;
    this.root.style.top = `${at.top > 50 ? at.top - 36 : at.top + 14}px`;
  }

  leave() {
    this.slot = -1;
    this.root.hidden = true;
    this.surface.classList.remove("over");
  }
}
