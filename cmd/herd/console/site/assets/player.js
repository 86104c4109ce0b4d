// Plays a flood: keeps the position and the time between two steps, and moves them.
import { positionAt, timeAt } from "./floodstate.js";

const whole = 4000; // ms for a flood, unless another speed is chosen
const lead = 400; // ms before the first step
const pace = 900; // ms a step, where nothing may move
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Player {
  // changed() is called after each change, ended() when a flood has been played to its end.
  constructor(changed, ended) {
    this.changed = changed;
    this.ended = ended;
    this.flood = null;
    this.position = 0;
    this.ns = 0;
    this.playing = false;
    this.slower = 0; // how many times slower than real; 0: so that a flood takes `whole`
    this.tick = this.tick.bind(this);
  }

  get length() {
    return this.flood ? this.flood.steps.length : 0;
  }

  load(flood, play) {
    this.flood = flood;
    this.seek(0);
    if (play) this.play();
  }

  // replace takes a newer version of the flood.
  replace(flood) {
    this.flood = flood;
    this.position = Math.min(this.position, this.length);
    this.changed();
  }

  // seek goes to a position and pauses.
  seek(position) {
    this.stop();
    this.position = Math.max(0, Math.min(this.length, position));
    this.ns = this.flood ? timeAt(this.flood, this.position) : 0;
    this.changed();
  }

  play() {
    if (!this.flood || this.playing) return;
    if (this.position === this.length) this.position = 0;
    this.playing = true;
    this.ns = this.position === 0 ? -lead * this.rate() : this.ns;
    this.last = performance.now();
    this.next();
    this.changed();
  }

  pause() {
    this.stop();
    this.changed();
  }

  stop() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
  }

  // rate is nanoseconds of the flood a millisecond.
  rate() {
    const all = Math.max(1000, this.flood.steps.at(-1).ns);
    return this.slower > 0 ? 1e6 / this.slower : all / whole;
  }

  next() {
    if (still.matches) this.timer = setTimeout(() => this.hop(), pace);
    else this.frame = requestAnimationFrame(this.tick);
  }

  tick(now) {
    this.ns += Math.max(0, now - this.last) * this.rate();
    this.last = now;
    this.position = Math.max(this.position, this.ns < 0 ? 0 : positionAt(this.flood, this.ns));
    this.moved();
  }

  hop() {
    this.position++;
    this.ns = timeAt(this.flood, this.position);
    this.moved();
  }

  moved() {
    if (this.position < this.length) {
      this.next();
      this.changed();
      return;
    }
    this.stop();
    this.ns = timeAt(this.flood, this.position);
    this.changed();
    this.ended();
  }
}
