// The table of links: what the arrows of the drawing show.
import { el, setData, setText } from "./dom.js";
import { count, printable, rate } from "./format.js";

const words = "A record is the latest update of one client; servers that are in sync have the same ones. Behind is how many " +
  "records the neighbor may still lack. Loop lag is how long work waits for the server's event loop: 99 of 100 times at most that.";

export class Links {
  constructor() {
    this.body = el("tbody");
    this.table = el("table", {},
      el("caption", {}, "Links between servers"),
      el("thead", {}, el("tr", {}, ...["From", "To", "State"].map((t) => el("th", { scope: "col" }, t)),
        ...["Lines/s", "Behind"].map((t) => el("th", { scope: "col", class: "number" }, t)))),
      this.body);
    this.root = el("div", { class: "scroll" }, this.table, el("p", { class: "words" }, words));
    this.rows = [];
  }

  build(servers) {
    this.rows = servers.flatMap((s) => s.neighbors.map((to) => row(s.name, to)));
    this.body.replaceChildren(...this.rows.map((r) => r.root));
    this.root.hidden = this.rows.length === 0;
  }

  update(m) {
    for (const l of m.links) {
      const r = this.rows.find((one) => one.root.dataset.from === l.from && one.root.dataset.to === l.to);
      if (!r) continue;
      setData(r.root, "level", l.level);
      setText(r.text, printable(l.text) + (l.tls ? ", TLS" : ""));
      setText(r.rate, rate(l.rate));
      setText(r.behind, count(l.behind));
    }
  }

  select(name) {
    for (const r of this.rows) {
      setData(r.root, "near", name === "" || r.root.dataset.from === name || r.root.dataset.to === name);
    }
  }
}

function row(from, to) {
  const text = el("span", { class: "word" }, "unknown");
  const cells = [el("td", { class: "number" }, "–"), el("td", { class: "number" }, "–")];
  const root = el("tr", { "data-from": from, "data-to": to, "data-level": "unknown", "data-near": "true" },
    el("td", {}, el("bdi", {}, printable(from))), el("td", {}, el("bdi", {}, printable(to))), el("td", {}, text), ...cells);
  return { root, text, rate: cells[0], behind: cells[1] };
}
