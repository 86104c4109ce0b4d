// The connection to /ws. It is opened again whenever it has ended. The protocol is described in console/viewer/doc.go.
import { isDenied } from "./login.js";

const protocol = 1;
const firstPause = 250; // ms before the second attempt; doubled up to lastPause
const lastPause = 4000;
const revoked = 4401; // the code of a connection whose login has ended
const silence = 15000; // ms without a message: something comes every 5 s

export class Connection {
  // on.state(name): "connecting", "open" (the hello has come) or "lost".
  // on.message(object): a text message, the hello among them.
  // on.binary(dataView): a binary message.
  // on.mismatch(version): the server has another version of the protocol; there are no more attempts.
  // on.denied(): the console wants a login; there are no more attempts.
  constructor(on) {
    this.on = on;
    this.wanted = new Map();
    this.greeted = false; // the hello has come
    this.pause = firstPause;
    this.retry = 0; // timer
    this.watch = 0; // timer
    this.ended = false;
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = (e) => this.socket === socket && this.received(e.data);
    socket.onclose = (e) => this.socket === socket && this.lost(e.code);
    this.listen();
  }

  // send sends a message; it is dropped if there is no connection.
  send(message) {
    if (this.greeted) this.socket.send(JSON.stringify(message));
  }

  // want sends a message now, if there is a connection, and on each connection that is opened later, until the next one
  // with the same type.
  want(message) {
    this.wanted.set(message.type, message);
    this.send(message);
  }

  received(data) {
    this.listen();
    if (typeof data !== "string") {
      this.on.binary(new DataView(data));
      return;
    }
    const m = JSON.parse(data);
    if (m.type === "hello") {
      if (m.protocol !== protocol) {
        this.ended = true;
        this.socket.close();
        this.on.mismatch(m.protocol);
        return;
      }
      this.pause = firstPause;
      this.greeted = true;
      this.on.state("open");
    }
    this.on.message(m);
    if (m.type === "hello") for (const wanted of this.wanted.values()) this.send(wanted);
  }

  // listen restarts the timer for silence.
  listen() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.lost(), silence);
  }

  async lost(code = 0) {
    clearTimeout(this.watch);
    const socket = this.socket;
    this.socket = null;
    this.greeted = false;
    if (socket) socket.close();
    if (this.ended) return;
    this.on.state("lost");
    if (code === revoked || (await isDenied())) {
      this.ended = true;
      this.on.denied();
      return;
    }
    if (this.socket || this.ended) return; // see now
    clearTimeout(this.retry);
    // Pages that have lost the same server come back one after another.
    this.retry = setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(2 * this.pause, lastPause);
  }

  // now ends the pause before the next attempt.
  now() {
    if (this.socket || this.ended) return;
    clearTimeout(this.retry);
    this.open();
  }
}
