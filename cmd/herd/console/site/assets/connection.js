// The connection to /ws. It is opened again whenever it has ended. The protocol is described in console/ws.go.

const protocol = 1;
const firstPause = 250; // ms before the second attempt; doubled up to lastPause
const lastPause = 4000;
const silence = 15000; // ms without a message: something comes every 5 s

export class Connection {
  // on.state(name): "connecting", "open" (the hello has come) or "lost".
  // on.message(object): a text message, the hello among them.
  // on.mismatch(version): the server has another version of the protocol; there are no more attempts.
  constructor(on) {
    this.on = on;
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
    socket.onclose = () => this.socket === socket && this.lost();
    this.listen();
  }

  // received handles a message. A binary one is of a later version.
  received(data) {
    this.listen();
    if (typeof data !== "string") return;
    const m = JSON.parse(data);
    if (m.type === "hello") {
      if (m.protocol !== protocol) {
        this.ended = true;
        this.socket.close();
        this.on.mismatch(m.protocol);
        return;
      }
      this.pause = firstPause;
      this.on.state("open");
    }
    this.on.message(m);
  }

  // listen restarts the timer for silence.
  listen() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.lost(), silence);
  }

  lost() {
    clearTimeout(this.watch);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    if (this.ended) return;
    this.on.state("lost");
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
