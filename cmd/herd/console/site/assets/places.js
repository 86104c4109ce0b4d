// Places near a client, from WHATSAT: a list of them, and the "Places around" of the inspector.
import { el, setAttribute, setData, setText } from "./dom.js";
import { cut, plural, printable } from "./format.js";
import { meters, send, takeApart } from "./send.js";
import { textOf } from "./ids.js";

const providers = { embedded: "embedded places", file: "the file of places", google: "Google Places", "google-legacy": "Google Places" };

// provider is what hello says about places, in words.
export function provider(hello) {
  return providers[hello?.places] ?? "the server's provider";
}

// budget is what a lookup costs, or "" if nothing.
export function budget(hello) {
  return hello?.places?.startsWith("google") ? "Each question may use up one lookup of the server's daily budget." : "";
}

// list is the places of a reply, see takeApart: with distances, and the JSON behind a button.
export function list({ at, places, json }) {
  const items = (places ?? []).slice(0, 100).map((p) => {
    const where = p?.geometry?.location, known = where && Number.isFinite(where.lat) && Number.isFinite(where.lng);
    const types = Array.isArray(p?.types) ? p.types.slice(0, 2).join(", ") : "";
    return el("li", {}, el("bdi", { class: "name" }, cut(printable(p?.name ?? "without a name"), 80)),
      el("span", { class: "far" }, known ? kilometers(meters(at, where)) : ""),
      el("bdi", { class: "muted" }, cut(printable([p?.vicinity, types].filter(Boolean).join(" · ")), 100)));
  });
  return el("div", { class: "places", "data-places": items.length },
    el("p", { class: "found" }, places === null ? "The JSON cannot be read." : items.length === 0 ? "No place within this radius." :
      plural(items.length, "place", "places")),
    el("ol", {}, ...items),
    el("details", {}, el("summary", {}, "Show JSON"), el("pre", { tabindex: "0" }, cut(json, 200000))));
}

function kilometers(m) {
  return m < 1000 ? `${Math.round(m)} m` : `${(m / 1000).toFixed(m < 10000 ? 1 : 0)} km`;
}

export class Places {
  constructor() {
    this.hello = null;
    this.client = null;
    this.radius = el("input", { type: "number", min: "0", max: "50", value: "10", "aria-label": "Radius in kilometers" });
    this.button = el("button", { type: "submit" });
    this.hint = el("p", { class: "muted" });
    this.result = el("div", { role: "status" });
    this.form = el("form", { class: "around" }, this.button, el("label", {}, "within ", this.radius, " km"));
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.ask();
    });
    this.root = el("section", { class: "placesaround", "aria-label": "Places around", hidden: "" },
      el("h3", {}, "Places around"), this.form, this.hint, this.result);
  }

  // greeted takes the hello of a connection.
  greeted(m) {
    this.hello = m;
    setText(this.button, `Ask ${provider(m)}`);
    setText(this.hint, budget(m));
  }

  // show takes a message about the client of the inspector. Nothing is asked before a click.
  show(m) {
    if (m.id_b64 !== this.client?.id_b64) this.clear();
    this.client = m;
    this.root.hidden = !m.known || textOf(m.id_b64) === "";
  }

  clear() {
    this.request?.abort();
    this.button.disabled = false;
    this.result.replaceChildren();
    setData(this.root, "state", "");
  }

  async ask() {
    const request = new AbortController();
    this.clear();
    this.request = request;
    this.button.disabled = true;
    setText(this.result, "Asking …");
    setAttribute(this.root, "aria-busy", "true");
    let shown;
    try {
      const m = await send(this.hello.server, `WHATSAT ${textOf(this.client.id_b64)} ${this.radius.value.trim() || "10"} 10`, request.signal);
      const r = takeApart(m.reply);
      shown = r.at ? list(r) : el("p", { class: "word" }, printable(r.refused || "The server refuses the question."));
    } catch (e) {
      shown = el("p", { class: "word" }, printable(e.message));
    }
    if (this.request !== request || request.signal.aborted) return; // another client is shown by now
    this.button.disabled = false;
    setAttribute(this.root, "aria-busy", "false");
    this.result.replaceChildren(shown);
    setData(this.root, "state", "done");
  }
}
