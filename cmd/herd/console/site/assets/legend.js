// The colors of ages, read from the style sheet, and the legend that shows them.
import { el } from "./dom.js";
import { pixel, place, rgba, scale, steps, table } from "./ages.js";

const names = ["--dot-0", "--dot-1", "--dot-2", "--dot-3", "--flash", "--land", "--coast"];

export class Legend {
  constructor() {
    this.canvas = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    this.root = el("div", { class: "legend" }, el("p", {}, "Age of a position"), this.canvas,
      el("ol", {}, ...scale.map(([seconds, text]) => {
        const item = el("li", {}, text);
        item.style.left = `${place(seconds) * 100}%`;
        return item;
      })));
    this.probe = el("i", { hidden: "" });
    this.root.append(this.probe);
  }

  // colors are those of the theme, for the map; the legend is drawn with them.
  colors() {
    const read = (name) => {
      this.probe.style.color = `var(${name})`;
      return getComputedStyle(this.probe).color;
    };
    const texts = Object.fromEntries(names.map((n) => [n, read(n)]));
    const rgb = (name) => texts[name].match(/[\d.]+/g).slice(0, 3).map(Number);
    const stops = names.slice(0, 4).map(rgb), all = table(stops);
    const weaker = (color, part) => ((color & 0xffffff) | (Math.round((color >>> 24) * part) << 24)) >>> 0;
    const flash = rgba(...rgb("--flash"), 255);
    const image = new ImageData(256, 1), pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < 256; i++) pixels[i] = pixel(stops, i / 255);
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    return {
      table: all, faint: Uint32Array.from({ length: steps }, (_, i) => weaker(all[i], 0.5)), flash, halo: weaker(flash, 0.5),
      land: texts["--land"], coast: texts["--coast"],
    };
  }
}
