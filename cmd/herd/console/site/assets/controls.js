// The controls of the replay: start, back, play, on, end, a slider over the steps, the speed, and the keys for these.
import { el, setAttribute, setData, setText, svg } from "./dom.js";

const speeds = [["0", "a flood in 4 s"], ["1", "real time"], ["10", "1/10"], ["100", "1/100"], ["1000", "1/1,000"], ["10000", "1/10,000"]];

// Icons in a square of 16.
const icons = {
  play: "M4 2.5v11l9.5-5.5z", pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z", start: "M3 3h2v10H3zM13 3v10L6 8z", end: "M11 3h2v10h-2zM3 3v10l7-5z",
  back: "M11 3v10L4 8z", forward: "M5 3v10l7-5z",
};

function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", width: "16", height: "16", "aria-hidden": "true" }, svg("path", { d: icons[name] }));
}

export class Controls {
  // on.seek(position), on.step(1 or -1), on.toggle(), on.speed(how many times slower), on.live().
  constructor(on) {
    const button = (name, text, label, f) => {
      const b = el("button", { type: "button", "data-do": name, "aria-label": label, title: label }, text || icon(name));
      b.addEventListener("click", f);
      return b;
    };
    this.length = 0;
    this.on = on;
    this.toggle = button("play", "", "Play", on.toggle);
    this.slider = el("input", { type: "range", min: "0", max: "0", value: "0", step: "1", "aria-label": "Step of the flood" });
    this.slider.addEventListener("input", () => on.seek(Number(this.slider.value)));
    this.speed = el("select", { "aria-label": "Speed" }, ...speeds.map(([value, text]) => el("option", { value }, text)));
    this.speed.addEventListener("change", () => on.speed(Number(this.speed.value)));
    this.live = button("live", "Live", "Follow the newest flood", on.live);
    this.place = el("span", { class: "place" });
    this.back = button("back", "", "Step back (left arrow key)", () => on.step(-1));
    this.forward = button("forward", "", "Step forward (right arrow key)", () => on.step(1));
    this.root = el("div", { class: "controls", role: "group", "aria-label": "Player" },
      el("div", { class: "buttons" }, button("start", "", "To the start (Home)", () => on.seek(0)), this.back, this.toggle, this.forward,
        button("end", "", "To the end (End)", () => on.seek(this.length))),
      this.slider, this.place, el("label", { class: "speed" }, "Speed ", this.speed), this.live);
  }

  show(player, live) {
    this.length = player.length;
    setAttribute(this.slider, "max", this.length);
    if (this.slider.value !== String(player.position)) this.slider.value = String(player.position);
    setAttribute(this.slider, "aria-valuetext", `step ${player.position} of ${this.length}`);
    setText(this.place, `${player.position} / ${this.length}`);
    setAttribute(this.toggle.querySelector("path"), "d", player.playing ? icons.pause : icons.play);
    setAttribute(this.toggle, "aria-label", player.playing ? "Pause (space)" : "Play (space)");
    setAttribute(this.toggle, "title", player.playing ? "Pause (space)" : "Play (space)");
    setAttribute(this.live, "aria-pressed", live);
    setData(this.root, "live", live);
  }

  // key reports whether a key is one of the player's, and does what it means.
  key(e) {
    const of = e.target;
    if (e.altKey || e.ctrlKey || e.metaKey || of.matches?.("select, input:not([type=range]), textarea")) return false;
    if (e.key === " ") {
      if (of.matches?.("button, a")) return false; // the key presses it
      this.on.toggle();
    } else if (e.key === "ArrowRight" || e.key === "ArrowLeft") {
      this.on.step(e.key === "ArrowRight" ? 1 : -1);
    } else if (e.key === "Home" || e.key === "End") {
      this.on.seek(e.key === "Home" ? 0 : this.length);
    } else {
      return false;
    }
    e.preventDefault();
    return true;
  }
}
