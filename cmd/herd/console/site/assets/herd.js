// The Herd view: whether all is well in words, the drawing, the servers, the links.
import { el, setData, setLines, setText } from "./dom.js";
import { plural, printable, rate } from "./format.js";
import { Drawing } from "./drawing.js";
import { Cards } from "./cards.js";
import { Links } from "./links.js";

export class HerdView {
  constructor(root, fragment) {
    this.root = root;
    this.fragment = fragment;
    this.summary = el("p", { class: "summary", role: "status" }, "Waiting for the servers' answers.");
    this.totals = el("p", { class: "totals" });
    this.problems = el("ul", { class: "problems", "aria-label": "Problems", hidden: "" });
    this.notes = el("ul", { class: "notes", "aria-label": "Notes", hidden: "" });
    const select = (name) => fragment.set("server", fragment.get("server") === name ? "" : name, true);
    this.drawing = new Drawing(select);
    this.cards = new Cards(select);
    this.links = new Links();
    root.append(
      el("section", { class: "state", "aria-label": "State of the herd" }, this.summary, this.totals, this.problems, this.notes),
      el("div", { class: "herd" },
        el("section", { class: "drawing", "aria-label": "Drawing of the herd" }, this.drawing.root),
        el("section", { class: "servers", "aria-label": "Servers" }, this.cards.root)),
      el("section", { class: "links", "aria-label": "Links" }, this.links.root),
    );
    fragment.listen(() => this.select());
    addEventListener("keydown", (e) => {
      if (e.key === "Escape") fragment.set("server", "", true);
    });
  }

  // setTopology is called with the servers of herd.toml and the name of the one that the page is from.
  setTopology(servers, self) {
    const text = JSON.stringify([servers, self]);
    if (text === this.topology) return;
    this.topology = text;
    this.drawing.build(servers);
    this.cards.build(servers, self);
    this.links.build(servers);
    this.select();
  }

  // update shows a state, see LiveHerd in console/live.go.
  update(m) {
    setData(this.root, "answered", m.answered);
    setData(this.root, "of", m.of);
    setData(this.root, "problems", m.problems.length);
    this.say(m);
    setLines(this.problems, m.problems.map(line));
    setLines(this.notes, m.notes.map(line));
    this.drawing.update(m);
    this.cards.update(m);
    this.links.update(m);
  }

  say(m) {
    const who = m.answered < m.of ? `${m.answered} of ${m.of} servers answer` : m.of === 1 ? "1 server answers" :
      m.of === 2 ? "Both servers answer" : `All ${m.of} servers answer`;
    const only = m.of === 0 ? "No server of herd.toml has a console" : who;
    const hidden = m.servers.length - m.of;
    setText(this.summary, `${only}${hidden > 0 && m.of > 0 ? `, ${hidden} without a console` : ""}. ` +
      (m.problems.length === 0 ? "No problems." : `${plural(m.problems.length, "problem", "problems")}:`));
    const records = Math.max(0, ...m.servers.map((s) => s.records ?? 0));
    const sum = (key) => m.servers.reduce((n, s) => n + (s[key] ?? 0), 0);
    const lines = m.servers.some((s) => s.lines !== undefined) ? `${rate(sum("lines"))} lines/s from clients` : "";
    setText(this.totals, [plural(records, "client", "clients"), plural(sum("connections"), "connection", "connections"), lines]
      .filter(Boolean).join(", "));
  }

  // select shows which server the fragment names.
  select() {
    const name = this.fragment.get("server");
    setData(this.root, "selected", name);
    this.drawing.select(name, this.fragment);
    this.cards.select(name, this.fragment);
    this.links.select(name);
  }
}

function line(l) {
  const who = l.servers ? `${l.servers.map(printable).join(", ")}: ` : "";
  return who + printable(l.text);
}
