// Numbers and texts for people.

const whole = new Intl.NumberFormat("en-US");
const missing = "–";

export function count(n) {
  return n === undefined ? missing : whole.format(n);
}

// rate is a number per second.
export function rate(n) {
  if (n === undefined) return missing;
  if (n === 0 || n >= 100) return whole.format(Math.round(n));
  return n < 0.1 ? "<0.1" : n.toPrecision(2);
}

// seconds is a duration below some seconds.
export function seconds(s) {
  if (s === undefined) return missing;
  if (s < 1e-3) return `${Math.max(1, Math.round(s * 1e6))} µs`;
  if (s < 1) return `${Number((s * 1e3).toPrecision(2))} ms`;
  return `${Number(s.toPrecision(2))} s`;
}

export function clock(date) {
  return date.toLocaleTimeString([], { hourCycle: "h23" });
}

export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// printable makes text of others fit to be read: control characters, and those that change the direction or are not
// visible, are escaped.
export function printable(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// cut shortens text to a number of characters.
export function cut(text, most) {
  const all = Array.from(text);
  return all.length <= most ? text : `${all.slice(0, Math.max(1, most - 1)).join("")}…`;
}
