// Which part of the world the map shows. The projection is Web Mercator: it keeps shapes, so that a city looks right when
// one has zoomed in. Beyond 85 degrees north or south it ends, and a client there is at its edge.
//
// Positions are integers, 2^32 around the equator: the difference of two of them as int32 is the short way around. So the
// world goes on at the date line. From far away both ends of a wide map show the same.

export const world = 2 ** 32;
export const nearest = 18; // largest zoom; at zoom z the world is 256 * 2^z CSS pixels wide
const closest = 11; // largest zoom that is chosen for somebody
const limit = 85.0511287798; // degrees: the world is a square
const brim = 12; // CSS pixels beyond the north and the south that are shown

export function xOf(lng) {
  return Math.round((lng / 360) * world) | 0;
}

export function yOf(lat) {
  const phi = (Math.max(-limit, Math.min(limit, lat)) * Math.PI) / 180;
  const y = -Math.log(Math.tan(Math.PI / 4 + phi / 2)) / (2 * Math.PI);
  return Math.max(1 - world / 2, Math.min(world / 2 - 1, Math.round(y * world)));
}

export function lngOf(x) {
  return (x / world) * 360;
}

export function latOf(y) {
  return (Math.atan(Math.sinh((-y / world) * 2 * Math.PI)) * 180) / Math.PI;
}

export class Camera {
  constructor() {
    this.x = xOf(11); // the cut is in the Pacific
    this.y = yOf(25);
    this.zoom = 0;
    this.free = true; // nobody has chosen a view: all clients are shown when they are there
    this.width = 1; // CSS pixels
    this.height = 1;
  }

  // scale is CSS pixels per unit.
  get scale() {
    return (256 * 2 ** this.zoom) / world;
  }

  // filling is the zoom at which the world is as wide as the map.
  get filling() {
    return Math.log2(this.width / 256);
  }

  // farthest is the smallest zoom: all of the world is seen, or, on a map that is very wide, twice its width.
  get farthest() {
    return Math.log2(Math.max(this.width / 2, Math.min(this.width, this.height)) / 256);
  }

  resize(width, height) {
    [this.width, this.height] = [width, height];
    this.set(this.x, this.y, this.free ? this.filling : this.zoom);
  }

  // set moves to a center and a zoom, as far as the world goes.
  set(x, y, zoom) {
    this.zoom = Math.max(this.farthest, Math.min(nearest, zoom));
    const room = Math.max(0, world / 2 - (this.height / 2 - brim) / this.scale);
    this.x = Math.round(x) | 0;
    this.y = Math.max(-room, Math.min(room, Math.round(y)));
  }

  // screen is where a position is, in CSS pixels.
  screen(x, y) {
    return { left: ((x - this.x) | 0) * this.scale + this.width / 2, top: (y - this.y) * this.scale + this.height / 2 };
  }

  // pan moves by CSS pixels.
  pan(dx, dy) {
    this.set(this.x + dx / this.scale, this.y + dy / this.scale, this.zoom);
  }

  // zoomAt zooms while the place at a point of the screen stays there.
  zoomAt(left, top, by) {
    const dx = left - this.width / 2, dy = top - this.height / 2;
    const x = this.x + dx / this.scale, y = this.y + dy / this.scale;
    const zoom = Math.max(this.farthest, Math.min(nearest, this.zoom + by));
    const scale = (256 * 2 ** zoom) / world;
    this.set(x - dx / scale, y - dy / scale, zoom);
  }

  // fit shows what is between west, east (that may be beyond the date line), north and south. If nobody has asked for that,
  // and it is all around the world, the world fills the map instead, without what is very far north or south.
  fit({ west, east, north, south }) {
    const pad = Math.min(40, this.width / 10, this.height / 10), around = east - west >= world;
    const wide = (this.width - (around ? 0 : 2 * pad)) / Math.max(1, east - west);
    const high = (this.height - 2 * pad) / Math.max(1, south - north);
    const zoom = Math.min(closest, Math.log2((Math.min(wide, high) * world) / 256));
    this.set((west + east) / 2, (north + south) / 2, around && this.free ? Math.max(this.filling, zoom) : zoom);
  }

  // text is the view for the fragment: latitude, longitude, zoom.
  get text() {
    const digits = Math.max(2, Math.ceil(this.zoom / 3.3));
    return `${latOf(this.y).toFixed(digits)},${lngOf(this.x).toFixed(digits)},${Number(this.zoom.toFixed(2))}`;
  }

  // go shows a view by its text. It is false if that is none.
  go(text) {
    const [lat, lng, zoom] = text.split(",").map(Number);
    if (!(Math.abs(lat) <= 90 && Math.abs(lng) <= 180 && zoom >= 0)) return false;
    this.set(xOf(lng), yOf(lat), zoom);
    return true;
  }
}
