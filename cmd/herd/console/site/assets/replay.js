// The Replay view: how an update spreads, step by step. It follows the newest flood, or shows one that was chosen, or
// the last one of the client that the fragment names.
import { el, setAttribute, setData, setText } from "./dom.js";
import { count, printable } from "./format.js";
import { caption, span, summary } from "./captions.js";
import { Controls } from "./controls.js";
import { FloodDrawing } from "./flooddrawing.js";
import { floodOf } from "./flood.js";
import { Player } from "./player.js";
import { Story } from "./story.js";
import { Timeline, minute } from "./timeline.js";
import { stateAt } from "./floodstate.js";
import { linkTo } from "./fragment.js";
import { fromFragment, toFragment } from "./ids.js";

const rest = 1800; // ms between two floods
const often = 1000; // ms between two movements of the timeline

export class ReplayView {
  constructor(fragment, connection) {
    this.name = "replay";
    this.title = "Replay";
    this.fragment = fragment;
    this.connection = connection;
    this.floods = new Map(); // of the last minute, by hash
    this.live = true;
    this.client = ""; // base64, of the fragment
    this.servers = [];
    this.player = new Player(() => this.draw(), () => this.ended());
    this.drawing = new FloodDrawing();
    this.build();
    fragment.listen(() => this.changed());
    document.addEventListener("keydown", (e) => this.shown && this.controls.key(e));
  }

  build() {
    this.controls = new Controls({
      toggle: () => this.toggle(), step: (by) => this.seek(this.player.position + by), seek: (p) => this.seek(p),
      speed: (slower) => this.speed(slower), live: () => this.goLive(),
    });
    this.timeline = new Timeline((hash) => this.choose(hash));
    this.heading = el("h2", { class: "flood-name" });
    this.link = el("a", { hidden: "" }, "Show on the map");
    this.counts = el("p", { class: "flood-counts" });
    this.caption = el("p", { class: "caption" });
    this.polite = el("p", { class: "unseen", "aria-live": "polite" });
    this.story = new Story((position) => this.seek(position));
    this.scale = el("span", { class: "scale" });
    this.note = el("p", { class: "banner", role: "status" }, "Waiting for an update: its way from server to server is a flood, shown here. ", el("code", {}, "bin/herd demo"), " starts clients that send some, and ", el("b", {}, "Try it"), " sends one.");
    this.root = el("div", { class: "replay" }, this.counts, this.timeline.root, this.note,
      el("div", { class: "flood" },
        el("section", { class: "drawing", "aria-label": "Drawing of the flood" }, el("div", { class: "flood-head" }, this.heading, this.link),
          this.drawing.root, el("p", { class: "signs" }, el("span", {}, el("i", { class: "sign" }), "an AT line that is new there"),
            el("span", {}, el("i", { class: "sign again" }), "one that will be a duplicate"), this.scale),
          this.caption, this.controls.root),
        this.story.root),
      this.polite);
  }

  hello(m) {
    const text = JSON.stringify(m.servers);
    if (text === this.topology) return;
    this.topology = text;
    this.servers = m.servers;
    this.built = false;
    if (this.shown) this.show();
  }

  // show builds the drawing when it is seen for the first time: a hidden one has no size.
  show() {
    this.shown = true;
    this.connection.want({ type: "flights", on: true });
    if (!this.built && this.servers.length > 0) {
      this.built = true;
      this.drawing.build(this.servers);
    }
    this.changed();
    clearInterval(this.timer);
    this.timer = setInterval(() => this.age(), often);
    this.age();
    this.draw();
    this.follow();
  }

  hide() {
    this.shown = false;
    this.connection.want({ type: "flights", on: false });
    this.player.pause();
    clearInterval(this.timer);
    clearTimeout(this.resting);
    this.frozen = false;
  }

  // changed takes what the fragment says.
  changed() {
    if (!this.shown) return;
    const client = fromFragment(this.fragment.get("client"));
    if (client === this.client) return;
    this.client = client;
    if (client) this.fetch(client);
    else if (!this.live) this.goLive();
  }

  async fetch(client) {
    this.live = false;
    this.player.pause();
    this.say("Asking all servers for the last update of this client.");
    const { flood, error } = await floodOf(client);
    if (client !== this.client) return;
    this.say(error ?? (flood ? "" : "No flight recorder has the last update of this client any more."));
    if (flood) this.load(flood);
    this.draw();
  }

