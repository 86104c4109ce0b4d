// The state of the herd in words, above all views.
import { el, setData, setLines, setText } from "./dom.js";
import { plural, printable, rate } from "./format.js";

export class State {
  constructor(root) {
    this.root = root;
    this.summary = el("p", { class: "summary", role: "status" }, "Waiting for the servers' answers.");
    this.totals = el("p", { class: "totals" });
    this.problems = el("ul", { class: "problems", "aria-label": "Problems", hidden: "" });
    this.notes = el("ul", { class: "notes", "aria-label": "Notes", hidden: "" });
    root.append(this.summary, this.totals, this.problems, this.notes);
  }

  // message shows a state, see LiveHerd in console/live.go.
  message(m) {
    if (m.type !== "herd") return;
    setData(this.root, "answered", m.answered);
    setData(this.root, "of", m.of);
    setData(this.root, "problems", m.problems.length);
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
    setLines(this.problems, m.problems.map(line));
    setLines(this.notes, m.notes.map(line));
  }
}

function line(l) {
  const who = l.servers ? `${l.servers.map(printable).join(", ")}: ` : "";
  return who + printable(l.text);
}
