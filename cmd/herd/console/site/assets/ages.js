// How an age looks and reads: colors from "now" to "a week", by the logarithm of the age.

// scale are ages in seconds for the legend.
export const scale = [[1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "1 day"], [604800, "1 week"]];
const last = 604800;

// place is where an age is on the scale, from 0 (a second or less) to 1 (a week or more).
export function place(seconds) {
  return Math.max(0, Math.min(1, Math.log(Math.max(1, seconds)) / Math.log(last)));
}

// An age of n tenths of a second has the index step(n) in a table of colors: 16 for each doubling.
export const steps = 512;

export function step(tenths) {
  const a = tenths | 0, zeros = Math.clz32(a);
  return a === 0 ? 0 : zeros >= 27 ? a : ((27 - zeros) << 4) + (a >>> (27 - zeros));
}

// tenthsOf is the least age whose step this is.
export function tenthsOf(index) {
  return index < 32 ? index : ((index & 15) + 16) * 2 ** ((index >> 4) - 1);
}

// table returns a color for each step as a pixel of an ImageData, from colors at equal distances of the scale. Alpha falls
// with age, so of two pixels the newer is the greater number. That of a flash is greater still.
export function table(colors) {
  return Uint32Array.from({ length: steps }, (_, i) => pixel(colors, place(tenthsOf(i) / 10)));
}

export function pixel(colors, at) {
  const k = Math.min(colors.length - 2, Math.floor(at * (colors.length - 1))), part = at * (colors.length - 1) - k;
  const mix = (c) => Math.round(colors[k][c] + (colors[k + 1][c] - colors[k][c]) * part);
  return rgba(mix(0), mix(1), mix(2), Math.round(250 - 70 * at));
}

export function rgba(red, green, blue, alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// words is an age for people.
export function words(seconds) {
  if (seconds === Infinity) return "more than 12 years";
  const units = [["year", 31556952], ["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const k = units.findIndex(([, size]) => seconds >= size);
  const part = (i, n) => `${n} ${units[i][0]}${i < 2 && n !== 1 ? "s" : ""}`;
  const n = Math.floor(seconds / units[k][1]), rest = Math.floor((seconds % units[k][1]) / (units[k + 1]?.[1] ?? 1));
  return k < units.length - 1 && rest > 0 ? `${part(k, n)} ${part(k + 1, rest)}` : part(k, n);
}