  message(m) {
    if (m.type !== "floods" || !this.shown) return;
    const now = performance.now();
    for (const f of m.floods) {
      const before = this.floods.get(f.hash);
      f.at = before?.at ?? now - Math.min(minute, Math.max(0, Date.parse(m.now) - Date.parse(f.start)));
      this.floods.set(f.hash, f);
      if (this.player.flood === before && before) this.load(f, true);
    }
    this.oneOf = m.one_of;
    this.answered = m.answered;
    this.of = m.of;
    this.age();
    this.follow();
  }

  // age drops what is older than a minute and moves the timeline.
  age() {
    const now = performance.now();
    for (const [hash, f] of this.floods) if (now - f.at > minute) this.floods.delete(hash);
    this.ordered = [...this.floods.values()].sort((a, b) => a.at - b.at);
    this.timeline.show(this.ordered, now);
    const n = this.ordered.length, shown = this.oneOf > 1 ? `1 of ${count(this.oneOf)} updates is shown` : "every update is shown";
    setText(this.counts, this.of === undefined ? "" : `${count(n)} ${n === 1 ? "flood" : "floods"} in the last minute; ${shown}` +
      (this.answered < this.of ? `. ${this.answered} of ${this.of} servers answer` : ""));
    setData(this.root, "floods", n);
  }

  // follow plays the newest flood, if it is live and nothing else is to be seen.
  follow() {
    const newest = this.ordered?.at(-1);
    if (!newest && !this.player.flood && !this.client) this.note.hidden = false;
    if (!this.live || this.frozen || !this.shown || this.player.playing || this.resting || !newest || newest === this.player.flood) return;
    this.say("");
    this.load(newest);
  }

  ended() {
    this.resting = setTimeout(() => {
      this.resting = 0;
      this.follow();
    }, rest);
  }

  // load shows a flood; a newer version of the one that is shown keeps its position.
  load(flood, newer = false) {
    this.story.build(flood);
    setText(this.heading, `Update of ${printable(flood.id)}${flood.id_cut ? "…" : ""}`);
    this.link.hidden = Boolean(flood.id_cut);
    setAttribute(this.link, "href", linkTo({ view: "map", client: toFragment(flood.id_b64), at: "" }));
    if (newer) this.player.replace(flood);
    else this.player.load(flood, true);
    this.timeline.mark(flood.hash);
  }

  say(text) {
    setText(this.note, text);
    this.note.hidden = text === "";
  }

  speed(slower) {
    this.player.slower = slower;
    this.draw();
  }

  toggle() {
    if (this.player.playing) {
      this.frozen = true;
      this.player.pause();
    } else {
      this.frozen = false;
      clearTimeout(this.resting);
      this.resting = 0;
      this.player.play();
    }
  }

  seek(position) {
    this.frozen = true;
    this.player.seek(position);
    setText(this.polite, this.caption.textContent);
  }

  choose(hash) {
    const flood = this.floods.get(hash);
    if (!flood) return;
    this.live = false;
    this.frozen = false;
    if (this.client) this.leave();
    this.say("");
    this.load(flood);
  }

  goLive() {
    this.live = true;
    this.frozen = false;
    clearTimeout(this.resting);
    this.resting = 0;
    this.player.pause();
    if (this.client) this.leave();
    this.say("");
    this.follow();
    this.draw();
  }

  // leave takes the client out of the fragment.
  leave() {
    this.client = "";
    this.fragment.set("client", "", true);
  }

  draw() {
    const { flood, position, playing, ns } = this.player;
    this.controls.show(this.player, this.live && !this.frozen);
    setData(this.root, "playing", playing);
    setData(this.root, "position", position);
    setData(this.root, "flood", flood?.hash ?? "");
    setData(this.root, "length", this.player.length);
    setData(this.root, "live", this.live);
    if (!flood || !this.built) return;
    setText(this.scale, scale(flood, this.player.rate()));
    const ended = position === flood.steps.length;
    this.drawing.show(flood, stateAt(flood, position, Math.max(0, ns)));
    const text = position === 0 ? "Nobody has it yet." : ended && !playing ? `${summary(flood)}.` : `${caption(flood, flood.steps[position - 1])}.`;
    setText(this.caption, text);
    setData(this.root, "ended", ended);
    this.story.mark(position);
  }
}

// scale says how much slower than real a flood is shown, at a number of nanoseconds a millisecond.
function scale(flood, rate) {
  const slower = 1e6 / rate;
  const times = slower < 1.5 ? "in real time" : `${count(Number(slower.toPrecision(2)))} times slower`;
  return `${span(flood.steps.at(-1).ns)}, shown ${times}`;
}
