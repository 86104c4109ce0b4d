// Where servers are in the drawing: on an ellipse, in an order in which neighbors are near each other, so that the ring
// of herd.toml is a ring. No line between two of them crosses a third one. Pure functions.

const gap = 46; // least space between two boxes beside each other
const smallGap = 18; // the same, of many
const margin = 6;
const tallest = 20000;

// layout returns the positions of n boxes of size w x h in a drawing of a width, and the drawing's height. Links are
// pairs of indexes.
export function layout(n, links, width, w, h) {
  const order = arrange(n, links);
  const rx = (width - w) / 2 - margin;
  if (n === 1) return { height: 3 * h, at: [{ x: width / 2, y: 1.5 * h }] };
  let ry = n === 2 ? 0 : Math.max(h, rx * (n < 5 ? 0.42 : 0.6));
  let at = around(n, rx, ry);
  const step = w + (n > 8 ? smallGap : gap);
  while (ry > 0 && ry < tallest && overlap(at, step, 1.6 * h)) {
    ry *= 1.06;
    at = around(n, rx, ry);
  }
  const ys = at.map((p) => p.y);
  const top = Math.min(...ys), height = Math.max(...ys) - top + (n === 2 ? 3 : 1) * h + 2 * margin;
  const offset = margin + (n === 2 ? 1.5 : 0.5) * h - top;
  const placed = [];
  order.forEach((server, i) => {
    placed[server] = { x: width / 2 + at[i].x, y: at[i].y + offset };
  });
  return { height, at: placed };
}

// around returns n points on an ellipse, equally far apart along it, the first at the top; two are beside each other.
function around(n, rx, ry) {
  const steps = 720;
  const point = (i) => {
    const angle = (2 * Math.PI * i) / steps - (n === 2 ? Math.PI : Math.PI / 2);
    return { x: rx * Math.cos(angle), y: ry * Math.sin(angle) };
  };
  const far = [0];
  for (let i = 1; i <= steps; i++) {
    const a = point(i - 1), b = point(i);
    far.push(far[i - 1] + Math.hypot(b.x - a.x, b.y - a.y));
  }
  const points = [];
  for (let i = 0, k = 0; k < n; k++) {
    while (far[i] < (far[steps] * k) / n) i++;
    points.push(point(i));
  }
  return points;
}

// overlap reports whether two points are nearer to each other than dx and dy.
function overlap(at, dx, dy) {
  return at.some((a, i) => at.slice(i + 1).some((b) => Math.abs(a.x - b.x) < dx && Math.abs(a.y - b.y) < dy));
}

// arrange returns the servers in an order around the ellipse in which links are short. It improves some orders and
// takes the best: that of herd.toml, and those in which one gets from each server to its neighbors.
export function arrange(n, links) {
  const starts = [Array.from({ length: n }, (_, i) => i)];
  for (let i = 0; i < n; i++) starts.push(walk(i, n, links));
  let best = null;
  for (const start of starts) {
    const one = improve(start, links);
    if (!best || one.cost < best.cost) best = one;
  }
  return best.order;
}

// walk visits all servers from one on, going on to a neighbor if it can.
function walk(from, n, links) {
  const order = [];
  const visit = (i) => {
    if (order.includes(i)) return;
    order.push(i);
    for (const [a, b] of links) if (a === i) visit(b);
  };
  visit(from);
  for (let i = 0; i < n; i++) visit(i);
  return order;
}

// improve exchanges and turns parts of an order as long as that makes the links shorter.
function improve(order, links) {
  const n = order.length;
  const measure = (o) => {
    const place = [];
    o.forEach((server, i) => (place[server] = i));
    return links.reduce((sum, [a, b]) => {
      const d = Math.abs(place[a] - place[b]);
      return sum + Math.min(d, n - d);
    }, 0);
  };
  let cost = measure(order);
  for (let better = true; better;) {
    better = false;
    for (let i = 1; i < n - 1; i++) {
      for (let j = i + 1; j < n; j++) {
        const turned = [...order.slice(0, i), ...order.slice(i, j + 1).reverse(), ...order.slice(j + 1)];
        const swapped = [...order];
        [swapped[i], swapped[j]] = [order[j], order[i]];
        for (const tried of [turned, swapped]) {
          const c = measure(tried);
          if (c < cost) [order, cost, better] = [tried, c, true];
        }
      }
    }
  }
  return { order, cost };
}

// border is where the line from a box's center to a point leaves the box.
export function border(from, to, w, h) {
  const dx = to.x - from.x, dy = to.y - from.y;
  const t = Math.min(w / 2 / Math.abs(dx || 1e-9), h / 2 / Math.abs(dy || 1e-9));
  return { x: from.x + dx * t, y: from.y + dy * t };
}
