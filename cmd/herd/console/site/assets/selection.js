// The client that is selected: the fragment names it, the inspector shows it, and a ring on the map marks it.
import { el } from "./dom.js";
import { xOf, yOf } from "./camera.js";
import { fromFragment, toFragment } from "./ids.js";
import { Inspector } from "./inspector.js";
import { Times } from "./times.js";

const near = 5; // zoom at which a client is shown that one has looked for
const edge = 30; // CSS pixels

export class Selection {
  // on.want(message) asks the server, on.moved() follows each change of the camera, and on.closed() the inspector's end.
  constructor(fragment, camera, on) {
    this.fragment = fragment;
    this.camera = camera;
    this.on = on;
    this.id = ""; // base64
    this.client = null; // the last message about it
    this.following = false;
    this.reveal = false; // the map goes to it, when one knows where it is
    this.ring = el("div", { class: "ring", hidden: "" });
    this.inspector = new Inspector(new Times(fragment), {
      close: () => this.close(), follow: (yes) => this.follow(yes), center: () => this.center(),
    });
    fragment.listen(() => this.changed());
  }

  // changed takes what the fragment says.
  changed() {
    const id = fromFragment(this.fragment.get("client"));
    if (id !== this.id) {
      this.id = id;
      this.client = null;
      this.ring.hidden = true;
      this.reveal = this.fragment.get("at") === "";
      this.inspector.open(id);
      this.want();
    }
    const following = id !== "" && this.fragment.get("follow") === "1";
    if (following !== this.following) {
      this.following = following;
      if (following) this.center();
    }
    this.inspector.following(following);
  }

  want() {
    this.on.want(this.id ? { type: "client", id_b64: this.id } : { type: "client" });
  }

  // message takes what the server knows about a client.
  message(m) {
    if (m.id_b64 !== this.id) return;
    const first = !this.client?.known;
    this.client = m;
    this.inspector.show(m);
    if (!m.known) return;
    if (this.following) this.center();
    else if (first && this.reveal) this.visit();
    this.place();
  }

  // visit goes to the client, if it is not on the part of the map that one sees.
  visit() {
    this.reveal = false;
    const { left, top } = this.at(), { width, height } = this.camera;
    const inside = left > edge && top > edge && left < width - edge && top < height - edge;
    if (!inside || this.camera.free) this.go(near);
  }

  center() {
    if (this.client?.known) this.go(near - 1);
  }

  go(zoom) {
    this.camera.free = false;
    this.camera.set(xOf(this.client.lng), yOf(this.client.lat), Math.max(this.camera.zoom, zoom));
    this.on.moved();
  }

  follow(yes) {
    this.fragment.set("follow", yes ? "1" : "", false);
  }

  open(id, reveal) {
    this.fragment.set("client", toFragment(id), true);
    this.reveal = reveal;
    if (reveal && this.client?.known) this.visit();
  }

  close() {
    if (this.id === "") return;
    this.follow(false);
    this.fragment.set("client", "", true);
    this.on.closed();
  }

  at() {
    return this.camera.screen(xOf(this.client.lng), yOf(this.client.lat));
  }

  // place puts the ring where the client is.
  place() {
    if (!this.client?.known) return;
    const { left, top } = this.at();
    this.ring.hidden = false;
    this.ring.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
  }
}
