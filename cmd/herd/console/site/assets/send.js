// Sends a line to a server by /send, and takes its reply apart.

// send resolves to {server, line, ok, reply, seconds}; an Error says why there is no reply.
export async function send(server, line, signal) {
  let answer;
  try {
    answer = await fetch("/send", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ server, line }), signal,
    });
  } catch {
    throw new Error("The console does not answer.");
  }
  const m = await answer.json().catch(() => null);
  if (!m) throw new Error("The console's answer cannot be read.");
  if (!answer.ok) throw new Error(m.error ?? `Status ${answer.status}`);
  return m;
}

// takeApart makes of a reply {at, places, json} or {refused}: at is an AT line with its fields, places the results of a
// WHATSAT, and refused the server's reason, empty if it gives none.
export function takeApart(reply) {
  if (reply.startsWith("? ")) return { refused: "" };
  if (reply.startsWith("> ")) return { refused: reply.slice(2).split("\n")[0] };
  const end = reply.indexOf("\n"), line = end < 0 ? reply : reply.slice(0, end), json = end < 0 ? "" : reply.slice(end + 1);
  const [verb, server, diff, client, coords, time] = line.split(" ");
  if (verb !== "AT" || time === undefined) return { refused: "" };
  const where = coords.match(/^([+-][\d.]+)([+-][\d.]+)$/) ?? [0, "", ""];
  const at = { line, server, diff, client, coords, time, lat: Number(where[1]), lng: Number(where[2]) };
  let places = null;
  try {
    if (json) places = JSON.parse(json).results;
  } catch {
    // shown as it is
  }
  return { at, json, places: Array.isArray(places) ? places : null };
}

// meters is the distance between two positions in degrees on a sphere.
export function meters(a, b) {
  const rad = Math.PI / 180, u = Math.sin(((b.lat - a.lat) * rad) / 2), v = Math.sin(((b.lng - a.lng) * rad) / 2);
  return 2 * 6371009 * Math.asin(Math.min(1, Math.sqrt(u * u + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * v * v)));
}

// coordsOf are numbers as IAMAT takes them; what is no number stays as it is, and the server says so.
export function coordsOf(lat, lng) {
  return [lat, lng].map((text) => (/^\d/.test(text.trim()) ? `+${text.trim()}` : text.trim())).join("");
}
