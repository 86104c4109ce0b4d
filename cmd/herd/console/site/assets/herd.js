// The Herd view: the drawing, the servers, the links.
import { el, setData } from "./dom.js";
import { Drawing } from "./drawing.js";
import { Cards } from "./cards.js";
import { Links } from "./links.js";

export class HerdView {
  constructor(fragment) {
    this.name = "herd";
    this.title = "Herd";
    this.fragment = fragment;
    const select = (name) => fragment.set("server", fragment.get("server") === name ? "" : name, true);
    this.drawing = new Drawing(select);
    this.cards = new Cards(select);
    this.links = new Links();
    this.root = el("div", {},
      el("div", { class: "herd" },
        el("section", { class: "drawing", "aria-label": "Drawing of the herd" }, this.drawing.root),
        el("section", { class: "servers", "aria-label": "Servers" }, this.cards.root)),
      el("section", { class: "links", "aria-label": "Links" }, this.links.root));
    fragment.listen(() => this.select());
    addEventListener("keydown", (e) => {
      if (e.key === "Escape" && !this.root.hidden) fragment.set("server", "", true);
    });
  }

  // hello builds the view, unless the topology is the same as before.
  hello(m) {
    const text = JSON.stringify([m.servers, m.server]);
    if (text === this.topology) return;
    this.topology = text;
    this.drawing.build(m.servers);
    this.cards.build(m.servers, m.server);
    this.links.build(m.servers);
    this.select();
  }

  // message shows a state, see LiveHerd in console/live.go.
  message(m) {
    if (m.type !== "herd") return;
    this.drawing.update(m);
    this.cards.update(m);
    this.links.update(m);
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
