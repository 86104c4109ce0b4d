// The servers in words and numbers.
import { el, setAttribute, setData, setText } from "./dom.js";
import { count, printable, rate, seconds } from "./format.js";

const numbers = [
  ["records", "Records", (s) => count(s.records)],
  ["connections", "Connections", (s) => count(s.connections)],
  ["lines", "Lines/s", (s) => rate(s.lines)],
  ["lag", "Loop lag p99", (s) => (s.lag === undefined ? "–" : `≤ ${seconds(s.lag)}`)],
];

export class Cards {
  constructor(select) {
    this.onSelect = select;
    this.root = el("ul", { class: "cards" });
    this.cards = [];
  }

  // build makes a card for each server; self is the one that the page is from.
  build(servers, self) {
    this.cards = servers.map((s) => this.card(s.name, s.name === self));
    this.root.replaceChildren(...this.cards.map((c) => c.root));
  }

  card(name, self) {
    const link = el("a", {}, el("bdi", {}, printable(name)));
    const text = el("span", { class: "word" }, "unknown");
    const detail = el("p", { class: "detail", hidden: "" });
    const values = numbers.map(([key]) => el("dd", { "data-value": key }, "–"));
    const root = el("li", { class: "card", "data-server": name, "data-level": "unknown", "data-state": "unknown" },
      el("h2", {}, link, ...(self ? [el("small", {}, "this page")] : [])), text,
      el("dl", {}, ...numbers.map(([, label], i) => el("div", {}, el("dt", {}, label), values[i]))),
      detail);
    link.addEventListener("click", (e) => {
      e.preventDefault();
      this.onSelect(name);
    });
    return { name, root, link, text, detail, values };
  }

  update(m) {
    m.servers.forEach((s, i) => {
      const c = this.cards[i];
      if (!c) return;
      setData(c.root, "state", s.state);
      setData(c.root, "level", s.level);
      setText(c.text, (s.state === "starting" ? "starting; " : "") + printable(s.text));
      setText(c.detail, printable(s.detail ?? ""));
      c.detail.hidden = !s.detail;
      numbers.forEach(([, , format], k) => setText(c.values[k], format(s)));
    });
  }

  select(name, fragment) {
    for (const c of this.cards) {
      const selected = c.name === name;
      setData(c.root, "selected", selected);
      setAttribute(c.link, "href", fragment.link("server", selected ? "" : c.name));
      if (selected) setAttribute(c.link, "aria-current", "true");
      else c.link.removeAttribute("aria-current");
    }
  }
}
