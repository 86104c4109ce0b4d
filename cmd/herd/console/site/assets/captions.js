// What happens in a flood, in words.
import { totals } from "./floodstate.js";
import { plural, printable, seconds } from "./format.js";

// span is a number of nanoseconds, give or take some.
export function span(ns, uncertainty = 0) {
  const exact = ns < 500 ? "<1 µs" : seconds(ns / 1e9);
  return uncertainty > 0 ? `${exact} ± ${seconds(uncertainty / 1e9)}` : exact;
}

// caption says what a step is.
export function caption(flood, s) {
  const server = printable(s.server), neighbor = s.neighbor ? printable(s.neighbor) : "a neighbor";
  const after = s.hop_ns === undefined ? "" : ` after ${span(s.hop_ns, s.hop_uncertainty_ns)}`;
  switch (s.kind) {
    case "stored":
      return `${server} received it from a client`;
    case "read":
      return `${server} read it from the bucket`;
    case "sent":
      return `${server} sent it to ${neighbor}`;
    case "applied":
      return `${server} received it from ${neighbor}${after}`;
    case "copied":
      return `${server} received it from ${neighbor}, with others, when their link was made${after && `,${after}`}`;
    default:
      return `${server} already had it: the line from ${neighbor} is duplicate ${s.number} of ${totals(flood).duplicates}`;
  }
}

// when is the time of a step since the start of its flood.
export function when(s) {
  return s.unknown ? "?" : s.ns === 0 ? "0" : span(s.ns, s.uncertainty_ns);
}

// summary says what the flood was.
export function summary(flood) {
  const t = totals(flood);
  const took = t.servers > 1 && flood.took_ns > 0 ? ` in ${span(flood.took_ns, flood.took_uncertainty_ns)}` : "";
  return `${plural(t.servers, "server", "servers")}${took}, ${plural(t.lines, "AT line", "AT lines")}, ${plural(t.duplicates, "duplicate", "duplicates")}`;
}
