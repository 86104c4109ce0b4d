// Draws land: coarse from far away, and finer when one has zoomed in. The format of the files is described in
// coastline/main.go.
import { world, yOf } from "./camera.js";

const perDegree = 200;
const pole = -90 * perDegree;
const fine = 3.4; // zoom from which the finer coastline is drawn
const step = 0.7; // CSS pixels: nearer points are left out

export class Land {
  // changed is called when a coastline has been loaded.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.changed = changed;
    this.files = {};
  }

  // rings are those of a coastline, or undefined until it has been loaded.
  rings(name) {
    this.files[name] ??= { rings: undefined, request: this.load(name) };
    return this.files[name].rings;
  }

  async load(name) {
    try {
      const answer = await fetch(`/page/land-${name}.bin`);
      if (!answer.ok) throw new Error(answer.status);
      this.files[name].rings = read(new Uint8Array(await answer.arrayBuffer()));
      this.changed();
    } catch {
      setTimeout(() => delete this.files[name], 2000); // the next drawing asks again
    }
  }

  draw(camera, ratio, colors) {
    const { canvas, context: c } = this;
    const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, width, height);
    const far = this.rings("110m");
    const rings = (camera.zoom >= fine && this.rings("50m")) || far;
    canvas.dataset.points = rings ? rings.points : 0;
    if (!rings) return;
    const scale = camera.scale * ratio, left = width / 2 - camera.x * scale, top = height / 2 - camera.y * scale;
    const fill = new Path2D(), coast = new Path2D();
    for (const turn of [-2, -1, 0, 1, 2]) {
      const from = left + turn * world * scale;
      for (const r of rings) {
        if (r.east * scale + from < -2 || r.west * scale + from > width + 2) continue;
        if (r.south * scale + top < -2 || r.north * scale + top > height + 2) continue;
        trace(r, scale, from, top, step * ratio, fill, coast);
      }
    }
    c.fillStyle = colors.land;
    c.fill(fill, "evenodd");
    c.strokeStyle = colors.coast;
    c.lineWidth = Math.max(1, Math.round(ratio));
    c.lineJoin = "round";
    c.stroke(coast);
  }
}

// trace adds a ring to two paths: the area, and the coast, which is what of its border is not an edge of the map.
function trace(r, scale, left, top, step, fill, coast) {
  const { x, y, edge } = r;
  let lastX = Infinity, lastY = 0, drawn = false;
  const n = x.length;
  for (let k = 0; k <= n; k++) {
    const i = k === n ? 0 : k;
    let px = x[i] * scale + left;
    const py = y[i] * scale + top;
    if (edge[i]) px = Math.round(px); // the two ends of Antarctica meet at a whole pixel
    else if (k < n && Math.abs(px - lastX) + Math.abs(py - lastY) < step) continue;
    if (k === 0) {
      fill.moveTo(px, py);
      coast.moveTo(px, py);
      drawn = true;
    } else {
      fill.lineTo(px, py);
      if (edge[i] && edge[i === 0 ? n - 1 : i - 1]) coast.moveTo(px, py);
      else coast.lineTo(px, py);
    }
    [lastX, lastY] = [px, py];
  }
  if (drawn) fill.closePath();
}

// read unpacks a file.
function read(bytes) {
  let at = 0;
  const number = () => {
    let n = 0, shift = 0, b;
    do {
      b = bytes[at++];
      n |= (b & 127) << shift;
      shift += 7;
    } while (b > 127);
    return n >>> 0;
  };
  const difference = () => {
    const n = number();
    return (n >>> 1) ^ -(n & 1);
  };
  const rings = [];
  let lng = 0, lat = 0, points = 0;
  for (let count = number(); count > 0; count--) {
    const n = number();
    points += n;
    const r = { x: new Float64Array(n), y: new Float64Array(n), edge: new Uint8Array(n) };
    for (let i = 0; i < n; i++) {
      lng += difference();
      lat += difference();
      r.x[i] = (lng / perDegree / 360) * world;
      r.y[i] = yOf(lat / perDegree);
      if (lat === pole) r.edge[i - 1] = r.edge[i] = r.edge[0] = 1;
    }
    r.west = r.x.reduce((a, b) => Math.min(a, b));
    r.east = r.x.reduce((a, b) => Math.max(a, b));
    r.north = r.y.reduce((a, b) => Math.min(a, b));
    r.south = r.y.reduce((a, b) => Math.max(a, b));
    rings.push(r);
  }
  rings.points = points;
  return rings;
}
