// The search for a client: exactly as it is typed, or one of those whose id begins so.
import { el, setAttribute } from "./dom.js";
import { cut, printable } from "./format.js";
import { ofText } from "./ids.js";

const pause = 150; // ms after a key
const most = 8; // suggestions
const patience = 2000; // ms that the server may look for them

export class Find {
  // open is called with an id in base64.
  constructor(open) {
    this.onOpen = open;
    this.found = []; // ids in base64
    this.chosen = -1;
    this.input = el("input", {
      type: "search", id: "find", placeholder: "Find a client by id", "aria-label": "Find a client by id", autocomplete: "off",
      spellcheck: "false", autocapitalize: "off", role: "combobox", "aria-expanded": "false", "aria-controls": "found",
      "aria-autocomplete": "list",
    });
    this.list = el("ul", { id: "found", role: "listbox", "aria-label": "Clients", hidden: "" });
    this.root = el("div", { class: "find", role: "search" }, this.input, this.list);
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (e) => this.key(e));
    this.root.addEventListener("focusout", (e) => this.root.contains(e.relatedTarget) || this.show([]));
  }

  get text() {
    return this.input.value.trim();
  }

  typed() {
    clearTimeout(this.timer);
    this.request?.abort();
    if (this.text === "") this.show([]);
    else this.timer = setTimeout(() => this.suggest(this.text), pause);
  }

  // suggest reads the first lines of /clients.ndjson, and no more than it needs.
  async suggest(text) {
    const request = new AbortController();
    this.request = request;
    const late = setTimeout(() => request.abort(), patience);
    const found = new Map();
    try {
      const answer = await fetch(`/clients.ndjson?prefix=${encodeURIComponent(text)}`, { signal: request.signal });
      if (!answer.ok) return;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; found.size < most;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const record of lines.map((l) => JSON.parse(l))) if (record.id_b64 && found.size < most) found.set(record.id_b64, record.id);
        if (this.request === request) this.show([...found]);
      }
    } catch {
      // aborted, or the server has gone; what was found stays
    } finally {
      clearTimeout(late);
      request.abort();
    }
  }

  show(found) {
    this.found = found.map(([id]) => id);
    this.chosen = -1;
    this.list.replaceChildren(...found.map(([id, text], i) => {
      const item = el("li", { role: "option", id: `found-${i}`, "aria-selected": "false" }, el("bdi", {}, cut(printable(text), 80)));
      item.addEventListener("pointerdown", (e) => {
        e.preventDefault();
        this.open(id);
      });
      return item;
    }));
    this.list.hidden = found.length === 0;
    setAttribute(this.input, "aria-expanded", found.length > 0);
    this.input.removeAttribute("aria-activedescendant");
  }

  key(e) {
    const n = this.found.length;
    if (e.key === "Enter" && this.text !== "") this.open(this.chosen < 0 ? ofText(this.text) : this.found[this.chosen]);
    else if (e.key === "Escape" && n > 0) this.show([]);
    else if (n > 0 && (e.key === "ArrowDown" || e.key === "ArrowUp")) this.choose((this.chosen + (e.key === "ArrowDown" ? 1 : -1) + n + (this.chosen < 0 && e.key === "ArrowUp" ? 1 : 0)) % n);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  choose(k) {
    this.chosen = k;
    [...this.list.children].forEach((item, i) => setAttribute(item, "aria-selected", i === k));
    setAttribute(this.input, "aria-activedescendant", `found-${k}`);
  }

  open(id) {
    clearTimeout(this.timer);
    this.request?.abort();
    this.show([]);
    if (id !== "") this.onOpen(id);
  }
}
