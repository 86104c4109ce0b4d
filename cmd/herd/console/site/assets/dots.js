// Where the clients are: arrays by slot, from the binary messages of /ws. The server sends an age once; the page counts on
// by itself.
import { lngOf, world, xOf, yOf } from "./camera.js";

export const none = -(world / 2); // y of a slot that has not come; yOf is never that
const oldest = 0xf0000000; // 0.1 s; what is older counts as this old, 12 years
const size = 16; // bytes a dot
const most = 1 << 22; // slots; a server sends far fewer

// tenths is the page's clock in 0.1 s.
export function tenths() {
  return Math.floor(performance.now() / 100);
}

export class Dots {
  constructor() {
    this.reset(-1);
  }

  // reset forgets all dots. Messages of another generation are not for this page any more.
  reset(generation) {
    this.generation = generation;
    this.count = 0; // slots
    this.done = false; // all that were there at first have come
    this.x = new Int32Array(0);
    this.y = new Int32Array(0);
    this.born = new Uint32Array(0); // tenths() at age 0, modulo 2^32
    this.lit = new Uint32Array(0); // performance.now() when an update came, once done
    this.last = 0; // the greatest of them
  }

  grow(slot) {
    const n = Math.max(1024, 2 ** Math.ceil(Math.log2(slot + 1)));
    for (const name of ["x", "y", "born", "lit"]) {
      const larger = new this[name].constructor(n);
      if (name === "y") larger.fill(none);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  // binary takes a message of dots. It is false if that is of another generation.
  binary(data) {
    if (data.getUint32(4, true) !== this.generation) return false;
    const now = tenths(), lit = this.done ? performance.now() : 0;
    for (let at = 8; at + size <= data.byteLength; at += size) {
      const slot = data.getUint32(at, true);
      if (slot >= most) continue;
      if (slot >= this.x.length) this.grow(slot);
      if (slot >= this.count) this.count = slot + 1;
      this.x[slot] = xOf(data.getInt32(at + 8, true) / 1e7);
      this.y[slot] = yOf(data.getInt32(at + 4, true) / 1e7);
      this.born[slot] = now - Math.min(oldest, data.getUint32(at + 12, true));
      this.lit[slot] = lit;
    }
    this.last = lit;
    return true;
  }

  // age is a dot's age in seconds, and Infinity if it is older than can be said.
  age(slot) {
    const a = (tenths() - this.born[slot]) >>> 0;
    return a >= oldest ? Infinity : a / 10;
  }

  // at returns the slot whose dot is nearest to a point of the screen, if one is within a distance in CSS pixels, else -1.
  at(camera, left, top, within) {
    const { x, y, count } = this, scale = camera.scale;
    const atX = Math.round(camera.x + (left - camera.width / 2) / scale) | 0, dy = top - camera.height / 2;
    let best = within * within, slot = -1;
    for (let i = 0; i < count; i++) {
      const a = ((x[i] - atX) | 0) * scale, b = (y[i] - camera.y) * scale - dy, d = a * a + b * b;
      if (d <= best && y[i] !== none) [best, slot] = [d, i];
    }
    return slot;
  }

  // bounds is the part of the world in which all dots are, or null without one.
  bounds() {
    const bins = new Uint8Array(360);
    let north = world, south = -world, seen = false;
    for (let i = 0; i < this.count; i++) {
      if (this.y[i] === none) continue;
      seen = true;
      bins[Math.floor(lngOf(this.x[i]) + 360) % 360] = 1;
      north = Math.min(north, this.y[i]);
      south = Math.max(south, this.y[i]);
    }
    if (!seen) return null;
    // The longest part of the circle without a dot is left out.
    let gap = 0, end = 0;
    for (let i = 0, run = 0; i < 720; i++) {
      run = bins[i % 360] ? 0 : run + 1;
      if (run > gap && run <= 360) [gap, end] = [run, i + 1];
    }
    if (gap < 60) return { west: xOf(11) - world / 2, east: xOf(11) + world / 2, north, south };
    const begin = xOf(end % 360), wide = ((360 - gap) / 360) * world;
    let west = wide, east = 0;
    for (let i = 0; i < this.count; i++) {
      if (this.y[i] === none) continue;
      const d = (this.x[i] - begin) >>> 0;
      if (d > wide) continue; // rounding at the edge
      west = Math.min(west, d);
      east = Math.max(east, d);
    }
    return { west: begin + west, east: begin + Math.max(west, east), north, south };
  }
}
