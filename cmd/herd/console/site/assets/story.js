// All steps of a flood in words. The current one is marked, and each one can be chosen.
import { el, setAttribute, setData, setText } from "./dom.js";
import { printable } from "./format.js";
import { caption, summary, when } from "./captions.js";

const rule = "A server that receives an update for the first time sends it on, as an AT line, to all of its neighbors but the one " +
  "that it came from. A server that has it already drops the line: a duplicate. A time is that of a turn of the server's event loop.";

export class Story {
  constructor(seek) {
    this.seek = seek;
    this.list = el("ol", { class: "steps", "aria-label": "Steps of the flood" });
    this.total = el("p", { class: "total" });
    this.missing = el("ul", { class: "missing" });
    this.root = el("section", { class: "story", "aria-label": "The flood in words" }, this.list, this.total, this.missing,
      el("p", { class: "rule" }, rule));
  }

  build(flood) {
    this.list.replaceChildren(...flood.steps.map((s, i) => {
      const b = el("button", { type: "button", "data-kind": s.kind }, el("span", { class: "moment" }, when(s)), el("span", {}, caption(flood, s)));
      b.addEventListener("click", () => this.seek(i + 1));
      return el("li", {}, b);
    }));
    this.missing.replaceChildren(...flood.missing.map((m) => el("li", {}, el("bdi", {}, printable(m.server)), `: ${printable(m.why)}`)));
    setText(this.total, `${summary(flood)}.`);
  }

  mark(position) {
    [...this.list.children].forEach((li, i) => {
      setData(li, "done", i < position);
      if (i === position - 1) setAttribute(li.firstChild, "aria-current", "step");
      else li.firstChild.removeAttribute("aria-current");
    });
    const li = this.list.children[Math.max(0, position - 1)], { scrollTop, clientHeight } = this.list;
    if (!li || this.marked === position) return;
    this.marked = position;
    const top = li.offsetTop - this.list.offsetTop; // of a long list the current step stays in sight
    if (top < scrollTop || top + li.offsetHeight > scrollTop + clientHeight) this.list.scrollTop = top - clientHeight / 2;
  }
}
