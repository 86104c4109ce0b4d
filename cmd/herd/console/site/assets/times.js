// Times of day: in the time zone of the browser, or in UTC if the fragment says time=utc.
import { el } from "./dom.js";

export class Times {
  constructor(fragment) {
    this.fragment = fragment;
    this.inputs = [["local", "Local"], ["utc", "UTC"]].map(([value, label]) => {
      const input = el("input", { type: "radio", name: "time", value });
      input.addEventListener("change", () => fragment.set("time", value === "utc" ? "utc" : "", false));
      return { input, label: el("label", {}, input, el("span", {}, label)) };
    });
    this.root = el("fieldset", { class: "choice times" }, el("legend", {}, "Times"), ...this.inputs.map((i) => i.label));
    fragment.listen(() => this.inputs.forEach(({ input }) => (input.checked = (input.value === "utc") === this.utc)));
  }

  get utc() {
    return this.fragment.get("time") === "utc";
  }

  // text is a moment, of which one knows seconds and perhaps less.
  text(date) {
    if (Number.isNaN(date.getTime())) return "–";
    const zone = this.utc ? { timeZone: "UTC" } : {};
    const parts = Object.fromEntries(new Intl.DateTimeFormat("en-CA", {
      year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
      ...zone,
    }).formatToParts(date).map((p) => [p.type, p.value]));
    return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second}${this.utc ? " UTC" : ""}`;
  }
}
