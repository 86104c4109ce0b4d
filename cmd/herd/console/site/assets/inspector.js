// The inspector: what the server knows about one client.
import { Flood } from "./flood.js";
import { el, setData, setText } from "./dom.js";
import { printable } from "./format.js";
import { Places } from "./places.js";
import { textOf } from "./ids.js";
import { words } from "./ages.js";

const rows = [
  ["age", "Age"], ["position", "Position"], ["time", "Client's time"], ["origin", "Sent to"], ["server", "Shown by"],
  ["applied", "Stored there"], ["source", "Received from"],
];

export class Inspector {
  // on.close(), on.follow(bool) and on.center() are what somebody wants.
  constructor(times, on) {
    this.times = times;
    this.id = ""; // base64; empty: closed
    this.client = null; // the last message about it
    this.at = 0; // performance.now() when that came
    this.title = el("bdi", { class: "id" });
    this.note = el("p", { class: "muted", role: "status" });
    this.values = Object.fromEntries(rows.map(([key]) => [key, el("dd", { "data-value": key })]));
    this.line = el("code", { class: "at", "data-value": "at" });
    this.follow = el("button", { type: "button", "aria-pressed": "false" }, "Follow");
    this.follow.addEventListener("click", () => on.follow(this.follow.ariaPressed !== "true"));
    const center = el("button", { type: "button" }, "Center");
    center.addEventListener("click", () => on.center());
    const close = el("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => on.close());
    const list = el("dl", {}, ...rows.map(([key, label]) => el("div", { hidden: "" }, el("dt", {}, label), this.values[key])));
    this.list = list;
    this.values.position.parentNode.append(copier("Copy position", () => `${this.client.lat}, ${this.client.lng}`));
    this.record = el("div", { class: "record", hidden: "" },
      el("div", { class: "buttons" }, this.follow, center, copier("Copy id", () => textOf(this.id) || this.client.id, "Copy id")),
      list,
      el("div", { class: "atline" }, el("h3", {}, "AT line"), copier("Copy AT line", () => this.client.at), this.line));
    this.flood = new Flood();
    this.places = new Places();
    const again = el("button", { type: "button", class: "copy" }, "Trace again");
    again.addEventListener("click", () => this.flood.show(this.id));
    this.flood.root.append(again);
    this.modules = el("div", { class: "modules" }, this.flood.root, this.places.root);
    this.body = el("div", { class: "body", tabindex: "-1" },
      el("div", { class: "head" }, el("h2", {}, el("span", { class: "kind" }, "Client"), this.title), close),
      this.note, this.record, this.modules, times.root);
    this.root = el("aside", { class: "inspector", "aria-label": "Client", hidden: "" }, this.body);
  }

  // open shows that a client is asked for; an empty id closes the inspector.
  open(id) {
    if (id === this.id) return;
    this.id = id;
    this.client = null;
    this.root.hidden = id === "";
    setData(this.root, "client", id);
    setData(this.root, "known", "unknown");
    this.flood.show("");
    this.places.root.hidden = true;
    setText(this.title, printable(textOf(id) || "…"));
    setText(this.note, "Asking the server.");
    this.record.hidden = true;
    this.note.hidden = false;
    this.body.scrollTop = 0;
    clearInterval(this.timer);
    if (id !== "") this.timer = setInterval(() => this.count(), 200);
  }

  // show shows a message about the client.
  show(m) {
    if (m.known && !this.client?.known) this.flood.show(m.id_b64);
    this.places.show(m);
    this.client = m;
    this.at = performance.now();
    setText(this.title, printable(m.id));
    setData(this.root, "known", m.known);
    this.record.hidden = !m.known;
    this.note.hidden = m.known;
    if (!m.known) {
      setText(this.note, `${printable(m.server)} has no record of this client. If one comes, it is shown.`);
      return;
    }
    setText(this.line, printable(m.at));
    const from = { client: "a client", neighbor: m.neighbor ? `neighbor ${printable(m.neighbor)}` : "a neighbor", journal: "the journal", bucket: "the bucket" };
    this.set({
      position: `${degrees(m.lat, "N", "S")}, ${degrees(m.lng, "E", "W")}`, origin: printable(m.origin),
      server: printable(m.server), source: from[m.source] ?? printable(m.source),
    });
    this.count();
  }

  set(texts) {
    for (const [key, text] of Object.entries(texts)) {
      setText(this.values[key], text);
      this.values[key].parentNode.hidden = false;
    }
  }

  // count shows what changes with time, and with the time zone.
  count() {
    const m = this.client;
    if (!m?.known) return;
    this.set({
      age: m.age < -1 ? `${words(-m.age)} in the future` : words(m.age + (performance.now() - this.at) / 1000),
      time: this.times.text(new Date(Number(m.time) * 1000)), applied: this.times.text(new Date(m.applied)),
    });
  }

  following(yes) {
    this.follow.ariaPressed = String(yes);
    setText(this.follow, yes ? "Following" : "Follow");
  }
}

function degrees(n, plus, minus) {
  return `${Math.abs(n).toFixed(5)}° ${n < 0 ? minus : plus}`;
}

// copier is a button that copies a text. There is none where the browser does not allow it.
function copier(label, text, shown = "Copy") {
  const button = el("button", { type: "button", class: "copy", "aria-label": label }, shown);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      setText(button, "Copied");
    } catch {
      setText(button, "Not allowed");
    }
    setTimeout(() => setText(button, shown), 1500);
  });
  return button;
}
