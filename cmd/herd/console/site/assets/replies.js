// A line and its reply, with what the parts of it mean.
import { el } from "./dom.js";
import { printable, seconds } from "./format.js";
import { ofText, toFragment } from "./ids.js";
import { list } from "./places.js";
import { takeApart } from "./send.js";

// exchange makes the element of an answer of /send, or of one with an error. Link makes the link to a client in a view.
// Others are the names of the other servers.
export function exchange(m, link, others) {
  const sent = el("p", { class: "sent" }, el("span", { class: "who" }, "to ", el("bdi", {}, printable(m.server))), el("code", {}, printable(m.line)));
  if (m.error) return card("none", sent, el("p", { class: "word", "data-error": "" }, "No reply. ", printable(m.error)));
  const r = takeApart(m.reply), verb = m.line.trim().split(" ")[0];
  const got = el("p", { class: "got" }, el("span", { class: "who" }, `reply after ${seconds(m.seconds)}`), el("code", {}, ...lines(r.at ? r.at.line : m.reply)));
  if (!r.at) return card("refused", sent, got, el("p", { class: "word" }, refusal(r.refused, m.server)));
  const client = toFragment(ofText(r.at.client));
  const links = client === "" ? [] : [el("p", { class: "links-out" }, el("a", { href: link("map", client) }, "Show on the map"), " ",
    el("a", { href: link("replay", client) }, "Replay how it spread"))];
  const next = verb === "IAMAT" && others.length > 0 ? [el("p", { class: "muted" }, `Now ask ${printable(others[0])}, or any other server: WHATSAT ${printable(r.at.client)}.`)] : [];
  return card(verb === "IAMAT" ? "stored" : "found", sent, got, fields(r.at), ...(r.json ? [list(r)] : []), ...links, ...next);
}

function card(kind, ...children) {
  return el("article", { class: "exchange", "data-kind": kind, "data-level": kind === "none" || kind === "refused" ? "bad" : "good" }, ...children);
}

// lines are lines of a text, separated.
function lines(text) {
  return text.split("\n").flatMap((line, i) => (i === 0 ? [printable(line)] : [el("br"), printable(line)]));
}

function refusal(reason, server) {
  const who = printable(server);
  return reason === "" ? `${who} does not understand the line, and gives no reason.` : `${who} refuses it: ${printable(reason)}`;
}

// fields explains an AT line, field by field.
function fields(at) {
  const diff = Number(at.diff), server = printable(at.server);
  const late = diff >= 0 ? `${server} received it ${seconds(diff)} after the client's time` :
    `${server}'s clock was ${seconds(-diff)} behind the client's time`;
  const row = (text, ...words) => el("div", {}, el("dt", {}, el("code", {}, printable(text))), el("dd", {}, ...words));
  return el("dl", { class: "atfields" },
    row("AT", "where a client is"),
    row(at.server, "the server that the client sent it to"),
    row(at.diff, `${late}. The two clocks may differ`),
    row(at.client, "the client"),
    row(at.coords, position(at)),
    row(at.time, `the client's time: ${when(at.time)}`));
}

function position({ lat, lng }) {
  if (!Number.isFinite(lat) || !Number.isFinite(lng)) return "its position";
  return `latitude ${Math.abs(lat)}° ${lat < 0 ? "south" : "north"}, longitude ${Math.abs(lng)}° ${lng < 0 ? "west" : "east"}`;
}

function when(time) {
  const date = new Date(Number(time) * 1000);
  return Number.isNaN(date.getTime()) ? "seconds since 1970" : `${date.toISOString().replace("T", " ").slice(0, 19)} UTC`;
}
