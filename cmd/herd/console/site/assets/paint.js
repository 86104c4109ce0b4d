// Draws dots by writing pixels into one image. Of dots at one place the newest is seen.
import { step } from "./ages.js";
import { none } from "./dots.js";

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.brushes = new Map();
  }

  resize(width, height) {
    if (this.image && this.canvas.width === width && this.canvas.height === height) return;
    [this.canvas.width, this.canvas.height] = [width, height];
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.brushes.clear();
  }

  // brush is the pixels of a dot of an odd size, relative to its center: the inner ones, and those of its border, which
  // are fainter.
  brush(size) {
    if (!this.brushes.has(size)) {
      const r = (size - 1) / 2, inner = [], border = [];
      for (let y = -r; y <= r; y++) {
        for (let x = -r; x <= r; x++) {
          const far = Math.hypot(x, y);
          if (size <= 3 || far <= r - 0.2) inner.push(y * this.canvas.width + x);
          else if (far < r + 0.6) border.push(y * this.canvas.width + x);
        }
      }
      this.brushes.set(size, { r, inner: Int32Array.from(inner), border: Int32Array.from(border) });
    }
    return this.brushes.get(size);
  }

  // paint draws all dots. Those that were updated after the time since have a color of their own, and are larger unless
  // they are many. It returns how many are in the picture, and the least age among them.
  paint(dots, camera, ratio, now, colors, size, since) {
    this.resize(Math.round(camera.width * ratio), Math.round(camera.height * ratio));
    const { pixels } = this, width = this.canvas.width, height = this.canvas.height;
    const { x, y, born, lit, count } = dots, scale = camera.scale * ratio, cx = camera.x, cy = camera.y;
    const small = this.brush(size), large = size > 3 ? this.brush(size + 2) : small, { table, faint, flash, halo } = colors;
    const around = 256 * 2 ** camera.zoom * ratio; // pixels
    const left = width / 2, top = height / 2, margin = large.r, right = width - margin, bottom = height - margin;
    let drawn = 0, youngest = 0xffffffff;
    pixels.fill(0);
    for (let i = 0; i < count; i++) {
      const px = (((x[i] - cx) | 0) * scale + left) | 0, py = ((y[i] - cy) * scale + top) | 0;
      if (px < margin || px >= right || py < margin || py >= bottom || y[i] === none) continue;
      const age = (now - born[i]) >>> 0, k = step(age), fresh = lit[i] > since;
      const brush = fresh ? large : small, color = fresh ? flash : table[k], pale = fresh ? halo : faint[k];
      if (age < youngest) youngest = age;
      drawn++;
      put(pixels, py * width + px, brush, color, pale);
      if (around >= width) continue;
      const again = Math.round(px < left ? px + around : px - around); // the world's other end is seen too
      if (again >= margin && again < right) put(pixels, py * width + again, brush, color, pale);
    }
    this.context.putImageData(this.image, 0, 0);
    return { drawn, youngest };
  }
}

function put(pixels, at, brush, color, pale) {
  const { inner, border } = brush, n = inner.length, m = border.length;
  for (let j = 0; j < n; j++) {
    const p = at + inner[j];
    if (pixels[p] < color) pixels[p] = color;
  }
  for (let j = 0; j < m; j++) {
    const p = at + border[j];
    if (pixels[p] < pale) pixels[p] = pale;
  }
}
