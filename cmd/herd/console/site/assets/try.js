// The Try it view: sends lines to servers, as a client does, and explains the replies.
import { el, setAttribute, setData, setText } from "./dom.js";
import { printable } from "./format.js";
import { budget, provider } from "./places.js";
import { coordsOf, send } from "./send.js";
import { exchange } from "./replies.js";

const most = 20; // exchanges that are shown

export class TryView {
  constructor(fragment) {
    this.name = "try";
    this.title = "Try it";
    this.fragment = fragment;
    this.greeting = null; // the last hello
    this.edited = false; // the line is not that of the fields
    this.build();
    this.compose();
  }

  build() {
    const field = (name, value, attributes = {}) => el("input", {
      name, value, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...attributes,
    });
    const radio = (value, ...attributes) => el("input", { type: "radio", name: "verb", value, ...Object.fromEntries(attributes) });
    const label = (text, input, note = "") => el("label", { class: "field" }, el("span", {}, text), input, note && el("small", {}, note));
    this.server = el("select", { name: "server" });
    this.client = field("client", "me");
    this.lat = field("lat", "34.068930", { inputmode: "decimal" });
    this.lng = field("lng", "-118.445127", { inputmode: "decimal" });
    this.time = field("time", "", { placeholder: "now", inputmode: "decimal" });
    this.radius = field("radius", "10", { inputmode: "decimal" });
    this.bound = field("bound", "5", { inputmode: "numeric" });
    this.line = field("line", "", { "aria-describedby": "line-note" });
    this.note = el("p", { id: "line-note", class: "muted" });
    this.places = el("small", {});
    this.button = el("button", { type: "submit", class: "primary" }, "Send");
    this.iamat = el("div", { class: "fields" }, label("Latitude", this.lat, "degrees, north is positive"), label("Longitude", this.lng, "degrees, east is positive"),
      label("Time", this.time, "in seconds since 1970; empty is now"));
    this.whatsat = el("div", { class: "fields", hidden: "" }, label("Radius", this.radius, "0 to 50 km"), label("Results", this.bound, "0 to 20"),
      this.places);
    this.form = el("form", { class: "tryform", "aria-label": "A line to send" },
      el("fieldset", { class: "verbs" }, el("legend", {}, "What the client says"),
        el("label", {}, radio("IAMAT", ["checked", ""]), el("span", {}, el("b", {}, "IAMAT"), " I am at this position")),
        el("label", {}, radio("WHATSAT"), el("span", {}, el("b", {}, "WHATSAT"), " What is near this client?"))),
      el("div", { class: "fields" }, label("Server", this.server, "any of them will do"), label("Client", this.client, "an id without spaces")),
      this.iamat, this.whatsat,
      el("label", { class: "field typed" }, el("span", {}, "The line that is sent"), el("span", { class: "bytes" }, this.line, el("kbd", { title: "line feed, 0x0a" }, "LF"))),
      el("div", { class: "submit" }, this.button, this.note));
    this.form.addEventListener("input", (e) => this.typed(e.target));
    this.form.addEventListener("change", (e) => this.typed(e.target));
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.send();
    });
    this.hint = el("div", { class: "hint" }, el("h2", {}, "How to talk to a herd"),
      el("p", {}, "A client sends one line to any server, and gets one reply. ", el("b", {}, "IAMAT"), " says where the client is; the server floods that to all others. ",
        el("b", {}, "WHATSAT"), " asks any server what is near a client."),
      el("p", {}, "Send the IAMAT. Then ask ", el("b", {}, "another"), " server WHATSAT: it knows the client, too, and its AT line is the same."));
    this.replies = el("div", { class: "replies", role: "log", "aria-label": "Replies" });
    this.root = el("div", { class: "try" }, this.form, el("div", {}, this.replies, this.hint));
    setData(this.root, "replies", 0);
  }

  get verb() {
    return this.form.elements.verb.value;
  }

  show() {
    this.compose();
    this.timer = setInterval(() => this.compose(), 1000); // the time of the line is now
  }

  hide() {
    clearInterval(this.timer);
  }

  hello(m) {
    this.greeting = m;
    const before = this.server.value || this.fragment.get("server") || m.server;
    this.server.replaceChildren(...m.servers.map((s) => el("option", { value: s.name }, printable(s.name))));
    this.server.value = m.servers.some((s) => s.name === before) ? before : m.server;
    setText(this.places, `Places come from ${provider(m)}. ${budget(m)}`);
    this.compose();
  }

  typed(input) {
    if (input === this.line) this.edited = true;
    else if (input !== this.server) this.edited = false;
    this.iamat.hidden = this.verb !== "IAMAT";
    this.whatsat.hidden = this.verb === "IAMAT";
    this.compose();
  }

  // compose makes the line of the fields.
  compose() {
    setText(this.note, this.edited ? "Edited by hand: it is sent as it is. A change above replaces it." : "You may edit it, for example to see what a server says to a bad line.");
    setData(this.form, "edited", this.edited);
    if (this.edited || document.activeElement === this.line) return;
    const client = this.client.value.trim();
    setAttribute(this.client, "aria-invalid", /\s/.test(client));
    const time = this.time.value.trim() || (Date.now() / 1000).toFixed(3);
    const line = this.verb === "IAMAT" ? `IAMAT ${client} ${coordsOf(this.lat.value, this.lng.value)} ${time}` :
      `WHATSAT ${client} ${this.radius.value.trim()} ${this.bound.value.trim()}`;
    if (this.line.value !== line) this.line.value = line;
  }

  async send() {
    if (this.button.disabled || this.server.value === "") return;
    this.compose();
    const server = this.server.value, line = this.line.value, neighbors = this.greeting.servers.map((s) => s.name).filter((n) => n !== server);
    this.button.disabled = true;
    let shown;
    try {
      shown = exchange(await send(server, line), this.link.bind(this), neighbors);
    } catch (e) {
      shown = exchange({ server, line, error: e.message }, this.link.bind(this), neighbors);
    }
    this.button.disabled = false;
    this.replies.prepend(shown);
    while (this.replies.children.length > most) this.replies.lastChild.remove();
    setData(this.root, "replies", Number(this.root.dataset.replies) + 1);
    this.hint.hidden = true;
  }

  // link is that to a client in another view.
  link(view, client) {
    const all = new URLSearchParams({ view, client }), theme = this.fragment.get("theme");
    if (theme) all.set("theme", theme);
    return `#${all}`;
  }
}
